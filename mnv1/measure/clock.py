"""Clocks: how long some calls take until their work is done, on the CPU and on a CUDA device.

torch is imported only where a device is timed: the process that plans a sweep needs the types alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

from mnv1.cases.case import Device

Call = Callable[[], object]


@dataclass(frozen=True)
class Elapsed:
    """Seconds that a round of calls took: by the wall clock and, on a GPU, between events on its stream."""

    wall: float
    device: float | None = None


class Clock(Protocol):
    """Times a round of calls; tests use one with a fixed distribution."""

    def time(self, call: Call, calls: int) -> Elapsed:
        """Run `call` `calls` times and say how long all of them took together, in seconds."""


class CpuClock:
    """Wall clock around a round of calls that finish before they return."""

    def time(self, call: Call, calls: int) -> Elapsed:
        """See `Clock.time`."""
        start = time.perf_counter()
        for _ in range(calls):
            call()
        return Elapsed(time.perf_counter() - start)


class CudaClock:
    """Wall clock and CUDA events around a round of calls, synchronised before and after the round only.

    The host queues calls ahead of the device, as real programs do; a synchronisation after each call would add its
    own cost to every one of them.
    """

    def __init__(self) -> None:
        import torch

        self._cuda = torch.cuda
        self._start = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        self._end = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]

    def time(self, call: Call, calls: int) -> Elapsed:
        """See `Clock.time`; the device's time includes gaps in which it waits for the host."""
        self._cuda.synchronize()
        start = time.perf_counter()
        self._start.record()
        for _ in range(calls):
            call()
        self._end.record()
        self._end.synchronize()
        wall = time.perf_counter() - start
        return Elapsed(wall, self._start.elapsed_time(self._end) / 1e3)  # events count milliseconds


class Meter:
    """A clock that also adds up what it timed: the seconds that a case's own calls took."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.total = 0.0

    def time(self, call: Call, calls: int) -> Elapsed:
        """See `Clock.time`."""
        elapsed = self._clock.time(call, calls)
        self.total += elapsed.wall
        return elapsed


def clock_for(device: Device) -> Clock:
    """The clock of a device."""
    return CudaClock() if device == "cuda" else CpuClock()


class Laps(Protocol):
    """Times the parts of a call, between marks that the call sets; tests use one with fixed moments."""

    def mark(self) -> None:
        """A part ends here and the next begins."""

    def seconds(self) -> list[float]:
        """Seconds between each mark and the next."""


class CpuLaps:
    """The wall clock at each mark."""

    def __init__(self) -> None:
        self._moments: list[float] = []

    def mark(self) -> None:
        """See `Laps.mark`."""
        self._moments.append(time.perf_counter())

    def seconds(self) -> list[float]:
        """See `Laps.seconds`."""
        return [after - before for before, after in pairwise(self._moments)]


class CudaLaps:
    """An event on the stream at each mark, so that the host need not wait; synchronised once, when all are set."""

    def __init__(self) -> None:
        import torch

        self._event = torch.cuda.Event
        self._events: list[Any] = []

    def mark(self) -> None:
        """See `Laps.mark`."""
        event = self._event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record()
        self._events.append(event)

    def seconds(self) -> list[float]:
        """See `Laps.seconds`; gaps in which the device waits for the host belong to the part that they are in."""
        self._events[-1].synchronize()
        return [before.elapsed_time(after) / 1e3 for before, after in pairwise(self._events)]  # milliseconds


def laps_for(device: Device) -> Laps:
    """What times the parts of a call on a device."""
    return CudaLaps() if device == "cuda" else CpuLaps()
