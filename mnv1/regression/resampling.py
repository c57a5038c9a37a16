"""What many more runs would have found, drawn from the process pairs of stored self-tests: no clock, no processes.

A pair of processes is drawn whole, with its ratios of all cases, because what slows a process slows all its cases.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnv1.regression.verdicts import Rules, is_candidate, is_uniform_slowdown, judge, suite_effect

Ratios = NDArray[np.float64]


@dataclass(frozen=True)
class Pool:
    """The process pairs of self-tests: of each run an array of pairs by cases, ln(head / base)."""

    cases: tuple[str, ...]
    runs: tuple[Ratios, ...]

    @property
    def pairs(self) -> int:
        """How many process pairs there are."""
        return sum(len(run) for run in self.runs)


@dataclass(frozen=True)
class Alarms:
    """What resampled runs of identical code found."""

    runs: int
    alarmed: int
    """Runs that ended with a confirmed regression."""
    verdicts: int
    flagged: int
    """Cases that were called slower or faster."""


def pool_of(entries: Sequence[Mapping[str, Any]]) -> Pool:
    """The first stages of self-tests without injected work that measured the same cases.

    Raises `ValueError` when there is none.
    """
    plain = [one for one in entries if one["about"]["self_test"] and not one["about"]["injected"]]
    if not plain:
        raise ValueError("there is no self-test without injected work")
    cases = tuple(sorted(plain[0]["first"]))
    runs = [np.array([one["first"][name] for name in cases]).T for one in plain if set(one["first"]) == set(cases)]
    return Pool(cases, tuple(runs))


def alarms(pool: Pool, sizes: tuple[int, int], runs: int, rules: Rules, seed: int, by_run: bool) -> Alarms:
    """Runs of identical code, drawn anew from the pool; `sizes` are the pairs of both stages.

    By default each pair of the pool is as likely as any other, and which of its sides was base is thrown anew, as it
    may be where both run the same code. `by_run`: both stages are drawn from one stored run, and no side is changed, so
    that whatever a run had in common counts as well; that contains its own noise twice and so is pessimistic.
    """
    rng = np.random.default_rng(seed)
    everything = np.concatenate(pool.runs)
    alarmed = flagged = 0
    for _ in range(runs):
        source = pool.runs[rng.integers(len(pool.runs))] if by_run else everything
        first, second = (_drawn(rng, source, size, flip=not by_run) for size in sizes)
        words = _words(first, second, rules)
        flagged += len(words)
        stages = [dict(zip(pool.cases, stage.T.tolist(), strict=True)) for stage in (first, second)]
        suite = all(is_uniform_slowdown(suite_effect(stage, rules), rules) for stage in stages)
        alarmed += suite or "SLOWER" in words
    return Alarms(runs, alarmed, runs * len(pool.cases), flagged)


def power(pool: Pool, sizes: tuple[int, int], effect: float, runs: int, rules: Rules, seed: int) -> float:
    """The share of cases that are found SLOWER when head takes `1 + effect` times as long."""
    rng = np.random.default_rng(seed)
    everything = np.concatenate(pool.runs)
    found = 0
    for _ in range(runs):
        first, second = (_drawn(rng, everything, size, flip=True) + math.log1p(effect) for size in sizes)
        found += _words(first, second, rules).count("SLOWER")
    return found / (runs * len(pool.cases))


def _drawn(rng: np.random.Generator, source: Ratios, size: int, flip: bool) -> Ratios:
    chosen = source[rng.integers(len(source), size=size)]
    return chosen * rng.choice([-1.0, 1.0], size=(size, 1)) if flip else chosen


def _words(first: Ratios, second: Ratios, rules: Rules) -> list[str]:
    """The verdicts SLOWER and FASTER among all cases."""
    # A median below the least effect is no candidate: most cases need no test.
    large = np.flatnonzero(np.abs(np.median(first, axis=0)) >= math.log1p(rules.least_effect) - 1e-12)
    candidates = [place for place in large if is_candidate(first[:, place].tolist(), rules)]
    words = [judge(first[:, one].tolist(), second[:, one].tolist(), rules).word for one in candidates]
    return [word for word in words if word in ("SLOWER", "FASTER")]
