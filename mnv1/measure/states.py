"""The states that a machine was in during a run, found from how long messages took between its CPUs. Needs no clock.

A virtual machine's CPUs sit now on cores that share a cache, now on cores that do not; a bare machine has one state.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from mnv1.base.facts import APART, FAR, SHARED, Facts

MIXED = "states mixed"
"""Of a figure whose rounds met several states, none of them often enough for a figure of its own."""

BEYOND_CACHE = 105e-9
"""Seconds of a message, as Python reads it less its own share, above which two CPUs share no cache.

Compiled code reads 20 to 60 ns within a cache or a mesh, 85 to 170 ns between caches of one socket, 230 ns and more
between sockets (nviennot/core-to-core-latency, 2022). Python reads more of the same: 57 and 92 ns within a cache on two
machines, where between caches it read 205 to 240 and 230 to 278.
"""
BEYOND_SOCKET = 310e-9
"""Seconds above which they are farther apart than caches of one socket."""

LOST = 1.0
"""Seconds that stand for a message that did not arrive, because an end had no CPU to be on: it tells of no state."""

STEP = math.log(1.03)
"""Readings are counted in steps of 3 %."""
SMOOTHED = 2
"""Steps by which the counts are smoothed."""
VALLEY = 0.25
"""Two peaks are two states if the count between them falls below this share of the lower one."""
RARE = 0.005
"""Share of all readings below which a peak is no state."""
REACH = 1.7
"""Readings this many times above or below a peak belong to no state."""


@dataclass(frozen=True)
class State:
    """A state of the machine: readings from `low` to `high`, and their median, in seconds."""

    name: str
    low: float
    high: float
    message: float

    def holds(self, low: float, high: float) -> bool:
        """Whether readings between these two all belong to it."""
        return self.low <= low and high <= self.high


def find_states(readings: Sequence[float], own: float) -> list[State]:
    """The states that readings of messages tell apart, the nearest CPUs first; `own` is the interpreter's share.

    Readings are counted on a logarithmic scale, smoothed; a state is a peak that a valley parts from others.
    """
    values = np.asarray([one for one in readings if 0 < one < LOST])
    if not len(values):
        return []
    states: list[State] = []
    for low, high in _ranges(np.log(values)):
        among = values[(values >= low) & (values <= high)]
        message = float(np.median(among))
        name = _name(message - own)
        number = 1 + sum(one.name.startswith(name) for one in states)
        states.append(State(name if number == 1 else f"{name} ({number})", low, high, message))
    return states


def state_of(states: Sequence[State], around: tuple[float, float]) -> State | None:
    """The state in which all readings around a round were, given the lowest and the highest; None on a change."""
    return next((one for one in states if one.holds(*around)), None)


def _name(message: float) -> str:
    return SHARED if message < BEYOND_CACHE else APART if message < BEYOND_SOCKET else FAR


def _ranges(logs: np.ndarray) -> list[tuple[float, float]]:
    start, number = logs.min() - 4 * STEP, math.ceil((logs.max() - logs.min()) / STEP) + 9
    counts, edges = np.histogram(logs, bins=number, range=(start, start + number * STEP))
    window = np.exp(-0.5 * (np.arange(-3 * SMOOTHED, 3 * SMOOTHED + 1) / SMOOTHED) ** 2)
    smooth = np.convolve(counts, window / window.sum(), mode="same")
    peaks: list[int] = []
    for place in range(1, number - 1):
        if not (smooth[place - 1] < smooth[place] >= smooth[place + 1]):
            continue
        if peaks and smooth[peaks[-1] : place].min() > VALLEY * min(smooth[peaks[-1]], smooth[place]):
            peaks[-1] = max(peaks[-1], place, key=lambda one: smooth[one])  # one state with two humps
        else:
            peaks.append(place)
    ends = [0, *(one + int(smooth[one:other].argmin()) for one, other in pairwise(peaks)), number]
    found = []
    for peak, (low, high) in zip(peaks, pairwise(ends), strict=True):
        if counts[low:high].sum() >= max(RARE * len(logs), min(3, len(logs) / 10)):
            centre = math.exp((edges[peak] + edges[peak + 1]) / 2)
            found.append((max(math.exp(edges[low]), centre / REACH), min(math.exp(edges[high]), centre * REACH)))
    return found


def about_states(states: Sequence[State], seconds: Mapping[str, float], claimed: bool | None) -> Facts:
    """What a run's environment says of its states: names, messages and shares of the time that was sampled in them.

    `seconds` were sampled in each state by name, on changes under any other name. `state_note` is a sentence where the
    system claims a shared cache that messages do not know.
    """
    whole = sum(seconds.values()) or 1.0
    found = [
        {"state": one.name, "message": round(one.message, 9), "share": round(seconds.get(one.name, 0.0) / whole, 4)}
        for one in states
    ]
    if not found:
        return {}
    apart = [one for one in found if one["state"] != SHARED]
    facts: Facts = {"states": found}
    if claimed and apart:
        share = sum(float(str(one["share"])) for one in apart)
        facts["state_note"] = (
            f"the system says that these CPUs share a cache; for {share:.0%} of the time messages between them took "
            f"as long as between CPUs that do not"
        )
    return facts
