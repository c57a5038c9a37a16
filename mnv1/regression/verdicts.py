"""From the log ratios of process pairs to verdicts: no clock, no processes.

One number per pair of processes: `ln(head time / base time)`. Samples within a process are not independent of each
other, so they count as one (Kalibera and Jones 2013).

A case is looked at after so many pairs, decided where that can be, and measured on where it cannot. Looking often finds
chance as well, so each look has its part of the errors that a whole run may make, and the parts add up to no more than
that whatever is seen (Bonferroni's inequality, over looks and cases). Jennison and Turnbull (2000) describe designs
that spend errors more cleverly; for the levels here they would save a pair or two.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special

from mnv1.base.statistics import midmean, students_t

Word = Literal["SLOWER", "FASTER", "SAME", "UNDECIDED"]

FICKLE = frozenset({"python"})
"""Controls whose time depends on where a process lies in memory: processes of the same Python loop differed by
up to 10 % where no case did. They must not differ between the sides, but may scatter."""

Ratios = Sequence[float]
"""Of one case: ln(head / base), one for each pair of processes."""

FEWEST = 3
"""Pairs of processes that an effect needs."""


@dataclass(frozen=True)
class Rules:
    """When a difference is one. Shares are of the base's time."""

    looks: tuple[int, ...] = (6, 8, 11, 15, 20, 27, 36, 48, 64)
    """After how many pairs of processes a case is looked at."""
    false_alarms: float = 0.005
    """The share of runs of identical code in which any case may be found slower."""
    missed: float = 0.04
    """The share of cases that differ by `same_within` and may be found to be the same."""
    least_effect: float = 0.015
    """Differences below this are not reported, however certain they are."""
    same_within: float = 0.03
    """A case is the same when an interval of its effect lies within this on both sides."""
    suite_p: float = 0.001
    suite_effect: float = 0.01
    """For all cases together: a slowdown that is everywhere and nowhere large. A share of runs, and of time."""
    control_p: float = 0.001
    control_effect: float = 0.01
    """Controls hold no code under test: when the sides differ in one by so much, the run tells nothing. Nor does it
    when a control cannot be shown to be the same: three controls at p = 0.01 would waste one run in twenty."""
    control_within: float = 0.05
    memory: float = 0.01
    """A case that allocates more than this share more at its worst moment is a regression; any change is shown."""

    def level(self, whole: float, cases: int = 1) -> float:
        """What one look at one of so many cases may spend of a whole."""
        return whole / len(self.looks) / cases


QUICK = Rules(looks=(6, 8, 11, 15, 20, 27), least_effect=0.025, same_within=0.05)
"""Finds larger changes only, sooner."""


@dataclass(frozen=True)
class Effect:
    """How much longer head takes, as a share of base, with its 95 % interval over the pairs of processes."""

    value: float
    low: float
    high: float
    p_slower: float
    p_faster: float
    pairs: int
    detectable: float
    """The smallest slowdown that as many pairs with this scatter find in 80 % of runs."""


@dataclass(frozen=True)
class Verdict:
    """What is said of one case."""

    word: Word
    effect: Effect
    why: str


def effect_of(ratios: Ratios, p: float, looks: int = 1) -> Effect:
    """The effect in some log ratios, at least three; `p` is the level at which a slowdown counts as detectable.

    The interval holds at whichever of so many looks it is told.
    """
    n = len(ratios)
    if n < FEWEST:
        raise ValueError(f"an effect needs at least {FEWEST} pairs of processes, got {n}")
    mean, error = fmean(ratios), _error(ratios)
    p_faster, p_slower = (float(special.stdtr(n - 1, one)) for one in (mean / error, -mean / error))
    reach = students_t(n, 1 - 0.05 / looks) * error
    detectable = (students_t(n, 1 - 2 * p) + students_t(n, 1 - 2 * 0.2)) * error
    return Effect(
        value=math.expm1(mean),
        low=math.expm1(mean - reach),
        high=math.expm1(mean + reach),
        p_slower=p_slower,
        p_faster=p_faster,
        pairs=n,
        detectable=math.expm1(detectable),
    )


def verdict_of(word: Word, ratios: Ratios, rules: Rules, cases: int) -> Verdict:
    """A word that a look has found, with its effect and why."""
    p = rules.level(rules.false_alarms, cases)
    why = {
        "SAME": f"equal within ±{100 * rules.same_within:g} %",
        "UNDECIDED": "no difference found, and no equality shown",
    }.get(word, f"beyond chance (p ≤ {p:.0e}) and by {100 * rules.least_effect:g} % or more")
    return Verdict(word, effect_of(ratios, p, len(rules.looks)), why)


def words_of(ratios: NDArray[np.float64], rules: Rules, cases: int) -> list[Word]:
    """What one look finds, of each column: log ratios of pairs by cases, some or all of the run's `cases`."""
    n = len(ratios)
    mean, middle = ratios.mean(axis=0), np.median(ratios, axis=0)
    error = np.maximum(ratios.std(axis=0, ddof=1), 1e-12) / math.sqrt(n)
    chance = students_t(n, 1 - 2 * rules.level(rules.false_alarms, cases)) * error
    unsure = students_t(n, 1 - 2 * rules.level(rules.missed)) * error
    least, same = math.log1p(rules.least_effect), math.log1p(rules.same_within)
    return [
        "SLOWER" if slower else "FASTER" if faster else "SAME" if equal else "UNDECIDED"
        for slower, faster, equal in zip(
            (mean >= chance) & (middle >= least),
            (mean <= -chance) & (middle <= -least),
            abs(mean) + unsure < same,
            strict=True,
        )
    ]


def looks_slower(ratios: Ratios, rules: Rules) -> bool:
    """Whether an undecided case may yet be found slower: it seems to be, by half of what counts."""
    return len(ratios) < FEWEST or fmean(ratios) >= math.log1p(rules.least_effect) / 2


def suite_effect(pairs: Sequence[Mapping[str, float]], rules: Rules) -> Effect:
    """What a slowdown of everything shows in: the interquartile mean over all cases in each pair of processes."""
    together = [midmean(list(pair.values())) for pair in pairs]
    return effect_of(together, rules.level(rules.suite_p), len(rules.looks))


def suite_word(effect: Effect, rules: Rules) -> Word:
    """SLOWER where all cases together are; UNDECIDED where they may be and more pairs would tell."""
    if effect.value < rules.suite_effect:
        return "SAME"
    return "SLOWER" if effect.p_slower <= rules.level(rules.suite_p) else "UNDECIDED"


def unusable(controls: Mapping[str, Ratios], rules: Rules) -> list[str]:
    """Why the run tells nothing: a line for each control that differs between the sides, or scatters too much."""
    lines = []
    for name, ratios in controls.items():
        effect = effect_of(ratios, rules.control_p)
        if min(effect.p_slower, effect.p_faster) <= rules.control_p and abs(effect.value) > rules.control_effect:
            lines.append(f"control {name} differs between the sides by {100 * effect.value:+.1f} %")
        elif name not in FICKLE and not _is_within(ratios, rules.control_within, 0.05):
            lines.append(f"control {name} scatters by {100 * stdev(ratios):.1f} % between processes")
    return lines


def _is_within(ratios: Ratios, share: float, p: float) -> bool:
    """Whether the effect lies within a share on both sides: two one-sided tests, each wrong with chance `p`."""
    return abs(fmean(ratios)) + students_t(len(ratios), 1 - 2 * p) * _error(ratios) < math.log1p(share)


def _error(ratios: Ratios) -> float:
    return max(float(np.std(ratios, ddof=1)), 1e-12) / math.sqrt(len(ratios))
