"""What ran in a call: its kernels, by the library's own trace, its operators, by torch's profiler, and its dispatch.

In a process in which nothing is timed for a figure: a profiler that was once there may slow what comes later.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import TypeVar, cast

from mnv1.base.facts import Facts
from mnv1.base.statistics import grouped_mean
from mnv1.cases import Case
from mnv1.cases.devices.kernels import Kernel
from mnv1.measure import operators
from mnv1.measure.modules import elsewhere, prepare
from mnv1.measure.watch import Watch

BLOCKS = {"model": 5, "layer": 3}
"""How often its tensors are moved to somewhere else; by subject."""
BLOCK_TIME = {"model": 0.03, "layer": 0.01}
"""Seconds of untraced calls in a block, and of traced ones, of at least one call each. They alternate."""
TURN_TIME = 2e-3
"""Shorter calls alternate in groups of about as long."""
PROFILED, PROFILED_BLOCKS = 2, 3
"""Profiled calls in a block, and blocks that have them: reading a profile takes longer than making it."""
ENOUGH, FEWEST_BLOCKS = 4.0, 2
"""Seconds after which a case gets no more blocks, but for the fewest."""
LONG_CALL = 0.3
"""Seconds of a call from which it is profiled once, and none goes before that or before a block."""
LONGEST_CALL = 0.6
"""Seconds of a call from which a single block has to do."""
ALIKE = 1.5
"""Messages between CPUs that differ by less than this factor are of one state of the machine."""


@dataclass
class _Traced:
    """What was found of a case, for each block or call."""

    plain: list[float] = field(default_factory=list)
    """Seconds of untraced calls."""
    kernels: list[list[Kernel]] = field(default_factory=list)
    operators: list[dict[str, tuple[float, int]]] = field(default_factory=list)
    messages: list[tuple[float, float]] = field(default_factory=list)
    """What was read before and after."""
    busy: Facts = field(default_factory=dict)
    """How long a device works for a call, where it is not the host."""

    @property
    def call(self) -> float:
        """Seconds of an untraced call."""
        return fmean(_usual(self.plain, float))

    @property
    def usual_kernels(self) -> list[list[Kernel]]:
        """Of traced calls those that met nothing unusual."""
        return _usual(self.kernels, _in_kernels)

    @property
    def usual_operators(self) -> list[dict[str, tuple[float, int]]]:
        """The fastest quarter of profiled calls.

        What a profiler notes down takes memory among activations, so that some of these get pages that are new: calls
        were up to 2.5 times as long for it, and BatchNorm's passes seven times.
        """
        fastest = sorted(self.operators, key=lambda one: sum(seconds for seconds, _ in one.values()))
        return fastest[: math.ceil(len(fastest) / 4)]

    @property
    def message(self) -> float:
        """Mean seconds of a message between CPUs meanwhile; 0 where none was read."""
        return fmean(sum(one) / 2 for one in self.messages) if self.messages else 0.0


_Call = TypeVar("_Call")


def _usual(calls: Sequence[_Call], seconds: Callable[[_Call], float]) -> list[_Call]:
    """The middle half of calls by their time. Parts of them still add up, as they would not with medians of each."""
    cut = max(len(calls) // 4, int(len(calls) > 2))
    return sorted(calls, key=seconds)[cut : len(calls) - cut]


def _in_kernels(call: Sequence[Kernel]) -> float:
    return sum(kernel.seconds for kernel in call)


class Tracer:
    """Traces cases in one process."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._empty: dict[str, list[_Traced]] = {}
        """What was found of networks with next to nothing to compute, by id, in each state of the machine."""

    def trace(self, case: Case, profiled: bool) -> Facts:
        """What runs in a call of a case; `profiled` asks for the operators of networks too.

        `kernels` and, of networks, `operators` are as in the tables of stored runs. `traced_call`: on the host, seconds
        of an untraced call in the same moments, of which kernels are shares. `dispatch_time`: seconds of a call of a
        network of the same operators that has next to nothing to compute, less its kernels. `traced_messages`: what was
        read of the machine's state. On devices that tell no kernels there are the operators alone.
        """
        profiled = profiled and case.workload.is_profiled
        found = self._traced(case, profiled)
        facts: Facts = {
            "traced_messages": found.messages,
            "kernels": _centred(summarise(found.kernels), summarise(found.usual_kernels)),
            **found.busy,
        }
        facts |= {"traced_call": found.call} if found.plain else {}
        idle: dict[str, Facts] = {}
        if profiled and case.emptied:
            empty = self._emptied(case.emptied, found.message)
            idle = {
                str(one["operator"]): {"empty": one["seconds"]} for one in operators.summarise(empty.usual_operators)
            }
            if case.conditions.on.is_host:
                in_kernels = fmean(map(_in_kernels, empty.usual_kernels)) if empty.kernels else 0.0
                facts["dispatch_time"] = max(0.0, empty.call - in_kernels)
        if found.operators:
            none: Facts = {"empty": 0.0} if idle else {}
            facts["operators"] = [
                one | idle.get(str(one["operator"]), none)
                for one in _centred(operators.summarise(found.operators), operators.summarise(found.usual_operators))
            ]
        return facts

    def _emptied(self, case: Case, message: float) -> _Traced:
        """Found once for all cases with the same operators, in each state of the machine."""
        before = self._empty.setdefault(case.id, [])
        for one in before:
            if max(one.message, message) <= ALIKE * min(one.message, message):
                return one
        before.append(self._traced(case, profiled=True))
        return before[-1]

    def _traced(self, case: Case, profiled: bool) -> _Traced:
        prepared, device, subject = prepare(case), case.conditions.on, case.workload.subject
        clock, found, start = device.clock(), _Traced(), time.monotonic()
        is_long = prepared.first_call > LONG_CALL
        to_profile = (1, 0) if is_long else (PROFILED, 1)
        fewest = 1 if prepared.first_call > LONGEST_CALL else FEWEST_BLOCKS
        for number in range(BLOCKS[subject]):
            if number >= fewest and time.monotonic() > start + ENOUGH:
                break
            with elsewhere([prepared], device.is_host) as (call,):
                before = self._watch.look()
                # What was copied elsewhere is in no cache, and its memory is new.
                turns, together = _turns(clock.time(call, 1).wall, BLOCK_TIME[subject])
                if not is_long:
                    clock.time(call, turns * together)
                for _ in range(turns):
                    if device.is_host:  # elsewhere a profiler slows the host for as long as this process lives
                        found.plain.append(clock.time(call, together).wall / together)
                    found.kernels += device.kernels(call, together)
                if profiled and number < PROFILED_BLOCKS:
                    found.operators += operators.operator_times(call, device, *to_profile)
                after = self._watch.look()
            if before is not None and after is not None:
                found.messages.append((min(before, after), max(before, after)))
        found.busy = device.busy(prepared.call)
        return found


def _centred(everything: Sequence[Facts], usual: Sequence[Facts]) -> list[Facts]:
    """Means of usual calls, with intervals as wide as over all calls: chosen ones scatter less than their mean does."""
    scattered = {_key(one): one for one in everything}
    found = []
    for one in usual:
        other = scattered[_key(one)]
        moved = _seconds(one, "seconds") - _seconds(other, "seconds")
        ends = {"low": max(0.0, _seconds(other, "low") + moved), "high": _seconds(other, "high") + moved}
        found.append(one | ends)
    return found


def _key(facts: Facts) -> tuple[object, ...]:
    return tuple(facts.get(name) for name in ("kernel", "implementation", "layouts", "operator"))


def _seconds(facts: Facts, name: str) -> float:
    return cast("float", facts[name])


def _turns(seconds: float, block_time: float) -> tuple[int, int]:
    """How often untraced and traced calls alternate in a block, and how many of so many seconds go together."""
    together = max(1, math.ceil(TURN_TIME / seconds))
    return max(1, math.ceil(block_time / (together * seconds))), together


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
