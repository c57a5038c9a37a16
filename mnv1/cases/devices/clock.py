"""Clocks: how long some calls take until their work is done. Devices make them; tests use fixed ones."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

Call = Callable[[], object]


@dataclass(frozen=True)
class Elapsed:
    """Seconds that a round of calls took: by the wall clock and, on a GPU, between events on its stream."""

    wall: float
    device: float | None = None
    beside: float = 0.0
    """Seconds that went into what is not timed: emptying caches."""

    @property
    def spent(self) -> float:
        """Seconds that it all took."""
        return self.wall + self.beside


class Clock(Protocol):
    """Times a round of calls."""

    def time(self, call: Call, calls: int) -> Elapsed:
        """Run `call` `calls` times and say how long all of them took together, in seconds."""


class Laps(Protocol):
    """Times the parts of a call, between marks that the call sets."""

    def mark(self) -> None:
        """A part ends here and the next begins."""

    def seconds(self) -> list[float]:
        """Seconds between each mark and the next."""


def _at_once() -> None:
    """Nothing to wait for: calls finish before they return."""


class WallClock:
    """Wall clock around a round of calls; `wait` waits until a device is done, before and after the round only.

    The host queues calls ahead of a device, as real programs do; waiting after each call would add its own cost to
    every one of them.
    """

    def __init__(self, wait: Callable[[], object] = _at_once) -> None:
        self._wait = wait

    def time(self, call: Call, calls: int) -> Elapsed:
        """See `Clock.time`."""
        self._wait()
        start = time.perf_counter()
        for _ in range(calls):
            call()
        self._wait()
        return Elapsed(time.perf_counter() - start)


class ColdClock:
    """Another clock, for calls that find nothing of theirs in a cache: `empty` runs before each, and is not timed."""

    def __init__(self, clock: Clock, empty: Call) -> None:
        self._clock, self._empty = clock, empty

    def time(self, call: Call, calls: int) -> Elapsed:
        """See `Clock.time`."""
        found, start = [], time.perf_counter()
        for _ in range(calls):
            self._empty()
            found.append(self._clock.time(call, 1))
        wall = sum(one.wall for one in found)
        device = [one.device for one in found if one.device is not None]
        beside = max(0.0, time.perf_counter() - start - wall)
        return Elapsed(wall, sum(device) if len(device) == calls else None, beside)


class WallLaps:
    """The wall clock at each mark, when a device is done."""

    def __init__(self, wait: Callable[[], object] = _at_once) -> None:
        self._wait = wait
        self._moments: list[float] = []

    def mark(self) -> None:
        """See `Laps.mark`."""
        self._wait()
        self._moments.append(time.perf_counter())

    def seconds(self) -> list[float]:
        """See `Laps.seconds`."""
        return [after - before for before, after in pairwise(self._moments)]


class Meter:
    """A clock that also adds up what it timed: the seconds that a case's own calls took."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.total = 0.0

    def time(self, call: Call, calls: int) -> Elapsed:
        """See `Clock.time`."""
        elapsed = self._clock.time(call, calls)
        self.total += elapsed.spent
        return elapsed
