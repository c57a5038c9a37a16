"""Statistics of timing samples: no clock, no torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import numpy as np
from scipy import stats

CONFIDENCE = 0.95
MIN_SAMPLES = 6
"""Fewest samples for which the whole range covers the median with 95 % confidence: 1 - 2 / 2^6 = 96.9 %."""


def median_interval(samples: Sequence[float], confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Distribution-free confidence interval of the median, from the order statistics.

    The ranks follow from the binomial distribution of the number of samples below the median (for example Hahn and
    Meeker 1991, section 5.2), so that coverage is at least `confidence` for independent samples of any continuous
    distribution. Samples of one process on a shared machine drift together, so the interval describes this run; it
    does not promise what another run would give.

    Raises `ValueError` for fewer than `MIN_SAMPLES` samples.
    """
    n = len(samples)
    if n < MIN_SAMPLES:
        raise ValueError(f"an interval of the median needs at least {MIN_SAMPLES} samples, got {n}")
    ordered = np.sort(np.asarray(samples, dtype=float))
    k = _rank(n, confidence)
    return float(ordered[k - 1]), float(ordered[n - k])


@cache
def _rank(n: int, confidence: float) -> int:
    """The largest k with P(Binomial(n, 1/2) < k) <= (1 - confidence) / 2; the interval is [x_(k), x_(n+1-k)]."""
    return max(1, int(stats.binom.ppf((1 - confidence) / 2, n, 0.5)))


@cache
def _students_t(n: int, confidence: float) -> float:
    """How many standard errors the interval of a mean of n values reaches."""
    return float(stats.t.ppf((1 + confidence) / 2, n - 1))


def half_width(samples: Sequence[float]) -> float:
    """Half the width of the median's interval, relative to the median (0.02 reads ±2 %)."""
    low, high = median_interval(samples)
    return (high - low) / 2 / float(np.median(samples))


def mean_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> tuple[float, float, float]:
    """The mean of independent values, and its confidence interval by Student's t.

    Raises `ValueError` for fewer than two values.
    """
    n = len(values)
    if n < 2:
        raise ValueError(f"an interval of the mean needs at least 2 values, got {n}")
    mean = float(np.mean(values))
    reach = _students_t(n, confidence) * float(np.std(values, ddof=1)) / math.sqrt(n)
    return mean, mean - reach, mean + reach


def percentiles(samples: Sequence[float]) -> tuple[float, float, float]:
    """The 50th, 90th and 99th percentile, linearly interpolated."""
    p50, p90, p99 = np.percentile(np.asarray(samples, dtype=float), [50, 90, 99])
    return float(p50), float(p90), float(p99)
