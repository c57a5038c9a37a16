"""How one timer's figures compare with another's, from paired turns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from mnv1.base import tables
from mnv1.base.statistics import median_interval
from mnv1.report import units

LIMIT = 0.02
"""How far apart two timers may be, as a share, to be said to agree."""


@dataclass(frozen=True)
class Comparison:
    """One case timed by this suite and by another timer, in turns: seconds per call."""

    case: str
    other: str
    pairs: tuple[tuple[float, float], ...]
    """(ours, theirs), one a turn; at least six."""

    @property
    def ratio(self) -> tuple[float, float, float]:
        """Ours / theirs: the median of the turns' ratios, and its 95 % interval."""
        logs = [math.log(ours / theirs) for ours, theirs in self.pairs]
        low, high = median_interval(logs)
        return math.exp(median(logs)), math.exp(low), math.exp(high)

    @property
    def agrees(self) -> bool:
        """Whether the ratio is within the limit of 1."""
        return abs(self.ratio[0] - 1) <= LIMIT

    @property
    def verdict(self) -> str:
        """`yes`, `no`, or `cannot tell` where the ratio is beyond the limit and its interval is not."""
        if self.agrees:
            return "yes"
        _, low, high = self.ratio
        return "no" if low > 1 + LIMIT or high < 1 - LIMIT else "cannot tell"


def agreement_table(comparisons: Sequence[Comparison]) -> str:
    """One row a case, in Markdown."""
    header = ("case", "other timer", "this suite", "other", "ratio [95 %]", "turns", "agree")
    rows = []
    for one in comparisons:
        ratio, low, high = one.ratio
        ours, theirs = (median(pair[side] for pair in one.pairs) for side in (0, 1))
        times = units.seconds(ours), units.seconds(theirs)
        rows.append((one.case, one.other, *times, f"{ratio:.3f} [{low:.3f}, {high:.3f}]", len(one.pairs), one.verdict))
    return tables.markdown(header, rows, left=("case", "other timer", "agree"), padded=False)
