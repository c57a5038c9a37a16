"""Visits to cases: build, check, time, then measure what is not time."""

from __future__ import annotations

from collections import Counter, OrderedDict
from dataclasses import replace
from statistics import median

import torch

from mnv1.base.facts import Facts
from mnv1.cases import Case, Pair
from mnv1.cases.devices import Device
from mnv1.cases.devices.clock import Call, ColdClock
from mnv1.measure.memory import kernel_work, process_peak
from mnv1.measure.modules import Prepared, count_module, elsewhere, forget_modules, prepare
from mnv1.measure.state import outside_of_the_heap
from mnv1.measure.timing import Policy, Visit, visit, visit_pair
from mnv1.measure.training import phase_times
from mnv1.measure.watch import NoWatch, Watch

MAX_PREPARED = 400
"""Cases whose inputs stay in memory between visits; the largest takes some 40 MB."""


def check(case: Case | Pair) -> None:
    """Build a case and check its output without timing anything. Raises as `Runner.visit` does."""
    for one in case.sides:
        prepare(one)


class Runner:
    """Visits cases, and keeps them prepared for the next visit."""

    def __init__(self, watch: Watch | None = None) -> None:
        self.watch: Watch = watch or NoWatch()
        self._prepared: OrderedDict[str, tuple[Prepared, ...]] = OrderedDict()
        self._visits: Counter[str] = Counter()
        self._emptied: dict[str, Call] = {}
        """What empties a device's caches, by its name."""

    def visit(self, case: Case | Pair, policy: Policy, earlier: Visit | None = None) -> Visit:
        """Sample a case, once more after an `earlier` visit, with its tensors somewhere else in memory.

        A latency's first visit also finds its peak memory. Raises `mnv1.measure.execution.WrongOutputError` when an
        output is wrong, and whatever torch raises.
        """
        try:
            return self._visit(case, policy, earlier)
        except torch.OutOfMemoryError:
            if not self._prepared:
                raise
        self._prepared.clear()  # what is kept for later visits may be what is missing now
        forget_modules()
        case.conditions.on.forget()
        return self._visit(case, policy, earlier)

    def _visit(self, case: Case | Pair, policy: Policy, earlier: Visit | None) -> Visit:
        device = case.conditions.on
        clock, watch = device.clock(), self.watch if device.is_host else NoWatch()
        if policy.cold:
            clock = ColdClock(clock, self._emptying(device))
        else:
            policy = replace(policy, round_time=max(policy.round_time, device.round_time))
        prepared = self._prepare(case)
        with elsewhere(prepared, device.is_host) as calls:
            if not device.is_host:  # what others handed back is taken from the device again before the first round
                for call in calls:
                    call()
                device.wait()
            if isinstance(case, Pair):
                standard, separable = calls
                number = self._visits[case.id]
                visited = visit_pair(standard, separable, clock, policy, watch, earlier, number)
            else:
                visited = visit(calls[0], clock, policy, watch, earlier)
            extras = device.now(calls[-1])
        self._visits[case.id] += 1
        if earlier is None and isinstance(case, Case):
            extras |= self._beside(case, prepared[0], median(visited.sides[0]))
        elif earlier is None and isinstance(case, Pair) and case.workload.counts(1, 1) is None:
            extras |= count_module(case.separable) | {"standard_macs": count_module(case.standard)["macs"]}
        return replace(visited, extras=extras)

    def _beside(self, case: Case, prepared: Prepared, seconds: float) -> Facts:
        """What is measured of a latency beside its time, once; a call takes about `seconds`."""
        conditions, workload, step = case.conditions, case.workload, prepared.step
        device = conditions.on
        if step:
            step.forget_gradients()  # or the gradients of the step before, which it frees, would be taken from its peak
        found = {"first_call": prepared.first_call, **prepared.facts}
        if conditions.how.in_torch and "peak_memory" not in found:
            found |= device.peak_memory(prepared.call)
        if device.is_host and conditions.is_plain:
            grown = process_peak(case)
            found |= {} if grown is None else {"process_peak": grown}
        if workload.counts(1, 1) is None:
            found |= count_module(case)
        if step:
            found |= phase_times(step, device, seconds)
        elif workload.is_profiled and conditions.is_plain:
            found |= kernel_work(prepared.call, seconds) if device.is_host else {}
        return found

    def energy(self, case: Case) -> Facts:
        """What a latency takes beside time: see `Device.energy`."""
        return case.conditions.on.energy(self._prepare(case)[-1].call)

    def _emptying(self, device: Device) -> Call:
        if device.name not in self._emptied:
            with outside_of_the_heap():
                self._emptied[device.name] = device.emptying()
        return self._emptied[device.name]

    def _prepare(self, case: Case | Pair) -> tuple[Prepared, ...]:
        if case.id not in self._prepared:
            with outside_of_the_heap():
                self._prepared[case.id] = tuple(map(prepare, case.sides))
        self._prepared.move_to_end(case.id)
        if len(self._prepared) > MAX_PREPARED:
            self._prepared.popitem(last=False)
        return self._prepared[case.id]
