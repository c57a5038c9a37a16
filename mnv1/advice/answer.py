"""From figures of layers and networks to an answer: what to replace, and what that brings. No clock, no torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mnv1.net.roofline import WITHIN_CACHE

REPLACE, KEEP, CANNOT_TELL = "replace", "keep", "cannot tell"

WRONG = 0.1
"""A predicted time that is off by more than this share is called wrong."""

Figures = Mapping[str, Any]
"""Facts of a speedup, or its figures in one state of the machine."""


@dataclass(frozen=True)
class Layer:
    """What was measured of a convolution that can be replaced. Times are seconds a call of the network."""

    name: str
    shape: str
    calls: int
    macs_ratio: float
    standard_time: float
    separable_time: float
    speedup: float
    low: float
    high: float
    visits: int
    rounds: int
    stopped: str

    @property
    def verdict(self) -> str:
        """Replace what gains, keep what loses; what cannot be told stays as it is."""
        return REPLACE if self.low > 1 else KEEP if self.high < 1 else CANNOT_TELL

    @property
    def saved(self) -> float:
        """Seconds that replacing it saves; negative where it costs."""
        return self.standard_time - self.separable_time


def layer_of(name: str, shape: str, calls: int, facts: Figures, state: str) -> Layer:
    """A layer from the facts of its pair, in a state of the machine where it was measured in that."""
    found = in_state(facts, state)
    return Layer(
        name,
        shape,
        calls,
        float(facts["macs_ratio"]),
        calls * found["standard_latency_p50"],
        calls * found["latency_p50"],
        found["speedup"],
        found["speedup_low"],
        found["speedup_high"],
        int(found["visits"]),
        int(found["rounds"]),
        str(facts["stopped"]),
    )


def in_state(facts: Figures, state: str) -> Figures:
    """The figures of a state, or those of the headline where the state has none."""
    return next((one for one in facts.get("states") or () if one["state"] == state), facts)


def gaining(layers: Iterable[Layer]) -> tuple[str, ...]:
    """Names of the convolutions to replace: all calls of one are replaced together, so what they save is added up.

    A convolution that is called with several shapes gains when it gains with each, or cannot be told for some.
    """
    by_name: dict[str, list[Layer]] = {}
    for layer in layers:
        by_name.setdefault(layer.name, []).append(layer)
    return tuple(
        name
        for name, several in by_name.items()
        if any(one.verdict == REPLACE for one in several) and not any(one.verdict == KEEP for one in several)
    )


def predicted(time: float, layers: Iterable[Layer], replaced: Sequence[str], weights_saved: float = 0.0) -> float:
    """Seconds of the twin, by what its layers saved alone, and `weights_saved` of `weights_time`.

    It takes at least as long as its layers take alone: where these are short, they save less than they seem to.
    """
    layers = list(layers)
    alone = sum(one.separable_time if one.name in replaced else one.standard_time for one in layers)
    saved = sum(one.saved for one in layers if one.name in replaced)
    return max(alone, time - saved - weights_saved)


def scaled(predicted_time: float, original: float, promised: float, saved: float) -> float:
    """The prediction for a twin when the full twin has been measured: its layers tell its part of what is saved.

    They `promised` so many seconds for the full twin, which `saved` others, of an `original` call. In a network a layer
    finds other caches and other work beside it than alone, and so does the one next to it: they are off alike.
    """
    if promised <= 0 or saved <= 0:
        return predicted_time
    return original - (original - predicted_time) * saved / promised


def weights_time(params: int, element_size: int, ceilings: Iterable[Figures]) -> float:
    """Seconds in which weights come from memory at every call of a network: none where all of them fit the cache.

    A layer that is timed alone keeps its weights in the cache, whatever the network that it is of.
    """
    copies = {one["ceiling"]: one for one in ceilings}
    beyond, within = copies.get("copy beyond cache"), copies.get("copy within cache")
    size = params * element_size
    if beyond is None or within is None or size <= within["size"] / WITHIN_CACHE:
        return 0.0
    return float(size / beyond["value"])


def is_right(predicted_time: float, measured_time: float) -> bool:
    """Whether a prediction is within `WRONG` of what was measured."""
    return abs(predicted_time / measured_time - 1) <= WRONG
