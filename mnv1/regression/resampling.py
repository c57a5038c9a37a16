"""What many more runs would have found, drawn from the process pairs of stored self-tests: no clock, no processes.

A pair of processes is drawn whole, with its ratios of all cases, because what slows a process slows all its cases. Runs
that stopped measuring a case as soon as it was decided would not do: what they hold depends on what they found.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnv1.regression.looks import Looks
from mnv1.regression.plan import Plan
from mnv1.regression.stored import is_of_identical_code
from mnv1.regression.verdicts import Rules

Ratios = NDArray[np.float64]


@dataclass(frozen=True)
class Cost:
    """Seconds of a pair of processes: some for itself, and some for each case."""

    pair: float
    case: float

    def of(self, cases: int) -> float:
        """Of a pair that measures so many cases."""
        return self.pair + self.case * cases


@dataclass(frozen=True)
class Pool:
    """The process pairs of self-tests: of each run an array of pairs by cases, ln(head / base)."""

    cases: tuple[str, ...]
    runs: tuple[Ratios, ...]
    cost: Cost

    @property
    def pairs(self) -> int:
        """How many process pairs there are."""
        return sum(len(run) for run in self.runs)


@dataclass(frozen=True)
class Simulated:
    """A resampled run."""

    words: tuple[str, ...]
    suite_slower: bool
    pairs: int
    seconds: float

    @property
    def is_alarm(self) -> bool:
        """Whether it would have ended with exit status 1."""
        return self.suite_slower or "SLOWER" in self.words


def pool_of(entries: Sequence[Mapping[str, Any]]) -> Pool:
    """The pairs of those self-tests without injected work that measured all cases to the end, the same ones.

    What a pair costs is found from all entries. Raises `ValueError` when there is no such self-test.
    """
    alike = [one for one in entries if is_of_identical_code(one) and not one["about"]["injected"]]
    whole = [one for one in alike if one["about"]["whole"]]
    if not whole:
        raise ValueError("there is no self-test that measured all cases to the end: add some with --self-test --whole")
    cases = tuple(sorted(whole[0]["ratios"]))
    runs = [np.array([one["ratios"][name] for name in cases]).T for one in whole if set(one["ratios"]) == set(cases)]
    return Pool(cases, tuple(runs), _cost_of(entries))


def _cost_of(entries: Sequence[Mapping[str, Any]]) -> Cost:
    """By least squares, from how many cases each pair measured and how long it took."""
    sizes, seconds = np.array([pair for one in entries for pair in one["pair_times"]]).T
    if len(set(sizes)) == 1:
        return Cost(0.0, float(np.mean(seconds / sizes)))
    slope, intercept = np.polyfit(sizes, seconds, 1)
    return Cost(max(0.0, float(intercept)), max(0.0, float(slope)))


def identical(pool: Pool, plan: Plan, rules: Rules, runs: int, seed: int, by_run: bool) -> list[Simulated]:
    """Runs of identical code, drawn anew from the pool.

    By default each pair of the pool is as likely as any other, and which of its sides was base is thrown anew, as it
    may be where both run the same code. `by_run`: all pairs are drawn from one stored run, and no side is changed, so
    that whatever a run had in common counts as well; that contains its own noise twice and so is pessimistic.
    """
    rng = np.random.default_rng(seed)
    everything = np.concatenate(pool.runs)
    found = []
    for _ in range(runs):
        source = pool.runs[rng.integers(len(pool.runs))] if by_run else everything
        found.append(simulated(_drawn(rng, source, rules.looks[-1], flip=not by_run), plan, rules, pool.cost))
    return found


def slowed(pool: Pool, plan: Plan, rules: Rules, effect: float, runs: int, seed: int) -> list[tuple[str, Simulated]]:
    """Runs with one case, each in its turn, that takes `1 + effect` times as long in head: its word, and the run."""
    rng = np.random.default_rng(seed)
    everything = np.concatenate(pool.runs)
    found = []
    for number in range(runs):
        drawn = _drawn(rng, everything, rules.looks[-1], flip=True)
        place = number % len(pool.cases)
        drawn[:, place] += math.log1p(effect)
        run = simulated(drawn, plan, rules, pool.cost)
        found.append((run.words[place], run))
    return found


def simulated(drawn: Ratios, plan: Plan, rules: Rules, cost: Cost) -> Simulated:
    """A run with pairs that are drawn already, by the same looks as a comparison; its cases are their columns."""
    names = [str(place) for place in range(drawn.shape[1])]
    pairs = [dict(zip(names, row, strict=True)) for row in drawn.tolist()]
    looks = Looks(rules, len(names), plan.patience)
    wanted, number, seconds = names, 0, 0.0
    for look in rules.looks:
        while number < look and (number < rules.looks[0] or seconds + cost.of(len(wanted)) <= plan.time):
            number += 1
            seconds += cost.of(len(wanted))
        wanted = looks.after(pairs[:number], wanted, names, seconds)
        if not wanted or seconds + cost.of(len(wanted)) > plan.time:
            break
    return Simulated(tuple(map(looks.words().__getitem__, names)), looks.suite_slower, number, seconds)


def _drawn(rng: np.random.Generator, source: Ratios, size: int, flip: bool) -> Ratios:
    chosen = source[rng.integers(len(source), size=size)]
    return chosen * rng.choice([-1.0, 1.0], size=(size, 1)) if flip else chosen
