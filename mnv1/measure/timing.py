"""Sampling: warm-up, rounds until the figure is precise enough, and alternating blocks for a ratio."""

from __future__ import annotations

import gc
import itertools
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Literal

from mnv1.measure.clock import Call, Clock
from mnv1.measure.quiet import NoWatch, Watch
from mnv1.measure.statistics import MIN_SAMPLES, half_width, median_interval

Stopped = Literal["precise", "time budget", "round limit", "disturbed"]
"""Why sampling ended: the interval was narrow enough; the time was spent; enough rounds were kept; or the machine was
disturbed for so long that the disturbed rounds had to be taken as well."""


@dataclass(frozen=True)
class Policy:
    """When sampling of one case stops, and how long a round is; times in seconds."""

    max_time: float
    """Time budget of the kept rounds; at least `MIN_SAMPLES` rounds run in any case."""
    overtime: float = 1.3
    """All rounds, disturbed ones included, may take this many times the budget."""
    precision: float = 0.02
    """Stop when the 95 % interval of the median is within plus or minus this share of it."""
    min_time: float = 0.1
    """Never stop as precise before this much time was sampled: neighbouring calls are alike, a machine drifts."""
    max_rounds: int = 400
    round_time: float = 1e-3
    """A round is at least this long: shorter calls are averaged within a round."""
    block_time: float = 10e-3
    """The same for an alternating block: its first, cold call must not matter."""
    group_time: float = 30e-3
    """The machine is looked at again after this much time of rounds."""
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
    disturbed_rounds: int
    """Rounds left out because the machine was disturbed; when stopped as disturbed, such rounds among the samples."""
    stopped: Stopped


@dataclass(frozen=True)
class PairMeasurement:
    """What was sampled of two callables in alternating blocks; times in seconds per call."""

    standard_samples: tuple[float, ...]
    separable_samples: tuple[float, ...]
    """One a round: the geometric mean of the side's two blocks."""
    calls_per_block: tuple[int, int]
    """Calls in a block of the standard and of the separable side."""
    disturbed_rounds: int
    """As in `Measurement`."""
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


def measure(call: Call, clock: Clock, policy: Policy, watch: Watch | None = None) -> Measurement:
    """Time one callable: the first call, warm-up, then rounds until the policy says stop.

    `watch` tells which rounds to keep; without one every round counts.
    """
    with _without_garbage_collection():
        first_call, warm = _warm_up(call, clock, policy)
        calls = _calls_for(policy.round_time, warm)

        def take() -> _Round:
            elapsed = clock.time(call, calls)
            device = () if elapsed.device is None else (elapsed.device / calls,)
            return _Round(elapsed.wall / calls, elapsed.wall, device)

        rounds, disturbed, stopped = _sample(take, policy, watch or NoWatch())
    return Measurement(
        samples=tuple(one.value for one in rounds),
        device_samples=tuple(device for one in rounds for device in one.parts),
        calls_per_round=calls,
        first_call=first_call,
        disturbed_rounds=disturbed,
        stopped=stopped,
    )


def measure_pair(
    standard: Call, separable: Call, clock: Clock, policy: Policy, watch: Watch | None = None
) -> PairMeasurement:
    """Time two callables against each other, in one process, in alternating blocks.

    A round is four blocks, A B B A and then B A A B in turn: what drifts linearly over a round cancels in its ratio,
    and neither side is always first. `watch` is as in `measure`.
    """
    sides = (standard, separable)
    with _without_garbage_collection():
        calls = [_calls_for(policy.block_time, _warm_up(side, clock, policy)[1]) for side in sides]
        orders = itertools.cycle([(0, 1, 1, 0), (1, 0, 0, 1)])

        def take() -> _Round:
            blocks: tuple[list[float], list[float]] = ([], [])
            for side in next(orders):
                blocks[side].append(clock.time(sides[side], calls[side]).wall)
            times = tuple(math.sqrt(one * two) / n for (one, two), n in zip(blocks, calls, strict=True))
            return _Round(times[0] / times[1], sum(map(sum, blocks)), times)

        rounds, disturbed, stopped = _sample(take, policy, watch or NoWatch())
    standard_samples, separable_samples = zip(*(one.parts for one in rounds), strict=True)
    return PairMeasurement(standard_samples, separable_samples, (calls[0], calls[1]), disturbed, stopped)


@dataclass(frozen=True)
class _Round:
    value: float
    """What the stopping rule looks at."""
    wall: float
    """Seconds that the round took."""
    parts: tuple[float, ...]
    """What else is kept of it."""


def _sample(take: Callable[[], _Round], policy: Policy, watch: Watch) -> tuple[list[_Round], int, Stopped]:
    """Take rounds until the policy says stop. Returns the rounds that count, how many were disturbed, and why it ended.

    The machine is looked at before and after each group of rounds; a group counts when it was undisturbed both times.
    """
    kept: list[_Round] = []
    disturbed: list[_Round] = []
    quiet = watch.wait()
    while True:
        group = [take()]
        while sum(one.wall for one in group) < policy.group_time:
            group.append(take())
        still_quiet = watch.quiet()
        (kept if quiet and still_quiet else disturbed).extend(group)
        stopped = _stop(kept, disturbed, policy)
        if stopped == "disturbed":
            return kept + disturbed, len(disturbed), stopped
        if stopped:
            return kept, len(disturbed), stopped
        quiet = still_quiet or watch.wait()


def _stop(kept: list[_Round], disturbed: list[_Round], policy: Policy) -> Stopped | None:
    spent, wasted = (sum(one.wall for one in rounds) for rounds in (kept, disturbed))
    overtime = spent + wasted >= policy.overtime * policy.max_time
    if len(kept) < MIN_SAMPLES:
        return "disturbed" if overtime and disturbed and len(kept) + len(disturbed) >= MIN_SAMPLES else None
    if spent >= policy.min_time and half_width([one.value for one in kept]) <= policy.precision:
        return "precise"
    if spent >= policy.max_time or overtime:
        return "time budget"
    return "round limit" if len(kept) >= policy.max_rounds else None


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
