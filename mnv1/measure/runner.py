"""Visits to cases: build, check, time, then measure what is not time."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from statistics import median

import torch

from mnv1.cases.case import Case, Network, Pair, Reference
from mnv1.cases.modes import OUTSIDE_TORCH, is_plain
from mnv1.measure.clock import clock_for
from mnv1.measure.facts import Facts
from mnv1.measure.gpu import device_busy, throttling
from mnv1.measure.memory import kernel_work, peak_memory, process_peak
from mnv1.measure.modules import Prepared, PreparedStep, count_module, forget_modules, prepare
from mnv1.measure.operators import operator_times
from mnv1.measure.quiet import Watch
from mnv1.measure.timing import Policy, Visit, visit, visit_pair
from mnv1.measure.training import phase_times

CUDA_ROUND_TIME = 5e-3
"""Shortest round on CUDA, in seconds: the one synchronisation a round, some 10 µs, must not matter."""

MAX_PREPARED = 100
"""Speedups whose inputs stay in memory between visits; the largest takes some 40 MB."""


def check(case: Case | Pair) -> None:
    """Build a case and check its output without timing anything. Raises as `Runner.visit` does."""
    for one in (case.standard, case.separable) if isinstance(case, Pair) else (case,):
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
        torch.cuda.empty_cache()
        return self._visit(case, policy, earlier)

    def _visit(self, case: Case | Pair, policy: Policy, earlier: Visit | None) -> Visit:
        device = case.conditions.device
        on_cuda = device == "cuda"
        clock, watch = clock_for(device), None if on_cuda else self.watch  # the controls load the CPU
        if on_cuda:
            policy = replace(policy, round_time=max(policy.round_time, CUDA_ROUND_TIME))
        if isinstance(case, Pair):
            standard, separable = self._both(case)
            if watch:
                watch.readings()  # what was seen before belongs to other cases
            visited = visit_pair(standard.call, separable.call, clock, policy, watch, earlier)
            seen = tuple(watch.readings()) if watch else ()
            return replace(visited, controls=seen, extras=throttling() if on_cuda else {})
        prepared = prepare(case)
        visited = visit(prepared.call, clock, policy, watch, earlier)
        extras: Facts = throttling() if on_cuda else {}  # at once: clocks recover when the work is over
        if earlier is None:
            if isinstance(prepared, PreparedStep):
                prepared.step.forget_gradients()
            extras |= {"first_call": prepared.first_call, **prepared.facts}
            if case.conditions.mode not in OUTSIDE_TORCH:
                extras |= peak_memory(prepared.call, device)
            if on_cuda:
                extras["device_busy"] = device_busy(prepared.call)
            elif is_plain(case.conditions):
                grown = process_peak(case)
                extras |= {} if grown is None else {"process_peak": grown}
            if isinstance(case.workload, Reference):
                extras |= count_module(case)
            seconds = median(visited.sides[0])
            if isinstance(prepared, PreparedStep):
                extras |= phase_times(prepared.step, device, seconds)
            elif isinstance(case.workload, Network) and is_plain(case.conditions):
                extras["operators"] = operator_times(prepared.call, device, seconds)
                extras |= {} if on_cuda else kernel_work(prepared.call, seconds)
        return replace(visited, extras=extras)

    def _both(self, pair: Pair) -> tuple[Prepared, Prepared]:
        if pair.id not in self._prepared:
            self._prepared[pair.id] = prepare(pair.standard), prepare(pair.separable)
        self._prepared.move_to_end(pair.id)
        if len(self._prepared) > MAX_PREPARED:
            self._prepared.popitem(last=False)
        return self._prepared[pair.id]
