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
import torch

Control = Callable[[], float]

TOLERANCE = 1.25
"""A control this many times above its baseline means that the machine is disturbed."""

BATCH = 50
"""Readings of which the best decile stands for the machine's state at their time."""


class Watch(Protocol):
    """Looks at the machine before and after each group of rounds."""

    def quiet(self) -> bool:
        """Whether the machine is undisturbed right now."""

    def wait(self) -> bool:
        """Wait a while for the machine to be undisturbed; whether it is."""


class NoWatch:
    """Takes every round as it comes."""

    def quiet(self) -> bool:
        """Always."""
        return True

    def wait(self) -> bool:
        """At once."""
        return True


class ControlWatch:
    """Compares controls with their own baseline: the best batch of readings since the session began.

    `patience` bounds one wait and `allowance` all of them together, in seconds, so that a machine which is always
    disturbed is measured all the same: the rounds then say so.
    """

    def __init__(
        self,
        controls: Sequence[Control],
        patience: float = 3.0,
        allowance: float = 75.0,
        now: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._controls = controls
        self._batch: list[tuple[float, ...]] = []
        self.baseline: tuple[float, ...] = (math.inf,) * len(controls)
        """Of each control, in seconds: the lowest of all batches' best deciles; infinite before the first is full."""
        self._patience, self._allowance, self._now = patience, allowance, now
        self.waited = 0.0
        """Seconds of all waits so far."""

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
        return all(value <= TOLERANCE * usual for value, usual in zip(reading, self.baseline, strict=True))

    def wait(self) -> bool:
        """Read the controls until they are quiet, the patience is over or the session's allowance is spent."""
        start = self._now()
        quiet = self.quiet()
        while not quiet and self._now() - start < min(self._patience, self._allowance - self.waited):
            quiet = self.quiet()
        self.waited += self._now() - start
        return quiet


def cpu_controls() -> tuple[Control, Control]:
    """Two controls that use all threads: many short operators (cooperation of threads) and a matrix product (speed).

    Together they take about a millisecond, and stay within a typical second-level cache so as not to disturb much.
    """
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
