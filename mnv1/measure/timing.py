"""Sampling: warm-up, rounds, and alternating blocks for a ratio.

A case is sampled in many short visits, spread over the whole sweep: what disturbs a shared machine lasts for seconds to
minutes, so that rounds of one visit are alike and rounds of two visits are not. Needs no torch.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Literal

from mnv1.base.run_to_run import USUAL, RunToRun
from mnv1.cases.devices.clock import Call, Clock, Meter
from mnv1.measure.watch import NoWatch, Watch

Stopped = Literal["precise", "time budget", "interrupted"]
"""Why sampling of a case ended: its intervals were narrow enough, its time or that of the sweep was spent, or the sweep
was ended before."""

AGAIN_WARM = 0.03
"""Seconds of calls of each side that a later visit begins with. Caches hold what others have left, and a CPU that had
nothing to do meanwhile wakes up slowly: without these calls the first round of a visit scattered three times as much as
the others."""
LONG_CALL = 0.15
"""Seconds of a call to which that does not matter."""


COLD_CALL = 0.03
"""Seconds of a call below which a block begins with one that is not timed: it finds what the other side has left in the
caches. Two runs whose blocks had 3 and 20 calls, or 4 and 18, differed by 10 % in the speedup of a block, in each state
of the machine alike."""


@dataclass(frozen=True)
class Policy:
    """When sampling of one case stops, and how long a round is; times in seconds."""

    visit_time: float
    """Rounds of one visit take about this long, at least one."""
    max_time: float
    """Time budget of all visits together."""
    min_visits: int = 2
    """The fewest visits that carry a figure."""
    min_rounds: int = 10
    """The fewest rounds that carry a figure of one state of the machine, unless they are of `enough_visits`."""
    enough_visits: int = 6
    """Visits that carry a figure whatever the number of their rounds: to calls so long that a visit is one round."""
    precision: float = 0.02
    """Stop when the 95 % interval is within plus or minus this share of the figure."""
    round_time: float = 1e-3
    """A round is at least this long: shorter calls are averaged within a round."""
    block_time: float = 10e-3
    """The same for an alternating block: its first, cold call must not matter."""
    group_time: float = 30e-3
    """The machine is looked at again after this much time of rounds."""
    warmup_time: float = 0.1
    """Before the first round of a case, and once: later visits begin with fewer calls."""
    run_to_run: RunToRun = USUAL
    """What figures differ by between runs."""
    cold: bool = False
    """Whether caches are emptied before every call; a round, or a block, is one call then."""

    def is_enough(self, visits: int, rounds: int) -> bool:
        """Whether so many visits with so many rounds in all, in one state of the machine, carry a figure of it."""
        return visits >= self.enough_visits or (visits >= self.min_visits and rounds >= self.min_rounds)


@dataclass(frozen=True)
class Visit:
    """What one visit to a case sampled; times in seconds per call."""

    sides: tuple[tuple[float, ...], ...]
    """The rounds of the one side of a latency, or of the standard and the separable side of a speedup, where a round
    is the geometric mean of the side's blocks."""
    calls: tuple[int, ...]
    """Calls in a round (or block) of each side."""
    call_time: float
    """Seconds that all calls took, warm-up included."""
    device: tuple[float, ...] = ()
    """Latencies on CUDA: the same rounds timed by events."""
    extras: dict[str, object] = field(default_factory=dict)
    """Facts that were found beside the timing, such as peak memory."""
    messages: tuple[tuple[float, float], ...] = ()
    """The shortest and the longest message between CPUs that was read around each round, seconds; empty where messages
    cannot be read."""
    throttled: tuple[bool, ...] = ()
    """Whether the kernel stopped this process for its quota, for each round; empty where it never did."""
    at: float = 0.0
    """Seconds after the beginning of the sweep."""

    @property
    def rounds(self) -> tuple[tuple[float, ...], ...]:
        """The same, one tuple of sides a round."""
        return tuple(zip(*self.sides, strict=True))

    @property
    def seconds(self) -> tuple[float, ...]:
        """Seconds of each round, of one block a side."""
        return tuple(sum(n * one for n, one in zip(self.calls, times, strict=True)) for times in self.rounds)


@dataclass(frozen=True)
class _Round:
    times: tuple[float, ...]
    wall: float
    """Seconds that the round took."""
    device: tuple[float, ...] = ()
    looks: tuple[float | None, ...] = ()
    """What was read within it, and then around it."""
    throttled: bool = False


def visit(call: Call, clock: Clock, policy: Policy, watch: Watch | None = None, earlier: Visit | None = None) -> Visit:
    """Time one callable for one visit's time: warm-up, then rounds.

    `watch` looks at the machine around each group of rounds. A round has as many calls as in an `earlier` visit.
    """
    meter = Meter(clock)
    with _without_garbage_collection():
        if earlier:
            (count,) = earlier.calls
            _warm_again(call, meter, policy, earlier.sides[0])
        else:
            count = _calls_for(policy.round_time, _warm_up(call, meter, policy))

        def take() -> _Round:
            elapsed = meter.time(call, count)
            device = () if elapsed.device is None else (elapsed.device / count,)
            return _Round((elapsed.wall / count,), elapsed.spent, device)

        rounds = _sample(take, policy, watch or NoWatch())
    return _as_visit(rounds, (count,), meter.total)


