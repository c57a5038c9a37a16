"""Where a series changes: Apache Otava proposes, guards against its known weaknesses dispose.

Otava (https://otava.apache.org) splits a series by E-divisive and keeps a split when Student's t says so. It looks
for the split first and tests it as if it had been given, and its t uses standard deviations of whole populations: in
series without any step it then finds some. So a split counts only with enough runs on both sides, when the medians
differ enough, and when few orderings of the same values have as clear a split anywhere (a permutation test, which
allows for the search and assumes no distribution). That the values of neighbouring runs are alike, as where a machine
drifts, no test can tell from a step: hence these are nominations.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from mnv1.base.errors import UserError
from mnv1.regression.history.series import EXACT, TOGETHER, Run, Series, Values


class MissingError(UserError):
    """Apache Otava is not installed."""


@dataclass(frozen=True)
class Rules:
    """When a split counts."""

    window: int = 50
    """Runs that Otava looks at together."""
    p_value: float = 0.001
    """Otava's limit."""
    min_change: float = 0.03
    """Smallest relative difference of the medians before and after."""
    min_segment: int = 4
    """Fewest runs between two steps, and before and after the first and the last: one odd run is none."""
    min_runs: int = 12
    """Fewest runs: below that no step could be told from chance."""
    false_share: float = 0.05
    """Expected share of false ones among the nominated, over all series together (Benjamini and Hochberg). Where
    nothing changed at all, it is how often anything is nominated."""
    orderings: int = 19_999
    """For the permutation test; p cannot get below their inverse."""


@dataclass(frozen=True)
class Step:
    """A split of one series."""

    index: int
    """Of the first run after it."""
    start: int
    """Of the first run since the step before it."""
    end: int
    """One past the last run until the step after it."""
    p: float = 0.0
    """Share of orderings with as clear a split; 0 for exact measures."""


@dataclass(frozen=True)
class Change:
    """A nominated step of a series."""

    series: Series
    step: Step
    values: Values
    """Shape (runs,): the values in which it was found."""
    normalised: bool

    @property
    def last_before(self) -> Run:
        """The last run before it."""
        return self.series.runs[self.step.index - 1]

    @property
    def first_after(self) -> Run:
        """The first run with it."""
        return self.series.runs[self.step.index]

    @property
    def before(self) -> float:
        """Median of the stored values before it."""
        return float(np.median(self.series.values[self.step.start : self.step.index]))

    @property
    def after(self) -> float:
        """Median of the stored values since."""
        return float(np.median(self.series.values[self.step.index : self.step.end]))

    @property
    def effect(self) -> float:
        """Relative change of the medians, in the values in which it was found."""
        return float(np.expm1(_log_ratio(self.values, self.step)))

    @property
    def worse(self) -> bool:
        """Whether it is one for the worse."""
        return (self.effect < 0) == (self.series.measure == "speedup")


def nominate(series: Sequence[Series], rules: Rules | None = None) -> list[Change]:
    """Changes of all series of one environment, in the order of the series. Raises `MissingError`.

    A latency is divided by what its whole run has in common where that makes it steadier, unless that itself has a
    step: then a change that many cases share would shrink, and cases that kept their speed would seem to change.
    """
    rules = rules or Rules()
    found = [
        Change(one, step, one.values, False)
        for one in series
        if one.measure in EXACT
        for step in exact_steps(one.values)
    ]
    noisy = [one for one in series if one.measure not in EXACT]
    for alike in dict.fromkeys((one.device, one.state) for one in noisy):
        own = [one for one in noisy if (one.device, one.state) == alike]
        changes = _searched(own, rules, normalise=True)
        if any(change.series.id == TOGETHER for change in changes):
            changes = _searched(own, rules, normalise=False)
        found += changes
    return _most_certain(found, len(noisy), rules.false_share)


def _searched(series: Sequence[Series], rules: Rules, normalise: bool) -> list[Change]:
    changes = []
    for one in series:
        normalised = normalise and one.normalised
        values = one.analysed if normalised else one.values
        changes += [Change(one, step, values, normalised) for step in find_steps(values, rules)]
    return changes


