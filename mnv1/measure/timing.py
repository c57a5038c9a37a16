"""Sampling: warm-up, rounds until the figure is precise enough, and alternating blocks for a ratio."""

from __future__ import annotations

import gc
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Literal

from mnv1.measure.clock import Call, Clock, Elapsed
from mnv1.measure.statistics import MIN_SAMPLES, half_width, median_interval

Stopped = Literal["precise", "time budget", "round limit"]


@dataclass(frozen=True)
class Policy:
    """When sampling of one case stops, and how long a round is; times in seconds."""

    max_time: float
    """Time budget of the counted rounds; at least `MIN_SAMPLES` rounds run in any case."""
    precision: float = 0.02
    """Stop when the 95 % interval of the median is within plus or minus this share of it."""
    min_time: float = 0.1
    """Never stop as precise before this much time was sampled: neighbouring calls are alike, a machine drifts."""
    max_rounds: int = 400
    round_time: float = 1e-3
    """A round is at least this long: shorter calls are averaged within a round."""
    block_time: float = 10e-3
    """The same for an alternating block: its first, cold call must not matter."""
    warmup_time: float = 0.1


@dataclass(frozen=True)
class Measurement:
    """What was sampled of one callable; times in seconds per call, one a round."""

    samples: tuple[float, ...]
    device_samples: tuple[float, ...]
    """The same rounds timed by CUDA events; empty on the CPU."""
    calls_per_round: int
    first_call: float
    """The very first call: one-time costs such as allocation and kernel selection included."""
    stopped: Stopped


@dataclass(frozen=True)
class PairMeasurement:
    """What was sampled of two callables in alternating blocks; times in seconds per call."""

    standard_samples: tuple[float, ...]
    separable_samples: tuple[float, ...]
    """One a round: the geometric mean of the side's two blocks."""
    calls_per_block: tuple[int, int]
    """Calls in a block of the standard and of the separable side."""
    stopped: Stopped

    @property
    def log_ratios(self) -> tuple[float, ...]:
        """ln(standard time / separable time), one a round."""
        return tuple(
            math.log(standard / separable)
            for standard, separable in zip(self.standard_samples, self.separable_samples, strict=True)
        )

    @property
    def speedup(self) -> tuple[float, float, float]:
        """Standard time / separable time: median, and its 95 % interval."""
        low, high = median_interval(self.log_ratios)
        return math.exp(median(self.log_ratios)), math.exp(low), math.exp(high)


def measure(call: Call, clock: Clock, policy: Policy) -> Measurement:
    """Time one callable: the first call, warm-up, then rounds until the policy says stop."""
    with _without_garbage_collection():
        first_call, warm = _warm_up(call, clock, policy)
        calls = _calls_for(policy.round_time, warm)
        rounds: list[Elapsed] = []
        stopped: Stopped | None = None
        while stopped is None:
            rounds.append(clock.time(call, calls))
            stopped = _stop([r.wall for r in rounds], sum(r.wall for r in rounds), policy)
    return Measurement(
        samples=tuple(r.wall / calls for r in rounds),
        device_samples=tuple(r.device / calls for r in rounds if r.device is not None),
        calls_per_round=calls,
        first_call=first_call,
        stopped=stopped,
    )


def measure_pair(standard: Call, separable: Call, clock: Clock, policy: Policy) -> PairMeasurement:
    """Time two callables against each other, in one process, in alternating blocks.

    A round is four blocks, A B B A and then B A A B in turn: what drifts linearly over a round cancels in its ratio,
    and neither side is always first.
    """
    sides = (standard, separable)
    with _without_garbage_collection():
        calls = tuple(_calls_for(policy.block_time, _warm_up(side, clock, policy)[1]) for side in sides)
        samples: tuple[list[float], list[float]] = ([], [])
        ratios: list[float] = []
        spent = 0.0
        stopped: Stopped | None = None
        while stopped is None:
            order = (0, 1, 1, 0) if len(ratios) % 2 == 0 else (1, 0, 0, 1)
            blocks: tuple[list[float], list[float]] = ([], [])
            for side in order:
                wall = clock.time(sides[side], calls[side]).wall
                spent += wall
                blocks[side].append(wall / calls[side])
            for side in (0, 1):
                samples[side].append(math.sqrt(blocks[side][0] * blocks[side][1]))
            ratios.append(samples[0][-1] / samples[1][-1])
            stopped = _stop(ratios, spent, policy)
    return PairMeasurement(tuple(samples[0]), tuple(samples[1]), (calls[0], calls[1]), stopped)


def _warm_up(call: Call, clock: Clock, policy: Policy) -> tuple[float, float]:
    """Seconds of the first call, and the median seconds per call of the warm-up after it."""
    first_call = clock.time(call, 1).wall
    warm: list[float] = []
    spent, calls = 0.0, 1
    while spent < policy.warmup_time:
        wall = clock.time(call, calls).wall
        spent += wall
        warm.append(wall / calls)
        if wall < policy.round_time:  # a timing this short says little: time more calls at once
            calls *= 2
    return first_call, median(warm)


def _calls_for(seconds: float, per_call: float) -> int:
    return max(1, math.ceil(seconds / per_call))


def _stop(values: list[float], spent: float, policy: Policy) -> Stopped | None:
    rounds = len(values)
    if rounds < MIN_SAMPLES:
        return None
    # The interval is looked at ever more rarely, so that looking costs little and seldom stops on a lucky streak.
    due = spent >= policy.min_time and (rounds < 20 or rounds % 10 == 0)
    if due and half_width(values) <= policy.precision:
        return "precise"
    if spent >= policy.max_time:
        return "time budget"
    if rounds >= policy.max_rounds:
        return "round limit"
    return None


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
