"""How often comparisons cry wolf and what they find: Markdown tables, a pure function of a ledger of self-tests."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, median, stdev
from typing import Any

import numpy as np
from scipy import stats

from mnv1.base import tables
from mnv1.regression.plan import QUICK_PLAN, Plan
from mnv1.regression.resampling import Pool, Simulated, identical, pool_of, slowed
from mnv1.regression.stored import usual_self_tests
from mnv1.regression.verdicts import QUICK, Rules
from mnv1.report.units import duration, percent

Entry = Mapping[str, Any]

RESAMPLED = 5000
"""Runs of identical code that are drawn from the stored process pairs."""

RESAMPLED_SLOW = 2600
"""Runs with a slowdown of one case that are drawn for each effect."""

EFFECTS = (0.02, 0.03, 0.05, 0.10)
SMALL = (0.02, 0.03)
PLANS = (("default", Plan(), Rules()), ("--quick", QUICK_PLAN, QUICK))
WITHIN = 0.02
"""A measured effect should be within this of the injected one."""


def self_test_tables(entries: Sequence[Entry]) -> str:
    """Everything that a ledger shows, in Markdown. Raises `ValueError` when it has no self-test of identical code."""
    parts = ["What was run: base against itself, whole runs.", identical_table(entries)]
    injected = injected_table(entries)
    if injected:
        parts += ["What was run: head slowed by real extra work in some cases.", injected]
    pool = pool_of(entries)
    parts += [
        f"What was resampled, not run: from {pool.pairs} process pairs of runs that measured all cases to the end "
        f"(runs: {len(pool.runs)}). One case at a time is slowed.",
        resampled_table(pool),
        "The scatter of ln(head / base) between their process pairs, and how often a small slowdown is found.",
        scatter_table(pool),
    ]
    return "\n\n".join(parts)


def identical_table(entries: Sequence[Entry]) -> str:
    """Self-tests without injected work."""
    header = (
        *("plan", "runs", "exit 1", "exit 3", "at most, 95 % sure", "verdicts", "SLOWER or FASTER", "UNDECIDED"),
        "time, median (longest)",
    )
    rows = []
    for name, quick in (("default", False), ("--quick", True)):
        runs = [one for one in usual_self_tests(entries, quick) if not one["about"]["injected"]]
        if runs:
            words = [verdict["word"] for one in runs for verdict in one["verdicts"].values()]
            red = sum(one["exit_status"] == 1 for one in runs)
            bound = stats.binomtest(red, len(runs)).proportion_ci(0.90, "exact").high  # one-sided 95 %
            flagged = sum(word in ("SLOWER", "FASTER") for word in words)
            cells = (
                name,
                len(runs),
                red,
                sum(one["exit_status"] == 3 for one in runs),
                percent(bound),
                len(words),
                f"{flagged} ({percent(flagged / len(words))})",
                words.count("UNDECIDED"),
                _times(runs),
            )
            rows.append(cells)
    return tables.markdown(header, rows, left=("plan",), padded=False)


def injected_table(entries: Sequence[Entry]) -> str:
    """Runs with injected work, by plan and factor; empty when there is none."""
    header = (
        *("plan", "injected", "runs", "exit 1", "cases slowed", "found SLOWER"),
        *("measured, mean (5th to 95th percentile)", "within ±2 points", "other cases flagged"),
        "time, median (longest)",
    )
    rows = []
    for name, quick in (("default", False), ("--quick", True)):
        runs = [one for one in usual_self_tests(entries, quick) if one["about"]["injected"]]
        for share in sorted({_share(one) for one in runs}):
            some = [one for one in runs if _share(one) == share]
            slowed = [one["verdicts"][case] for one in some for case in one["about"]["injected"]]
            others = [
                verdict["word"]
                for one in some
                for case, verdict in one["verdicts"].items()
                if case not in one["about"]["injected"]
            ]
            effects = sorted(verdict["effect"]["value"] for verdict in slowed)
            low, high = (effects[round(q * (len(effects) - 1))] for q in (0.05, 0.95))
            near = sum(abs(effect - share) <= WITHIN for effect in effects)
            cells = (
                name,
                f"{100 * share:+.0f} %",
                len(some),
                sum(one["exit_status"] == 1 for one in some),
                len(slowed),
                _share_of(sum(verdict["word"] == "SLOWER" for verdict in slowed), len(slowed)),
                f"{_signed(fmean(effects))} ({_signed(low)} to {_signed(high)})",
                f"{near} of {len(slowed)}",
                f"{sum(word in ('SLOWER', 'FASTER') for word in others)} of {len(others)}",
                _times(some),
            )
            rows.append(cells)
    return tables.markdown(header, rows, left=("plan",), padded=False) if rows else ""


def resampled_table(pool: Pool) -> str:
    """False alarms, time and power of many more runs than were made."""
    heads = [f"finds {100 * effect:+.0f} %" for effect in EFFECTS]
    rows = []
    for name, plan, rules in PLANS:
        runs = [identical(pool, plan, rules, RESAMPLED, seed=1, by_run=by_run) for by_run in (False, True)]
        found = [slowed(pool, plan, rules, effect, RESAMPLED_SLOW, seed=2) for effect in EFFECTS]
        times = [one.seconds for one in runs[0]]
        cells = (
            name,
            *map(_alarm_cell, runs),
            f"{duration(median(times))} ({duration(float(np.quantile(times, 0.95)))}) min",
            *(percent(sum(word == "SLOWER" for word, _ in some) / len(some)) for some in found),
        )
        rows.append(cells)
    header = (
        *("plan", "false alarms, pairs of all runs", "false alarms, run by run"),
        *("time of identical code, median (95 %)", *heads),
    )
    return tables.markdown(header, rows, left=("plan",), padded=False)


def scatter_table(pool: Pool) -> str:
    """Each case's standard deviation between process pairs, within runs, and how often a small slowdown is found."""
    _, plan, rules = PLANS[0]
    found = {effect: slowed(pool, plan, rules, effect, RESAMPLED_SLOW, seed=3) for effect in SMALL}
    ranked = []
    for place, case in enumerate(pool.cases):
        spread = math.sqrt(fmean(stdev(run[:, place].tolist()) ** 2 for run in pool.runs))
        shares = []
        for runs in found.values():
            words = [word for word, _ in runs[place :: len(pool.cases)]]
            shares.append(percent(words.count("SLOWER") / len(words)))
        ranked.append((spread, case, shares))
    rows = [(case, percent(spread), *shares) for spread, case, shares in sorted(ranked, reverse=True)]
    rows.append(("median of the cases", percent(median(spread for spread, _, _ in ranked)), *[""] * len(SMALL)))
    header = ("case", "scatter", *(f"finds {100 * effect:+.0f} %" for effect in SMALL))
    return tables.markdown(header, rows, left=("case",), padded=False)


def _alarm_cell(runs: Sequence[Simulated]) -> str:
    alarmed = sum(one.is_alarm for one in runs)
    flagged = sum(word in ("SLOWER", "FASTER") for one in runs for word in one.words)
    of_verdicts = percent(flagged / sum(len(one.words) for one in runs))
    return f"{alarmed} of {len(runs)} runs ({100 * alarmed / len(runs):.2f} %); {of_verdicts} of verdicts"


def _share(entry: Entry) -> float:
    return round(float(next(iter(entry["about"]["injected"].values()))), 6)


def _share_of(found: int, of: int) -> str:
    """A share with its exact 95 % interval (Clopper and Pearson)."""
    interval = stats.binomtest(found, of).proportion_ci(0.95, "exact")
    return f"{found} ({percent(found / of)} [{percent(interval.low)}, {percent(interval.high)}])"


def _times(runs: Sequence[Entry]) -> str:
    times = [one["wall_time"] for one in runs]
    return f"{duration(median(times))} ({duration(max(times))}) min"


def _signed(share: float) -> str:
    return f"{100 * share:+.1f} %"
