"""What ran in a call: its kernels, by the library's own trace, its operators, by torch's profiler, and its dispatch.

In a process in which nothing is timed for a figure: a profiler that was once there may slow what comes later.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean

from mnv1.base.facts import Facts
from mnv1.base.statistics import grouped_mean
from mnv1.cases import Case
from mnv1.cases.devices.kernels import Kernel
from mnv1.measure import operators
from mnv1.measure.modules import elsewhere, prepare
from mnv1.measure.watch import Watch

BLOCKS = {"model": 5, "layer": 3}
"""How often untraced, traced and profiled calls alternate, their tensors somewhere else each time; by subject."""
BLOCK_TIME = 0.03
"""Seconds of untraced calls in a block, and of traced ones, of at least one call each."""
PROFILED = 2
"""Profiled calls in a block: reading a profile takes longer than making it."""
LONG_CALL, LONG_BLOCKS = 0.3, 2
"""Seconds of a call from which so many blocks of one call each have to do."""


@dataclass
class _Traced:
    """What was found of a case, for each block or call."""

    plain: list[float] = field(default_factory=list)
    """Seconds of untraced calls."""
    kernels: list[list[Kernel]] = field(default_factory=list)
    operators: list[dict[str, tuple[float, int]]] = field(default_factory=list)
    messages: list[tuple[float, float]] = field(default_factory=list)
    """What was read before and after."""

    @property
    def in_kernels(self) -> float:
        """Seconds of a call in kernels."""
        return fmean(sum(kernel.seconds for kernel in one) for one in self.kernels) if self.kernels else 0.0


def trace(case: Case, watch: Watch) -> Facts:
    """What runs in a call of a case.

    `kernels` and, of networks, `operators` are as in the tables of stored runs. `traced_call`: seconds of an untraced
    call in the same moments, of which kernels are shares. `dispatch_time`: seconds of a call of a network of the same
    operators that has next to nothing to compute, less its kernels. `traced_messages`: what `watch` read. On devices
    that tell no kernels there are the operators alone.
    """
    found = _traced(case, watch)
    facts: Facts = {
        "traced_call": fmean(found.plain),
        "traced_messages": found.messages,
        "kernels": summarise(found.kernels),
    }
    idle: dict[str, Facts] = {}
    if case.workload.is_profiled and case.emptied:
        empty = _traced(case.emptied, watch)
        idle = {str(one["operator"]): {"empty": one["seconds"]} for one in operators.summarise(empty.operators)}
        if case.conditions.on.is_host:
            facts["dispatch_time"] = max(0.0, fmean(empty.plain) - empty.in_kernels)
    if found.operators:
        none: Facts = {"empty": 0.0} if idle else {}
        facts["operators"] = [
            one | idle.get(str(one["operator"]), none) for one in operators.summarise(found.operators)
        ]
    return facts


def _traced(case: Case, watch: Watch) -> _Traced:
    prepared, device = prepare(case), case.conditions.on
    clock, found = device.clock(), _Traced()
    long = prepared.first_call > LONG_CALL
    for number in range(LONG_BLOCKS if long else BLOCKS[case.workload.subject]):
        with elsewhere([prepared], device.is_host) as (call,):
            before = watch.look()
            calls = 1 if long else max(1, math.ceil(BLOCK_TIME / clock.time(call, 1).wall))
            if not long:
                clock.time(call, calls)  # what was copied elsewhere is not in caches, and its memory is new
            # In turns: what is left of being cold meets either as often.
            if number % 2:
                found.kernels += device.kernels(call, calls)
            found.plain.append(clock.time(call, calls).wall / calls)
            if not number % 2:
                found.kernels += device.kernels(call, calls)
            if case.workload.is_profiled:
                found.operators += operators.operator_times(call, device, *((1, 0) if long else (PROFILED, 1)))
            after = watch.look()
        if before is not None and after is not None:
            found.messages.append((min(before, after), max(before, after)))
    return found


def summarise(calls: Sequence[Sequence[Kernel]]) -> list[Facts]:
    """Mean seconds of each kind of kernel, implementation and pair of layouts over some calls, with their intervals."""
    alike: dict[tuple[str, str, str], list[list[float]]] = {}
    for number, call in enumerate(calls):
        for one in call:
            key = one.kernel, one.implementation, one.layouts
            alike.setdefault(key, [[] for _ in calls])[number].append(one.seconds)
    facts: list[Facts] = []
    for (kernel, implementation, layouts), times in alike.items():
        sums = [[sum(one)] for one in times]
        mean, low, high = grouped_mean(sums) if len(sums) > 1 else (sums[0][0],) * 3
        about: Facts = {"kernel": kernel, "implementation": implementation, "layouts": layouts}
        about |= {"count": max(map(len, times)), "calls": len(calls)}
        facts.append(about | {"seconds": mean, "low": max(0.0, low), "high": high})
    return sorted(facts, key=lambda one: -float(str(one["seconds"])))
