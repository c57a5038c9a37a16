"""Visits to cases: build, check, time, then measure what is not time."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from statistics import median

import torch

from mnv1.base.facts import Facts
from mnv1.cases import Case, Pair
from mnv1.measure.memory import kernel_work, process_peak
from mnv1.measure.modules import Prepared, count_module, forget_modules, prepare
from mnv1.measure.operators import operator_times
from mnv1.measure.quiet import Watch
from mnv1.measure.timing import Policy, Visit, visit, visit_pair
from mnv1.measure.training import phase_times

MAX_PREPARED = 100
"""Speedups whose inputs stay in memory between visits; the largest takes some 40 MB."""


def check(case: Case | Pair) -> None:
    """Build a case and check its output without timing anything. Raises as `Runner.visit` does."""
    for one in case.sides:
        prepare(one)


class Runner:
    """Visits cases, and keeps those prepared that will be visited again."""

    def __init__(self, watch: Watch | None = None) -> None:
        self.watch = watch
        self._prepared: OrderedDict[str, tuple[Prepared, Prepared]] = OrderedDict()

    def visit(self, case: Case | Pair, policy: Policy, earlier: Visit | None = None) -> Visit:
        """Sample a case, once more after an `earlier` visit.

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
        conditions = case.conditions
        device = conditions.on
        clock, watch = device.clock(), self.watch if device.is_host else None  # the controls load the CPU
        policy = replace(policy, round_time=max(policy.round_time, device.round_time))
        if isinstance(case, Pair):
            standard, separable = self._both(case)
            if watch:
                watch.readings()  # what was seen before belongs to other cases
            visited = visit_pair(standard.call, separable.call, clock, policy, watch, earlier)
            seen = tuple(watch.readings()) if watch else ()
            return replace(visited, controls=seen, extras=device.now())
        prepared = prepare(case)
        visited = visit(prepared.call, clock, policy, watch, earlier)
        extras = device.now()  # at once: clocks recover when the work is over
        if earlier is None:
            extras |= self._beside(case, prepared, median(visited.sides[0]))
        return replace(visited, extras=extras)

    def _beside(self, case: Case, prepared: Prepared, seconds: float) -> Facts:
        """What is measured of a latency beside its time, once; a call takes about `seconds`."""
        conditions, workload, step = case.conditions, case.workload, prepared.step
        device = conditions.on
        if step:
            step.forget_gradients()  # or the gradients of the step before, which it frees, would be taken from its peak
        found = {"first_call": prepared.first_call, **prepared.facts}
        if conditions.how.in_torch:
            found |= device.peak_memory(prepared.call)
        found |= device.busy(prepared.call)
        if device.is_host and conditions.is_plain:
            grown = process_peak(case)
            found |= {} if grown is None else {"process_peak": grown}
        if workload.counts(1, 1) is None:
            found |= count_module(case)
        if step:
            found |= phase_times(step, device, seconds)
        elif workload.is_profiled and conditions.is_plain:
            found["operators"] = operator_times(prepared.call, device, seconds)
            found |= kernel_work(prepared.call, seconds) if device.is_host else {}
        return found

    def _both(self, pair: Pair) -> tuple[Prepared, Prepared]:
        if pair.id not in self._prepared:
            self._prepared[pair.id] = prepare(pair.standard), prepare(pair.separable)
        self._prepared.move_to_end(pair.id)
        if len(self._prepared) > MAX_PREPARED:
            self._prepared.popitem(last=False)
        return self._prepared[pair.id]
