"""Sampling: warm-up, rounds until the figure is precise enough, and alternating blocks for a ratio.

A case is sampled in visits. A latency needs one; a speedup is visited several times over the whole sweep, because what
disturbs a shared machine lasts for seconds to minutes: rounds of one visit are alike, rounds of two visits are not.
Needs no torch.
"""

from __future__ import annotations

import gc
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Literal, TypeVar

from mnv1.base.statistics import MIN_SAMPLES, half_width
from mnv1.cases.devices.clock import Call, Clock, Meter
from mnv1.measure.quiet import NoWatch, Reading, Watch

Sample = TypeVar("Sample")

Stopped = Literal["precise", "no longer improving", "time budget", "round limit", "disturbed"]
"""Why sampling ended: the interval was narrow enough; more rounds no longer narrowed it; the time was spent; enough
rounds were kept; or the machine was disturbed for so long that the disturbed rounds have to count as well."""

STALLED = 0.9
"""Four times as many independent rounds halve an interval; when they leave more than this share of it, what varies is
the machine, and more rounds of the same visit will not help."""


@dataclass(frozen=True)
class Policy:
    """When sampling of one case stops, and how long a round is; times in seconds."""

    visit_time: float
    """Rounds of one visit take about this long; at least `MIN_SAMPLES` rounds of a latency, one of a speedup."""
    max_time: float
    """Time budget of all visits together."""
    min_visits: int = 1
    """Speedups: the fewest visits that carry a figure."""
    precision: float = 0.02
    """Stop when the 95 % interval is within plus or minus this share of the figure."""
    min_time: float = 0.1
    """Never stop as precise before this much time was sampled: neighbouring calls are alike, a machine drifts."""
    max_rounds: int = 400
    """Most rounds of a latency."""
    round_time: float = 1e-3
    """A round is at least this long: shorter calls are averaged within a round."""
    block_time: float = 10e-3
    """The same for an alternating block: its first, cold call must not matter."""
    group_time: float = 30e-3
    """The machine is looked at again after this much time of rounds."""
    warmup_time: float = 0.1
    """Before the first round of a case, and once: later visits begin with one call where a round has several."""


@dataclass(frozen=True)
class Visit:
    """What one visit to a case sampled; times in seconds per call."""

    sides: tuple[tuple[float, ...], ...]
    """The rounds of the one side of a latency, or of the standard and the separable side of a speedup, where a round
    is the geometric mean of the side's two blocks."""
    disturbed: tuple[bool, ...]
    """Whether the machine was disturbed, for each round; it was when it throttled this process."""
    calls: tuple[int, ...]
    """Calls in a round (or block) of each side."""
    call_time: float
    """Seconds that all calls took, warm-up included."""
    stopped: Stopped
    device: tuple[float, ...] = ()
    """Latencies on CUDA: the same rounds timed by events."""
    extras: dict[str, object] = field(default_factory=dict)
    """Facts that were found beside the timing, such as peak memory."""
    controls: tuple[Reading, ...] = ()
    """Of a speedup: what controls of the machine took before the first round and after each, seconds."""
    throttled: tuple[bool, ...] = ()
    """Whether the kernel stopped this process for its quota, for each round; empty where it never did."""

    @property
    def rounds(self) -> tuple[tuple[float, ...], ...]:
        """The same, one tuple of sides a round."""
        return tuple(zip(*self.sides, strict=True))


@dataclass(frozen=True)
class _Round:
    times: tuple[float, ...]
    wall: float
    """Seconds that the round took."""
    device: tuple[float, ...] = ()
    disturbed: bool = False
    throttled: bool = False


def visit(call: Call, clock: Clock, policy: Policy, watch: Watch | None = None, earlier: Visit | None = None) -> Visit:
    """Time one callable: warm-up, then rounds until the policy says stop.

    `watch` tells which rounds are disturbed; without one none is. A round has as many calls as in an `earlier` visit.
    """
    meter = Meter(clock)
    with _without_garbage_collection():
        (count,) = earlier.calls if earlier else (_calls_for(policy.round_time, _warm_up(call, meter, policy)),)

        def take() -> _Round:
            elapsed = meter.time(call, count)
            device = () if elapsed.device is None else (elapsed.device / count,)
            return _Round((elapsed.wall / count,), elapsed.wall, device)

        rounds, stopped = _sample(take, policy, watch or NoWatch(), _stop)
    return _as_visit(rounds, (count,), meter.total, stopped)


