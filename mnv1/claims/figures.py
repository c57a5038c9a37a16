"""A stated figure with its rounding: which values it stands for, in exact arithmetic."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from mnv1.net.published import Claim, PublishedError

UNITS: dict[str, Fraction] = {
    "": Fraction(1),
    "parameters": Fraction(1),
    "times": Fraction(1),
    "%": Fraction(1, 100),
    "% points": Fraction(1, 100),
    "M MACs": Fraction(10**6),
    "M parameters": Fraction(10**6),
    "G MACs": Fraction(10**9),
}
"""Units that are stated, and what one of them is."""


def rounded(value: Fraction, step: Fraction) -> Fraction:
    """`value` to the nearest multiple of `step`; halves go up."""
    return math.floor(value / step + Fraction(1, 2)) * step


def cut_off(value: Fraction, step: Fraction) -> Fraction:
    """`value` with the digits below `step` left out."""
    return math.floor(value / step) * step


def written(value: Fraction, step: Fraction) -> str:
    """`value` rounded to `step`, a power of ten, with as many decimals as that has."""
    decimals = max(0, -round(math.log10(step)))
    return f"{float(rounded(value, step)):.{decimals}f}"


@dataclass(frozen=True)
class Figure:
    """The values that a stated figure stands for, in its own unit.

    A number stands for all that round to it, `8-9` for all that round to 8, to 9 or to between them, `>50` and `<1`
    for what is larger or smaller.
    """

    text: str
    low: Fraction | None
    high: Fraction | None
    """Ends; None for a side without one."""
    step: Fraction
    """What the last digit that counts is worth."""
    includes_ends: bool

    def agrees(self, value: Fraction) -> bool:
        """Whether `value` is among them."""
        if self.low is not None and (value < self.low or (value == self.low and not self.includes_ends)):
            return False
        return self.high is None or value < self.high or (value == self.high and self.includes_ends)

    @property
    def number(self) -> Fraction | None:
        """The number as stated, where it is one."""
        return Fraction(self.text) if self.text.replace(".", "", 1).isdecimal() else None

    def write(self, value: Fraction) -> str:
        """`value` at the stated rounding; with three digits beside an inequality, which has none."""
        if self.includes_ends:
            return written(value, self.step)
        return f"{float(value):.3g}"


def figure(claim: Claim) -> Figure:
    """The figure of a claim that states a number, a range or a bound. Raises `PublishedError` for other text."""
    text = claim.stated
    try:
        if text[0] in "<>":
            bound = Fraction(text[1:])
            low, high = (bound, None) if text[0] == ">" else (None, bound)
            return Figure(text, low, high, Fraction(1), includes_ends=False)
        first, _, last = text.partition("-")
        step = _step(first, claim.digits)
        low, high = Fraction(first) - step / 2, Fraction(last or first) + step / 2
    except (ValueError, ZeroDivisionError, IndexError):
        raise PublishedError(f"claim {claim.id}: {text!r} is no number, range or bound") from None
    return Figure(text, low, high, step, includes_ends=True)


def _step(text: str, digits: int | None) -> Fraction:
    if digits is not None:
        return Fraction(10) ** (math.floor(math.log10(float(text))) - digits + 1)
    return Fraction(10) ** -len(text.partition(".")[2])


def factor(claim: Claim) -> Fraction:
    """What one of the claim's unit is. Raises `PublishedError` for a unit that is not known."""
    if claim.unit not in UNITS:
        raise PublishedError(f"claim {claim.id}: unknown unit {claim.unit!r}; known: {', '.join(filter(None, UNITS))}")
    return UNITS[claim.unit]
