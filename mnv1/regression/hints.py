"""What is slower in a case that is: the part that takes more of a call than before, with its uncertainty. No clock.

Parts are torch's operators, kernels of an accelerator, or Python functions (see `worker.Side.do_profile`). Both sides
are profiled in turns, so that a drift meets both. A profiler changes what it looks at, so this is a hint, no figure.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from mnv1.base.statistics import students_t

ROUNDS = 8
"""How often each side is profiled."""

SAMPLES = 40
"""Times the calls of a sample, in one round: some 0.2 seconds, in which the sampling profiler looks 200 times."""

CONFIDENT = 0.95
"""Confidence of the interval of each part; the parts that are looked at share what it leaves."""

Profile = Mapping[str, Any]
"""An answer of `worker.Side.do_profile`."""


@dataclass(frozen=True)
class Hint:
    """The part that grew most. Shares are of a call of base, as the profiler saw it."""

    part: str
    kind: str
    """`operators` or `functions`."""
    low: float
    high: float
    """How much more of a call it takes, at least and at most. `low` is below zero where only its number surely grew."""
    count: tuple[float, float] = (0.0, 0.0)
    """How often it ran in a call, of base and head; zero where that is not known."""


def hints_of(ask: Callable[..., Profile], calls: int) -> Hint | None:
    """Profile both sides in turns and find what grew; `ask` gets a side's profile of so many calls."""
    profiles: dict[str, list[Profile]] = {"base": [], "head": []}
    for number in range(ROUNDS):
        for side in ("base", "head") if number % 2 == 0 else ("head", "base"):
            profiles[side].append(ask(side, calls=SAMPLES * calls))
    return hint_of(profiles["base"], profiles["head"], SAMPLES * calls)


def hint_of(base: Sequence[Profile], head: Sequence[Profile], calls: int) -> Hint | None:
    """The part that grew most, of those that surely grew; None where none did.

    Where no part surely grew, one that runs more often in each call is told.
    """
    names = sorted({name for one in (*base, *head) for name in one["parts"]})
    whole = fmean(sum(seconds for _, seconds in one["parts"].values()) for one in base)
    if not names or not whole:
        return None
    reach = students_t(len(base), 1 - (1 - CONFIDENT) / len(names))
    found = []
    for name in names:
        more = [
            _part(after, name)[1] / whole - _part(before, name)[1] / whole
            for before, after in zip(base, head, strict=True)
        ]
        error = reach * stdev(more) / math.sqrt(len(more))
        count = tuple(fmean(_part(one, name)[0] for one in side) / calls for side in (base, head))
        found.append(Hint(name, base[0]["kind"], fmean(more) - error, fmean(more) + error, (count[0], count[1])))
    surely = [one for one in found if one.low > 0]
    if surely:
        return max(surely, key=lambda one: one.low + one.high)
    oftener = [one for one in found if one.count[1] > one.count[0]]
    return max(oftener, key=lambda one: one.low + one.high, default=None)


def text_of(hint: Hint | None) -> str:
    """A hint as a cell of a table."""
    if hint is None:
        return "no part stands out"
    grown = f"{100 * hint.low:+.0f} to {100 * hint.high:+.0f} % of a call" if hint.low > 0 else "time unclear"
    base, head = hint.count
    often = f", {base:g} → {head:g} a call" if base != head else ""
    return f"{hint.part}: {grown}{often}"


def _part(profile: Profile, name: str) -> Sequence[float]:
    found: Sequence[float] = profile["parts"].get(name, (0, 0.0))
    return found
