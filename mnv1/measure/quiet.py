"""Whether the machine is undisturbed right now, told by controls that contain nothing of what is measured.

On a shared machine episodes of some seconds come and go in which two threads work together badly (the hypervisor moves
a virtual CPU, a neighbour takes a core's other half): a 64 -> 128 separable block took 0.65 ms outside of them and
1.4 ms within, its standard twin 2.4 and 3.3 ms, so the speedup itself went from 3.7 to 2.3. Nothing that the kernel
reports (steal time, context switches, page faults) shows them; small controls do. Rounds are judged by these
controls alone, never by their own length, so that choosing or weighing them cannot favour a result.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from mnv1.cases.devices.cpu import cache_size
from mnv1.measure.quota import ThrottleMeter

Control = Callable[[], float]
Baseline = tuple[float, ...]
Reading = tuple[float, ...]

TOLERANCE = 1.25
"""A control this many times above its baseline means that the machine is disturbed."""

UNKNOWN_CACHE = 2**20
FLOAT = 4
"""Bytes."""

BATCH = 50
"""Readings of which the best decile stands for the machine's state at their time."""


QUIETEST = 0.02
"""Share of all readings of a control that are as fast as on an undisturbed machine."""

STEEPNESS = 4
"""A round counts by the inverse of this power of how slow each control was: at 1.2 times the usual it counts half."""


def usual(readings: Sequence[Reading]) -> Reading:
    """What each control takes on the undisturbed machine, from all readings of a run; empty without any."""
    return tuple(np.quantile(np.asarray(readings), QUIETEST, axis=0).tolist()) if len(readings) else ()


def quietness(readings: Sequence[Reading], rounds: int, usual: Reading) -> list[float]:
    """How much each of a visit's rounds counts, 1 on an undisturbed machine: less, the slower the controls were.

    The readings are those at the visit's beginning, after each round and, where a round's blocks are long, after each
    of these; what surrounds a round tells of it. Controls contain nothing of what is measured, so that weighing by
    them cannot favour a result. Without readings every round counts alike.
    """
    if not readings or not usual:
        return [1.0] * rounds
    slowness = np.log(np.asarray(readings) / np.asarray(usual)).clip(min=0).sum(axis=1)
    each, rest = divmod(len(readings) - 1, rounds)
    if each == 0 or rest:  # blocks about as long as a look waits for: readings are those of the visit
        return [float(math.exp(-STEEPNESS * slowness.mean()))] * rounds
    around = [slowness[number * each : (number + 1) * each + 1].mean() for number in range(rounds)]
    return [float(math.exp(-STEEPNESS * one)) for one in around]


class Watch(Protocol):
    """Looks at the machine before and after each group of rounds."""

    def quiet(self) -> bool:
        """Whether the machine is undisturbed right now."""

    def throttled(self) -> bool:
        """Whether the kernel stopped this process for its quota since this was asked last."""

    def readings(self) -> list[Reading]:
        """Seconds of every control, and of what is read beside them, at each look since this was asked last."""


class NoWatch:
    """Takes every round as it comes."""

    def quiet(self) -> bool:
        """Always."""
        return True

    def throttled(self) -> bool:
        """Nobody looked."""
        return False

    def readings(self) -> list[Reading]:
        """Nobody looked."""
        return []


class QuotaWatch(NoWatch):
    """Takes every round as it comes, but one in which the kernel stopped this process for its quota."""

    def __init__(self) -> None:
        self._meter = ThrottleMeter()

    def throttled(self) -> bool:
        """See `Watch.throttled`."""
        return self._meter.throttled()


class ControlWatch(QuotaWatch):
    """Compares controls with their own baseline: the best batch of readings since the session began.

    What is `beside` them is read at the same moments and judges nothing. `baseline` is what an earlier process of the
    same session had learned.
    """

    def __init__(self, controls: Sequence[Control], baseline: Baseline = (), beside: Sequence[Control] = ()) -> None:
        super().__init__()
        self._controls, self._beside = controls, beside
        self._batch: list[Reading] = []
        self._readings: list[Reading] = []
        self.baseline: Baseline = baseline or (math.inf,) * len(controls)
        """Of each control, in seconds: the lowest of all batches' best deciles; infinite before the first is full."""

    def learn(self, readings: int = 4 * BATCH) -> None:
        """Read the controls some times, so that there is something to compare with."""
        for _ in range(readings):
            self.quiet()

    def quiet(self) -> bool:
        """Whether no control is above its tolerance right now."""
        reading = tuple(control() for control in self._controls)
        self._batch.append(reading)
        if len(self._batch) == BATCH:
            # The lowest over batches, not the decile of all: a long disturbance must not become the new normal.
            best = np.percentile(self._batch, 10, axis=0)
            self.baseline = tuple(map(min, self.baseline, best.tolist()))
            self._batch.clear()
        self._readings.append(reading + tuple(control() for control in self._beside))
        return all(value <= TOLERANCE * usual for value, usual in zip(reading, self.baseline, strict=True))

    def readings(self) -> list[Reading]:
        """See `Watch.readings`."""
        seen, self._readings = self._readings, []
        return seen


def cpu_controls() -> tuple[Control, Control]:
    """Two controls that use all threads: many short operators (cooperation of threads) and a matrix product (speed).

    Together they take about a millisecond, and stay within a typical second-level cache so as not to disturb much.
    """
    import torch

    values = torch.randn(70_000)  # just above the size from which torch shares an element-wise operator among threads
    matrix = torch.randn(256, 256)

    return (lambda: _timed(lambda: values.add(1), 3, 20)), (lambda: _timed(lambda: matrix @ matrix, 1, 2))


def shared_cache_control() -> Control:
    """A control that all threads take through the cache that they share with neighbours, for half a millisecond.

    Two arrays, each as large as all second-level caches of these threads, are read and written in turns.
    """
    import torch

    size = torch.get_num_threads() * (cache_size(2) or UNKNOWN_CACHE)
    one, other = torch.zeros(2, size // FLOAT)

    def there_and_back() -> None:
        torch.add(one, 1, out=other)
        torch.add(other, 1, out=one)

    return lambda: _timed(there_and_back, 1, 1)


def _timed(call: Callable[[], object], warm: int, calls: int) -> float:
    import torch

    with torch.inference_mode():
        for _ in range(warm):
            call()
        start = time.perf_counter()
        for _ in range(calls):
            call()
        return (time.perf_counter() - start) / calls
