"""From the log ratios of process pairs to verdicts: no clock, no processes.

One number per pair of processes: `ln(head time / base time)`. Samples within a process are not independent of each
other, so they count as one (Kalibera and Jones 2013). A slowdown is confirmed in two stages, the second with processes
of its own, so that a case which only happened to look slow in the first must do so again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import fmean, median, stdev
from typing import Literal

from scipy import stats

Word = Literal["SLOWER", "FASTER", "SAME", "UNDECIDED"]

FICKLE = frozenset({"python"})
"""Controls whose time depends on where a process lies in memory: processes of the same Python loop differed by
up to 10 % where no case did. They must not differ between the sides, but may scatter."""

Ratios = Sequence[float]
"""Of one case: ln(head / base), one for each pair of processes."""


@dataclass(frozen=True)
class Rules:
    """When a difference is one. Shares are of the base's time."""

    candidate_p: float = 0.01
    """One-sided: a case whose first stage is at least this unlikely without a difference gets a second."""
    confirmed_p: float = 0.005
    """One-sided: what the second stage must reach by itself."""
    least_effect: float = 0.025
    """Differences below this are not reported, however certain they are."""
    same_within: float = 0.05
    """A case is the same when the 90 % interval of its effect lies within this on both sides."""
    suite_p: float = 0.002
    suite_effect: float = 0.01
    """For the mean over all cases: a slowdown that is everywhere and nowhere large. It too must show in both stages."""
    control_p: float = 0.001
    control_effect: float = 0.01
    """Controls hold no code under test: when the sides differ in one by so much, the run tells nothing. Nor does it
    when a control cannot be shown to be the same: three controls at p = 0.01 would waste one run in twenty."""
    memory: float = 0.01
    """A case that allocates more than this share more at its worst moment is a regression; any change is shown."""


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
    stages: int
    why: str


def effect_of(ratios: Ratios, p: float) -> Effect:
    """The effect in some log ratios, at least three; `p` is the level at which a slowdown counts as detectable."""
    n = len(ratios)
    if n < 3:
        raise ValueError(f"an effect needs at least 3 pairs of processes, got {n}")
    mean, spread = fmean(ratios), stdev(ratios)
    error = max(spread, 1e-12) / math.sqrt(n)
    p_faster = float(stats.t.cdf(mean / error, n - 1))
    reach = _students_t(0.975, n - 1) * error
    detectable = (_students_t(1 - p, n - 1) + _students_t(0.8, n - 1)) * error
    return Effect(
        value=math.expm1(mean),
        low=math.expm1(mean - reach),
        high=math.expm1(mean + reach),
        p_slower=1 - p_faster,
        p_faster=p_faster,
        pairs=n,
        detectable=math.expm1(detectable),
    )


def is_candidate(ratios: Ratios, rules: Rules) -> bool:
    """Whether a case's first stage asks for a second, in either direction."""
    effect = effect_of(ratios, rules.candidate_p)
    return _differs(ratios, effect, rules.candidate_p, rules) is not None


def judge(first: Ratios, second: Ratios | None, rules: Rules) -> Verdict:
    """The verdict on a case from its stages; the second is None for a case that was no candidate.

    The effect that is told is that of the second stage where there is one: the first was what chose the case, so its
    figure is too large on average.
    """
    if second is None:
        effect = effect_of(first, rules.candidate_p)
        low, high = _interval(first, 0.90)
        if -rules.same_within < low and high < rules.same_within:
            return Verdict("SAME", effect, 1, f"90 % interval within ±{100 * rules.same_within:g} %")
        return Verdict("UNDECIDED", effect, 1, "no difference found, and no equality shown")
    effect = effect_of(second, rules.confirmed_p)
    word = _differs(second, effect, rules.confirmed_p, rules)
    before = _differs(first, effect_of(first, rules.candidate_p), rules.candidate_p, rules)
    if word is not None and word == before:
        return Verdict(word, effect, 2, "confirmed by new processes")
    low, high = _interval([*first, *second], 0.90)
    if -rules.same_within < low and high < rules.same_within:
        return Verdict("SAME", effect, 2, "not confirmed by new processes")
    return Verdict("UNDECIDED", effect, 2, "not confirmed by new processes")


def suite_effect(cases: Mapping[str, Ratios], rules: Rules) -> Effect:
    """The mean over all cases in each pair of processes: what a slowdown of everything shows in."""
    return effect_of([fmean(one) for one in zip(*cases.values(), strict=True)], rules.suite_p)


def is_uniform_slowdown(effect: Effect, rules: Rules) -> bool:
    """Whether all cases together are slower."""
    return effect.p_slower <= rules.suite_p and effect.value >= rules.suite_effect


def unusable(controls: Mapping[str, Ratios], rules: Rules) -> list[str]:
    """Why the run tells nothing: a line for each control that differs between the sides, or scatters too much."""
    lines = []
    for name, ratios in controls.items():
        effect = effect_of(ratios, rules.control_p)
        low, high = _interval(ratios, 0.90)
        if min(effect.p_slower, effect.p_faster) <= rules.control_p and abs(effect.value) > rules.control_effect:
            lines.append(f"control {name} differs between the sides by {100 * effect.value:+.1f} %")
        elif name not in FICKLE and (low <= -rules.same_within or high >= rules.same_within):
            lines.append(f"control {name} scatters by {100 * stdev(ratios):.1f} % between processes")
    return lines


def _differs(ratios: Ratios, effect: Effect, p: float, rules: Rules) -> Literal["SLOWER", "FASTER"] | None:
    middle = median(ratios)
    if effect.p_slower <= p and middle >= math.log1p(rules.least_effect):
        return "SLOWER"
    if effect.p_faster <= p and middle <= -math.log1p(rules.least_effect):
        return "FASTER"
    return None


def _interval(ratios: Ratios, confidence: float) -> tuple[float, float]:
    mean = fmean(ratios)
    error = stdev(ratios) / math.sqrt(len(ratios))
    reach = _students_t((1 + confidence) / 2, len(ratios) - 1) * error
    return math.expm1(mean - reach), math.expm1(mean + reach)


@cache
def _students_t(share: float, freedom: int) -> float:
    """The value below which Student's t is with this probability."""
    return float(stats.t.ppf(share, freedom))