def visit_pair(
    standard: Call,
    separable: Call,
    clock: Clock,
    policy: Policy,
    watch: Watch | None = None,
    earlier: Visit | None = None,
    number: int = 0,
) -> Visit:
    """Time two callables against each other, in one process, in alternating blocks, for one visit's time.

    A round is four blocks, A B A B, so that each follows one of the other side and finds what that has left in the
    caches; one of short calls begins with a call that is not timed. (In A B B A the second B was up to 4 % faster, in
    B A A B the second A.) The side that begins changes from visit to visit, of which this is the one of that `number`,
    so that what drifts favours neither. Of calls so long that one of each side takes a visit's time, a round is A B.
    `watch` and `earlier` are as in `visit`.
    """
    meter, sides, watch = Meter(clock), (standard, separable), watch or NoWatch()
    with _without_garbage_collection():
        if earlier:
            counts, long = earlier.calls, _are_long(earlier, policy)
            seconds = [median(times) for times in earlier.sides]
            for side, times in zip(sides, earlier.sides, strict=True):
                _warm_again(side, meter, policy, times)
        else:
            seconds = [_warm_up(side, meter, policy) for side in sides]
            counts = tuple(_calls_for(policy.block_time, one) for one in seconds)
            long = sum(seconds) >= policy.visit_time
        order = ((0, 1), (1, 0))[number % 2] * (1 if long else 2)

        def take() -> _Round:
            blocks: tuple[list[float], list[float]] = ([], [])
            looks: list[float | None] = []
            spent = 0.0
            for side in order:
                if seconds[side] < COLD_CALL and not policy.cold:
                    meter.time(sides[side], 1)
                elapsed = meter.time(sides[side], counts[side])
                blocks[side].append(elapsed.wall)
                spent += elapsed.spent
                if blocks[side][-1] >= policy.group_time:  # a long block is looked after by itself
                    looks.append(watch.look())
            times = tuple(math.prod(one) ** (1 / len(one)) / n for one, n in zip(blocks, counts, strict=True))
            return _Round(times, spent, looks=tuple(looks))

        rounds = _sample(take, policy, watch)
    return _as_visit(rounds, counts, meter.total)


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


def _are_long(visited: Visit, policy: Policy) -> bool:
    """Whether a block of each side takes longer than a visit."""
    return sum(n * median(times) for n, times in zip(visited.calls, visited.sides, strict=True)) >= policy.visit_time


def _warm_again(call: Call, meter: Meter, policy: Policy, times: Sequence[float]) -> None:
    """Before rounds of a case since whose last visit others were called; not where a call is long."""
    if median(times) < LONG_CALL:
        meter.time(call, 1 if policy.cold else _calls_for(AGAIN_WARM, median(times)))


def _as_visit(rounds: list[_Round], calls: tuple[int, ...], call_time: float) -> Visit:
    looks = [[seconds for seconds in one.looks if seconds is not None] for one in rounds]
    return Visit(
        sides=tuple(zip(*(one.times for one in rounds), strict=True)),
        calls=calls,
        call_time=call_time,
        device=tuple(seconds for one in rounds for seconds in one.device),
        messages=tuple((min(one), max(one)) for one in looks) if all(looks) else (),
        throttled=tuple(one.throttled for one in rounds) if any(one.throttled for one in rounds) else (),
    )


def _sample(take: Callable[[], _Round], policy: Policy, watch: Watch) -> list[_Round]:
    """Take rounds for a visit's time, and look at the machine before and after each group of them."""
    rounds: list[_Round] = []
    before = watch.look()
    watch.throttled()  # what was before the first round does not matter
    while not rounds or sum(one.wall for one in rounds) < policy.visit_time:
        group = [take()]
        while sum(one.wall for one in group) < min(policy.group_time, policy.visit_time):
            group.append(take())
        after = watch.look()
        throttled = watch.throttled()  # after the look: the kernel counts a period when it is over
        rounds += [replace(one, looks=(before, *one.looks, after), throttled=throttled) for one in group]
        before = after
    return rounds


def _warm_up(call: Call, clock: Clock, policy: Policy) -> float:
    """Warm up, and the median seconds per call meanwhile."""
    warm: list[float] = []
    spent, calls = 0.0, 1
    while spent < policy.warmup_time:
        elapsed = clock.time(call, calls)
        spent += elapsed.spent
        warm.append(elapsed.wall / calls)
        if elapsed.wall < policy.round_time:  # a timing this short says little: time more calls at once
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