def visit_pair(
    standard: Call,
    separable: Call,
    clock: Clock,
    policy: Policy,
    watch: Watch | None = None,
    earlier: Visit | None = None,
) -> Visit:
    """Time two callables against each other, in one process, in alternating blocks, for one visit's time.

    A round is four blocks, A B B A and then B A A B in turn: what drifts linearly over a round cancels in its ratio,
    and neither side is always first. `watch` and `earlier` are as in `visit`.
    """
    meter, sides, watch = Meter(clock), (standard, separable), watch or NoWatch()
    with _without_garbage_collection():
        if earlier:
            counts = earlier.calls
            for side, count in zip(sides, counts, strict=True):
                if count > 1:  # a block of one long call does not notice that caches were cold
                    meter.time(side, 1)
        else:
            counts = tuple(_calls_for(policy.block_time, _warm_up(side, meter, policy)) for side in sides)
        orders = itertools.cycle([(0, 1, 1, 0), (1, 0, 0, 1)])

        def take() -> _Round:
            blocks: tuple[list[float], list[float]] = ([], [])
            disturbed = False
            for side in next(orders):
                blocks[side].append(meter.time(sides[side], counts[side]).wall)
                if blocks[side][-1] >= policy.group_time:  # a long block is looked after by itself
                    disturbed = not watch.quiet() or disturbed
            times = tuple(math.sqrt(one * two) / n for (one, two), n in zip(blocks, counts, strict=True))
            return _Round(times, sum(map(sum, blocks)), disturbed=disturbed)

        def stop(rounds: Sequence[_Round], policy: Policy) -> Stopped | None:
            return "time budget" if sum(one.wall for one in rounds) >= policy.visit_time else None

        rounds, stopped = _sample(take, policy, watch, stop)
    return _as_visit(rounds, counts, meter.total, stopped)


def calls_of_block(call: Call, clock: Clock, policy: Policy) -> int:
    """Warm a call up, and say how many of them a block takes."""
    with _without_garbage_collection():
        return _calls_for(policy.block_time, _warm_up(call, clock, policy))


def block(call: Call, clock: Clock, calls: int) -> float:
    """Seconds a call, over a block of calls between those of others.

    One call goes before that is not timed, unless the block is a single long one: caches are cold by then.
    """
    with _without_garbage_collection():
        if calls > 1:
            clock.time(call, 1)
        return clock.time(call, calls).wall / calls


def is_stalled(
    samples: Sequence[Sample], width: Callable[[Sequence[Sample]], float], fewest: int = 2 * MIN_SAMPLES
) -> bool:
    """Whether the interval hardly narrowed while the number of samples grew fourfold, from `fewest` or more."""
    quarter = len(samples) // 4
    return quarter >= fewest and width(samples) > STALLED * width(samples[:quarter])


def _as_visit(rounds: list[_Round], calls: tuple[int, ...], call_time: float, stopped: Stopped) -> Visit:
    return Visit(
        sides=tuple(zip(*(one.times for one in rounds), strict=True)),
        disturbed=tuple(one.disturbed for one in rounds),
        calls=calls,
        call_time=call_time,
        stopped=stopped,
        device=tuple(seconds for one in rounds for seconds in one.device),
        throttled=tuple(one.throttled for one in rounds) if any(one.throttled for one in rounds) else (),
    )


def _sample(
    take: Callable[[], _Round],
    policy: Policy,
    watch: Watch,
    stop: Callable[[Sequence[_Round], Policy], Stopped | None],
) -> tuple[list[_Round], Stopped]:
    """Take rounds until `stop` gives a reason. Returns them and the reason.

    The machine is looked at before and after each group of rounds; a group is undisturbed when it was both times, and
    the process was not throttled in between.
    """
    rounds: list[_Round] = []
    quiet = watch.quiet()
    watch.throttled()  # what was before the first round does not matter
    while True:
        group = [take()]
        while sum(one.wall for one in group) < policy.group_time:
            group.append(take())
        still_quiet = watch.quiet()
        throttled = watch.throttled()  # after the controls: the kernel counts a period when it is over
        if throttled or not (quiet and still_quiet):
            group = [replace(one, disturbed=True, throttled=throttled) for one in group]
        rounds += group
        quiet = still_quiet
        stopped = stop(rounds, policy)
        if stopped:
            return rounds, stopped


def _stop(rounds: Sequence[_Round], policy: Policy) -> Stopped | None:
    kept = [one for one in rounds if not one.disturbed]
    samples = [one.times[0] for one in kept]
    if len(samples) >= MIN_SAMPLES:
        if sum(one.wall for one in kept) >= policy.min_time and half_width(samples) <= policy.precision:
            return "precise"
        if len(samples) >= policy.max_rounds:
            return "round limit"
        if half_width(samples) > policy.precision and is_stalled(samples, half_width):
            return "no longer improving"
    if len(rounds) >= MIN_SAMPLES and sum(one.wall for one in rounds) >= policy.visit_time:
        return "time budget" if len(samples) >= MIN_SAMPLES else "disturbed"
    return None


def _warm_up(call: Call, clock: Clock, policy: Policy) -> float:
    """Warm up, and the median seconds per call meanwhile."""
    warm: list[float] = []
    spent, calls = 0.0, 1
    while spent < policy.warmup_time:
        wall = clock.time(call, calls).wall
        spent += wall
        warm.append(wall / calls)
        if wall < policy.round_time:  # a timing this short says little: time more calls at once
            calls *= 2
    return median(warm)


def _calls_for(seconds: float, per_call: float) -> int:
    return max(1, math.ceil(seconds / per_call))


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