def exact_steps(values: Values) -> list[Step]:
    """Every run whose value differs from the one before."""
    places = [0, *(int(place) + 1 for place in np.flatnonzero(np.diff(values))), len(values)]
    return [_step(places, number) for number in range(1, len(places) - 1)]


def find_steps(values: Values, rules: Rules) -> list[Step]:
    """Steps of a noisy series of positive values that pass all guards but the one over all series."""
    if len(values) < rules.min_runs or np.ptp(values) == 0:
        return []
    places = [0, *_proposed(values, rules), len(values)]
    while len(places) > 2 and min(np.diff(places)) < rules.min_segment:
        # Of the two ends of the shortest segment drop the one that joins it to the neighbour that is more like it.
        shortest = int(np.argmin(np.diff(places)))
        ends = [end for end in (shortest, shortest + 1) if 0 < end < len(places) - 1]
        del places[min(ends, key=lambda end: abs(_log_ratio(values, _step(places, end))))]
    steps = [_step(places, number) for number in range(1, len(places) - 1)]
    return [
        replace(step, p=_p_of(values, step, rules))
        for step in steps
        if abs(np.expm1(_log_ratio(values, step))) >= rules.min_change
    ]


def _p_of(values: Values, step: Step, rules: Rules) -> float:
    """The step's p, from no more runs on either side than Otava looks at: years of runs need not be reordered."""
    start, end = max(step.start, step.index - rules.window), min(step.end, step.index + rules.window)
    return split_p_value(values[start:end], step.index - start, rules)


def split_p_value(values: Values, place: int, rules: Rules) -> float:
    """Share of orderings of these values that have a split as clear as the one before `place` is, anywhere.

    A split is as clear as the squares between its sides are large, which orders splits as Student's t does. Only
    splits with `min_segment` runs on both sides are looked at. The orderings are the same at every call.
    """
    logs = np.log(values)
    logs = logs - logs.mean()
    generator = np.random.default_rng(0)
    shuffled = generator.permuted(np.tile(logs, (rules.orderings, 1)), axis=1)
    left = np.arange(1, len(logs))
    allowed = (left >= rules.min_segment) & (left <= len(logs) - rules.min_segment)

    def clearness(rows: np.ndarray) -> np.ndarray:
        squares: np.ndarray = np.cumsum(rows, axis=-1)[..., :-1] ** 2 / (left * (len(logs) - left))
        return squares

    observed = clearness(logs)[place - 1]
    best = clearness(shuffled)[:, allowed].max(axis=1)
    return float((1 + np.count_nonzero(best >= observed * (1 - 1e-9))) / (1 + rules.orderings))


def _step(places: Sequence[int], number: int) -> Step:
    """The step at one of these places, between its neighbours."""
    return Step(places[number], places[number - 1], places[number + 1])


def _proposed(values: Values, rules: Rules) -> list[int]:
    """Otava's change points, in order."""
    try:
        from otava.analysis import compute_change_points
    except ImportError as error:
        raise MissingError(
            f"change points need Apache Otava ({error}): pip install --no-deps -c constraints.txt apache-otava"
        ) from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # segments without spread divide by zero there, and are no change
        # As a list: of an array it would look at the whole instead of at the window.
        points, _ = compute_change_points(
            list(values / np.median(values)),
            window_len=rules.window,
            max_pvalue=rules.p_value,
            min_magnitude=rules.min_change,
        )
    return sorted({int(point.index) for point in points})


def _log_ratio(values: Values, step: Step) -> float:
    before, after = values[step.start : step.index], values[step.index : step.end]
    return float(np.log(np.median(after) / np.median(before)))


def _most_certain(changes: list[Change], tested: int, false_share: float) -> list[Change]:
    """Those that remain when a series in which nothing was found counts as a test that failed; exact ones always."""
    noisy = [change for change in changes if change.series.measure not in EXACT]
    if not noisy:
        return changes
    silent = tested - len({id(change.series) for change in noisy})
    adjusted = stats.false_discovery_control([*(change.step.p for change in noisy), *[1.0] * silent])
    kept = {id(change) for change, p in zip(noisy, adjusted, strict=False) if p <= false_share}
    return [change for change in changes if change.series.measure in EXACT or id(change) in kept]
