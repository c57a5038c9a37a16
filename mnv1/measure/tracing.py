"""What ran in a call: its kernels, by the library's own trace, its operators, by torch's profiler, and its dispatch.

In a process in which nothing is timed for a figure: a profiler that was once there may slow what comes later.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import fmean, median
from typing import TypeVar, cast

import torch

from mnv1.base.facts import Facts
from mnv1.base.statistics import grouped_mean
from mnv1.cases import Case
from mnv1.cases.devices import Device
from mnv1.cases.devices.clock import Call
from mnv1.cases.devices.kernels import Kernel
from mnv1.measure.memory import page_faults
from mnv1.measure.modules import Prepared, elsewhere, prepare
from mnv1.measure.operators import Profiled, profiled_calls
from mnv1.measure.operators import summarise as summarise_operators
from mnv1.measure.watch import Watch

BLOCKS = {"model": 5, "layer": 3}
"""How often its tensors are moved to somewhere else; by subject."""
BLOCK_TIME = {"model": 0.06, "layer": 0.02}
"""Seconds of calls in a block, untraced and traced ones. They alternate."""
TURN_TIME = 2e-3
"""Shorter calls alternate in groups of about as long."""
FEWEST_TURNS = 2
"""Untraced and traced calls, or groups of these, in a block at least: the first ones after a move, or after a profile,
may get memory that is new, and take up to twice as long."""
PROFILED, PROFILED_BLOCKS = 2, 3
"""Profiled calls in a block, and blocks that have them: reading a profile takes longer than making it."""
SPARE, LEAST_SPARE = 32, 2**28
"""Memory that activations may move to, in sizes of the input (MobileNetV1's need half of it), and in bytes at least.
A profiler's notes take memory among them, and where they moved to memory that was new, BatchNorm's passes took seven
times as long."""
TRIES = 3
"""Profiles after which a block makes do with calls that got such memory."""
ENOUGH, FEWEST_BLOCKS = 2.0, 2
"""Seconds after which a case gets no more blocks, but for the fewest."""
LONG_CALL = 0.3
"""Seconds of a call from which it is profiled without a cold call before."""
LONGEST_CALL = 0.6
"""Seconds of a call from which a single block has to do."""


@dataclass
class _Traced:
    """What was found of a case, for each call."""

    plain: list[float] = field(default_factory=list)
    """Seconds of untraced calls."""
    kernels: list[list[Kernel]] = field(default_factory=list)
    profiled: list[Profiled] = field(default_factory=list)

    @property
    def call(self) -> float:
        """Seconds of an untraced call."""
        return fmean(_usual(self.plain, float))

    @property
    def usual_kernels(self) -> list[list[Kernel]]:
        """Of calls whose kernels were traced those that met nothing unusual."""
        return _usual(self.kernels, _in_kernels)

    @property
    def usual_profiled(self) -> list[Profiled]:
        """The same of profiled calls, as far as they did not get memory that is new."""
        most = _most_pages(min((one.mapped for one in self.profiled), default=0))
        return _usual([one for one in self.profiled if one.mapped <= most], lambda one: one.seconds)

    @property
    def in_kernels(self) -> float:
        """Seconds of a call in kernels; 0 where nobody tells."""
        return fmean(map(_in_kernels, self.usual_kernels)) if self.kernels else 0.0

    @property
    def within(self) -> float | None:
        """Seconds of a call that convolutions take beside their kernels; None where that cannot be told."""
        found = [one.within for one in self.usual_profiled]
        return median(one for one in found if one is not None) if found and None not in found else None

    @property
    def pace(self) -> float:
        """How long kernels took beside those of profiled calls, which met other moments of the machine."""
        while_profiled = fmean(_in_kernels(one.kernels) for one in self.usual_profiled)
        return self.in_kernels / while_profiled if while_profiled else 1.0


def _most_pages(usual: int) -> float:
    """Pages that a profiled call is mapped at most where it gets no memory beyond what it usually does.

    With an allocator that hands freed memory back every call is mapped its activations anew.
    """
    return 1.1 * usual


_Call = TypeVar("_Call")


def _usual(calls: Sequence[_Call], seconds: Callable[[_Call], float]) -> list[_Call]:
    """The faster half of calls by their time. Parts of them still add up, as they would not with medians of each.

    What disturbs a call makes it slower: neighbours, a profiler's notes, and memory that is new because of these.
    """
    return sorted(calls, key=seconds)[: math.ceil(len(calls) / 2)]


def _in_kernels(call: Sequence[Kernel]) -> float:
    return sum(kernel.seconds for kernel in call)


class Tracer:
    """Traces cases in one process."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._has_profiled = False
        """The first profile of a process takes memory that later ones have."""

    def trace(self, case: Case) -> Facts:
        """What runs in a call of a case.

        `kernels` and, of networks, `operators` are as in the tables of stored runs. `traced_call`: on the host, seconds
        of an untraced call in the same moments, of which kernels are shares. `dispatch_time`: seconds of a call of a
        network of the same operators that has next to nothing to compute, less its kernels; `dispatch_within`: what
        convolutions of the case take beside their kernels beyond those of that network. `traced_messages`: what was
        read of the machine's state. On devices that tell no kernels there are the operators alone.
        """
        empty = case.emptied if case.workload.is_profiled else None
        prepared = [prepare(one) for one in (case, empty) if one]
        found, messages = self._traced(case, prepared)
        of_device = case.conditions.on.busy(prepared[0].call)
        return {"traced_messages": messages, **of_device, **facts_of(*found)}

    def _traced(self, case: Case, prepared: Sequence[Prepared]) -> tuple[list[_Traced], list[tuple[float, float]]]:
        """What was found of a case and of what is measured beside it, and what was read before and after each block.

        Side by side: what dispatch takes moves with the machine's clock and state, as all else does.
        """
        device, subject = case.conditions.on, case.workload.subject
        found, messages = [_Traced() for _ in prepared], list[tuple[float, float]]()
        longest, start = max(one.first_call for one in prepared), time.monotonic()
        fewest = 1 if longest > LONGEST_CALL else FEWEST_BLOCKS
        if device.is_host and case.workload.is_profiled:
            _touch_spare(math.prod(case.input_shape))
            if not self._has_profiled:
                profiled_calls(prepared[0].call, device, 1)
                self._has_profiled = True
        for number in range(BLOCKS[subject]):
            if number >= fewest and time.monotonic() > start + ENOUGH:
                break
            with elsewhere(prepared, device.is_host) as calls:
                before = self._watch.look()
                for call, one in zip(calls, found, strict=True):
                    to_profile = PROFILED if case.workload.is_profiled and number < PROFILED_BLOCKS else 0
                    _look_at(call, one, device, BLOCK_TIME[subject], to_profile)
                after = self._watch.look()
            if before is not None and after is not None:
                messages.append((min(before, after), max(before, after)))
        return found, messages


def _touch_spare(numbers: int) -> None:
    """Have memory for what moves, of a case whose input has so many numbers; the allocator keeps it."""
    pieces = [torch.ones(numbers) for _ in range(max(SPARE, LEAST_SPARE // (4 * numbers)))]
    del pieces


def _look_at(call: Call, found: _Traced, device: Device, block_time: float, to_profile: int) -> None:
    """One block of a case."""
    clock = device.clock()
    # What was copied elsewhere is in no cache, and its memory is new.
    once = clock.time(call, 1).wall
    turns, together = _turns(once, block_time)
    mapped = 0
    for _ in range(turns):
        if device.is_host:  # elsewhere a profiler slows the host for as long as this process lives
            before = page_faults()
            found.plain.append(clock.time(call, together).wall / together)
            mapped = (page_faults() - before) // together
        found.kernels += device.kernels(call, together)
    for _ in range(TRIES if to_profile else 0):
        some = profiled_calls(call, device, to_profile, cold=int(once < LONG_CALL))
        found.profiled += some
        if not device.is_host or any(one.mapped <= _most_pages(mapped) for one in some):
            break


def facts_of(found: _Traced, empty: _Traced | None = None) -> Facts:
    """What is stored of a case, with what was found of its operators on next to nothing: see `Tracer.trace`."""
    facts: Facts = {"kernels": _centred(summarise(found.kernels), summarise(found.usual_kernels))}
    facts |= {"traced_call": found.call} if found.plain else {}
    if empty and empty.plain:
        facts["dispatch_time"] = max(0.0, empty.call - empty.in_kernels)
        if found.within is not None and empty.within is not None:
            facts["dispatch_within"] = max(0.0, found.pace * found.within - empty.within)
    if found.profiled:
        operators = _centred(_operators(found.profiled, found.pace), _operators(found.usual_profiled, found.pace))
        if empty:
            idle = {one["operator"]: one["seconds"] for one in _operators(empty.usual_profiled)}
            operators = [one | {"empty": idle.get(one["operator"], 0.0)} for one in operators]
        facts["operators"] = operators
    return facts


def _operators(calls: Sequence[Profiled], pace: float = 1.0) -> list[Facts]:
    return summarise_operators(
        [{name: (pace * seconds, number) for name, (seconds, number) in one.operators.items()} for one in calls]
    )


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
    return max(FEWEST_TURNS, math.ceil(block_time / (2 * together * seconds))), together


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
