"""Whether the machine is undisturbed right now, told by controls that contain nothing of what is measured.

On a shared machine episodes of some seconds come and go in which two threads work together badly (the hypervisor moves
a virtual CPU, a neighbour takes a core's other half): a 64 -> 128 separable block took 0.65 ms outside of them and
1.4 ms within, its standard twin 2.4 and 3.3 ms, so the speedup itself went from 3.7 to 2.3. Nothing that the kernel
reports (steal time, context switches, page faults) shows them; two small controls do. Rounds are judged by these
controls alone, never by their own length, so that choosing them cannot favour a result.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

Control = Callable[[], float]
Baseline = tuple[float, ...]

TOLERANCE = 1.25
"""A control this many times above its baseline means that the machine is disturbed."""

BATCH = 50
"""Readings of which the best decile stands for the machine's state at their time."""


class Watch(Protocol):
    """Looks at the machine before and after each group of rounds."""

    def quiet(self) -> bool:
        """Whether the machine is undisturbed right now."""

    def slowness(self) -> list[float]:
        """How slow the machine was at each look since this was asked last, 1 for its best."""


class NoWatch:
    """Takes every round as it comes."""

    def quiet(self) -> bool:
        """Always."""
        return True

    def slowness(self) -> list[float]:
        """Nobody looked."""
        return []


class ControlWatch:
    """Compares controls with their own baseline: the best batch of readings since the session began.

    `baseline` is what an earlier process of the same session had learned.
    """

    def __init__(self, controls: Sequence[Control], baseline: Baseline = ()) -> None:
        self._controls = controls
        self._batch: list[tuple[float, ...]] = []
        self._slowness: list[float] = []
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
        slowness = max(value / usual for value, usual in zip(reading, self.baseline, strict=True))
        self._slowness.append(slowness)
        return slowness <= TOLERANCE

    def slowness(self) -> list[float]:
        """How many times its baseline the slower control took, for each look since this was asked last."""
        seen, self._slowness = self._slowness, []
        return seen


def cpu_controls() -> tuple[Control, Control]:
    """Two controls that use all threads: many short operators (cooperation of threads) and a matrix product (speed).

    Together they take about a millisecond, and stay within a typical second-level cache so as not to disturb much.
    """
    import torch

    values = torch.randn(70_000)  # just above the size from which torch shares an element-wise operator among threads
    matrix = torch.randn(256, 256)

    def timed(call: Callable[[], object], warm: int, calls: int) -> float:
        with torch.inference_mode():
            for _ in range(warm):
                call()
            start = time.perf_counter()
            for _ in range(calls):
                call()
            return (time.perf_counter() - start) / calls

    return (lambda: timed(lambda: values.add(1), 3, 20)), (lambda: timed(lambda: matrix @ matrix, 1, 2))
