"""Statistics of timing samples: no clock, no torch.

Every command imports this, and `scipy.stats` takes longer to import than all else that a command needs before it can
say a word: so `scipy.special` has to do here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import numpy as np
from scipy import special

CONFIDENCE = 0.95
MIN_SAMPLES = 6
"""Fewest samples for which the whole range covers the median with 95 % confidence: 1 - 2 / 2^6 = 96.9 %."""


def median_interval(samples: Sequence[float], confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Distribution-free confidence interval of the median, from interpolated order statistics.

    The number of samples below the median is binomial, so pairs of order statistics cover it with known probability;
    between the two pairs next to `confidence` the ends are interpolated as Hettmansperger and Sheather do (1986,
    Statistics & Probability Letters 4, 75-79), which covers about `confidence` for independent samples of any
    continuous distribution. Samples of one process on a shared machine drift together, so the interval describes this
    run; it does not promise what another run would give.

    Raises `ValueError` for fewer than `MIN_SAMPLES` samples.
    """
    n = len(samples)
    if n < MIN_SAMPLES:
        raise ValueError(f"an interval of the median needs at least {MIN_SAMPLES} samples, got {n}")
    ordered = np.sort(np.asarray(samples, dtype=float))
    k, share = _rank(n, confidence)
    low = ordered[k - 1] + share * (ordered[k] - ordered[k - 1])
    high = ordered[n - k] - share * (ordered[n - k] - ordered[n - k - 1])
    return float(low), float(high)


@cache
def _rank(n: int, confidence: float) -> tuple[int, float]:
    """The last rank k whose interval [x_(k), x_(n+1-k)] covers enough, and what share of the way to k + 1 does."""
    below = special.bdtr(np.arange(n), n, 0.5)
    """Probability that at most so many samples are below the median."""
    k = max(1, int(np.searchsorted(below, (1 - confidence) / 2)))
    wide, narrow = 1 - 2 * float(below[k - 1]), 1 - 2 * float(below[k])
    excess = (wide - confidence) / (wide - narrow)
    return k, (n - k) * excess / (k + (n - 2 * k) * excess)


@cache
def students_t(n: float, confidence: float) -> float:
    """How many standard errors the interval of a mean of n values reaches."""
    return float(special.stdtrit(n - 1, (1 + confidence) / 2))


def midmean(values: Sequence[float]) -> float:
    """The mean of the middle half of some values: nearly as steady as the mean, and untouched by a disturbed one."""
    cut = len(values) // 4
    return math.fsum(sorted(values)[cut : len(values) - cut]) / (len(values) - 2 * cut)


def grouped_mean(groups: Sequence[Sequence[float]], confidence: float = CONFIDENCE) -> tuple[float, float, float]:
    """The mean of all values, and its confidence interval where values of one group are not independent.

    The groups are: the standard error is that of a mean over clusters, from how far the groups' sums are from what the
    mean lets expect (for example Cochran 1977, section 9.2), and Student's t has one degree less than there are groups.
    For groups of one value each this is the plain interval of a mean. Raises `ValueError` for fewer than two groups.
    """
    return _grouped(groups, 0.0, confidence)


def grouped_midmean(groups: Sequence[Sequence[float]], confidence: float = CONFIDENCE) -> tuple[float, float, float]:
    """The mean of the middle half of all values, and its interval where values of one group are not independent.

    For values with long tails, of which a mean tells little and a median throws much away. The interval is as in
    `grouped_mean`, of the values' influence on a trimmed mean: those cut off count as the last ones that were not, all
    deviations are divided by the share that is left, and Student's t has one degree less than there are groups, or
    values left (Tukey and McLaughlin 1963, Sankhya A 25, 331-352). Raises `ValueError` for fewer than two groups.
    """
    return _grouped(groups, 0.25, confidence)


def _grouped(groups: Sequence[Sequence[float]], cut: float, confidence: float) -> tuple[float, float, float]:
    """With a share `cut` of all values cut off at either end."""
    number = len(groups)
    if number < 2:
        raise ValueError(f"an interval of the mean needs at least 2 groups, got {number}")
    values = np.sort(np.concatenate([np.asarray(group, dtype=float) for group in groups]))
    off = int(cut * len(values))
    kept = values[off : len(values) - off]
    mean = math.fsum(kept) / len(kept)
    limited = [np.clip(np.asarray(group, dtype=float), kept[0], kept[-1]) for group in groups]
    centre = math.fsum(map(math.fsum, limited)) / len(values)
    squares = math.fsum(math.fsum(one - centre) ** 2 for one in limited)
    error = math.sqrt(number / (number - 1) * squares) / len(kept)
    reach = students_t(min(number, len(kept)), confidence) * error
    return mean, mean - reach, mean + reach


def widened(interval: tuple[float, float, float], deviation: float) -> tuple[float, float, float]:
    """A figure with an interval that a component of known standard deviation makes wider: squares of both add up.

    That is how the Guide to the Expression of Uncertainty in Measurement (JCGM 100:2008, 5.1 and G.3) combines what
    repetitions tell with what they cannot.
    """
    value, low, high = interval
    reach = float(special.ndtri((1 + CONFIDENCE) / 2)) * deviation
    return value, value - math.hypot(value - low, reach), value + math.hypot(high - value, reach)


def narrowed(interval: tuple[float, float, float], deviation: float) -> tuple[float, float, float]:
    """The interval that `widened` has made this one from; no wider than nothing where that cannot be."""
    value, low, high = interval
    reach = float(special.ndtri((1 + CONFIDENCE) / 2)) * deviation
    below, above = (math.sqrt(max(0.0, one**2 - reach**2)) for one in (value - low, high - value))
    return value, value - below, value + above


def quantile(samples: Sequence[float], share: float, confidence: float = CONFIDENCE) -> tuple[float, float, float]:
    """The value below which a share of samples is, with its distribution-free interval from order statistics.

    Where there are too few samples for one end of the interval, it is the smallest or largest of them.
    """
    from scipy import stats

    values = np.asarray(samples, dtype=float)
    value = float(np.quantile(values, share))
    found = stats.quantile_test(values, q=value, p=share).confidence_interval(confidence)
    low = float(values.min()) if math.isnan(found.low) else float(found.low)
    high = float(values.max()) if math.isnan(found.high) else float(found.high)
    return value, min(low, value), max(high, value)


def percentiles(samples: Sequence[float]) -> tuple[float, float, float]:
    """The 50th, 90th and 99th percentile, linearly interpolated."""
    p50, p90, p99 = np.percentile(np.asarray(samples, dtype=float), [50, 90, 99])
    return float(p50), float(p90), float(p99)


def holm(p_values: Sequence[float], level: float = 1 - CONFIDENCE) -> list[bool]:
    """Which of several hypotheses are rejected, at an error rate over all of them (Holm 1979, Scand. J. Stat. 6)."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    rejected = [False] * len(p_values)
    for rank, place in enumerate(order):
        if p_values[place] > level / (len(p_values) - rank):
            break
        rejected[place] = True
    return rejected
