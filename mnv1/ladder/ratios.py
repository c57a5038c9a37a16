"""Ratios of paired rounds with their intervals. Needs neither torch nor a clock."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from mnv1.base.statistics import grouped_mean


class Interval(NamedTuple):
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float


def ratio(over: Sequence[float], under: Sequence[float]) -> Interval:
    """How many times longer `over` took than `under`: the geometric mean of the rounds' ratios, as the speedups are.

    The two are seconds of the same rounds, one each; Student's interval is over rounds. Raises `ValueError` for fewer
    than two rounds, or unequal numbers of them.
    """
    return _mean([math.log(one / other) for one, other in zip(over, under, strict=True)])


def typical(seconds: Sequence[float]) -> Interval:
    """The geometric mean of the rounds."""
    return _mean([math.log(one) for one in seconds])


def half_width(interval: Interval) -> float:
    """Half the width of an interval, relative to its figure."""
    return (interval.high - interval.low) / 2 / interval.value


def _mean(logs: Sequence[float]) -> Interval:
    return Interval(*(math.exp(value) for value in grouped_mean([[one] for one in logs])))
