"""Whether intervals hold for the next run: over several stored runs of one machine, by kind of figure and state.

Repeatability is the scatter within a run, which intervals are made of; reproducibility is the scatter between runs (ISO
5725), which they should cover.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from mnv1.base import tables
from mnv1.base.statistics import CONFIDENCE, students_t
from mnv1.report import units
from mnv1.report.rows import Rows
from mnv1.store.runs import ResultError

FEWEST_RUNS = 3
"""Runs that must have met a figure in a state."""

NORMAL = 1.96
"""Standard deviations that a 95 % interval reaches."""

RESAMPLED = 2000
"""Times that whole runs are drawn anew."""


def coverage(figures: Rows, fewest: int = FEWEST_RUNS) -> Rows:
    """One row a kind of figure and state, over all cases that at least so many runs have a figure of.

    An interval is widened by √(1 + 1 / (n − 1)) and should hold the mean of the n − 1 other runs, which scatters too.
    Columns: `measures`, `state`, `runs`, `cases`, `cv` and `cv_tail` (median and 90th percentile of the cases'
    coefficients of variation between runs), `run_to_run` (the standard deviation between runs beyond what visits let
    expect), `half_width` (median, relative), `covered` (share of intervals that hold the others' mean) with
    `covered_low` and `covered_high`, its 95 % interval over whole runs drawn anew, `visits_cover`, the same share of
    intervals from visits alone, and `foretold_cover`, of intervals whose component is what the other runs differ by, so
    that no run tells its own. Raises `ResultError` where no figure has enough runs.
    """
    each = checks(figures, fewest)
    if each.empty:
        raise ResultError(f"coverage needs figures that at least {fewest} runs have in the same state")
    rows = []
    for (measures, state), part in each.groupby(["measures", "state"], sort=False):
        cases = part.groupby("id", sort=False)
        variation = cases["log"].std(ddof=1)
        low, high = _over_runs(part)
        rows.append(
            {
                "measures": measures,
                "state": state,
                "runs": part["run"].nunique(),
                "cases": cases.ngroups,
                "cv": variation.median(),
                "cv_tail": variation.quantile(0.9),
                "run_to_run": _run_to_run(part),
                "half_width": part["half"].median(),
                "covered": part["holds"].mean(),
                "covered_low": low,
                "covered_high": high,
                "visits_cover": part["visits_hold"].mean(),
                "foretold_cover": _foretold(part),
            }
        )
    return pd.DataFrame(rows)


def checks(figures: Rows, fewest: int = FEWEST_RUNS) -> Rows:
    """One row a figure of a run: `log`, its interval's `half` width, the mean of the `others`, and whether it `holds`.

    `off` is how far it lies from the others' mean, whose scatter is allowed for;
    `visits_half` and `visits_hold` are of the interval from visits alone. All are on a logarithmic scale.
    """
    table = figures.assign(log=np.log(figures["value"].astype(float)))
    table["half"] = (np.log(table["high"].astype(float)) - np.log(table["low"].astype(float))) / 2
    grouped = table.groupby(["id", "measures", "state"], sort=False)["log"]
    number = grouped.transform("count")
    table = table.assign(number=number, others=(grouped.transform("sum") - table["log"]) / (number - 1))
    table = table[table["number"] >= max(2, fewest)]
    between = NORMAL * table["run_to_run"].astype(float)
    table["visits_half"] = np.sqrt((table["half"] ** 2 - between**2).clip(lower=0))
    off = (table["log"] - table["others"]).abs() / np.sqrt(1 + 1 / (table["number"] - 1))
    return table.assign(off=off, holds=off <= table["half"], visits_hold=off <= table["visits_half"])


def _run_to_run(part: Rows) -> float:
    """Standard deviation between runs beyond what visits let expect: over all cases, as in an analysis of variance."""
    visits = part["visits"].fillna(np.inf).astype(float)
    reach = visits.map(lambda number: students_t(number, CONFIDENCE) if number >= 2 else NORMAL)
    errors = (part["visits_half"] / reach) ** 2
    between = part.groupby("id")["log"].var(ddof=1) - errors.groupby(part["id"]).mean()
    return math.sqrt(max(0.0, between.mean()))


def _foretold(part: Rows) -> float:
    held: list[bool] = []
    for run, own in part.groupby("run"):
        others = _run_to_run(part[part["run"] != run])
        held.extend(own["off"] <= np.hypot(own["visits_half"], NORMAL * others))
    return float(np.mean(held))


def _over_runs(part: Rows) -> tuple[float, float]:
    by_run = part.groupby("run")["holds"].agg(["sum", "count"]).to_numpy(dtype=float)
    drawn = np.random.default_rng(0).integers(0, len(by_run), (RESAMPLED, len(by_run)))
    sums = by_run[drawn].sum(axis=1)
    low, high = np.quantile(sums[:, 0] / sums[:, 1], [0.025, 0.975])
    return float(low), float(high)


def coverage_table(table: Rows) -> str:
    """The same in Markdown."""
    header = (
        *("figure", "state", "runs", "cases", "CV between runs", "90th percentile", "run to run", "half width"),
        *("covered [95 %]", "by visits alone", "by what other runs differ by"),
    )
    rows = [
        (
            row["measures"],
            row["state"] or "not read",
            row["runs"],
            row["cases"],
            *(units.percent(row[name]) for name in ("cv", "cv_tail", "run_to_run")),
            f"±{units.percent(math.expm1(row['half_width']))}",
            f"{row['covered']:.0%} [{row['covered_low']:.0%}, {row['covered_high']:.0%}]",
            *(f"{row[name]:.0%}" for name in ("visits_cover", "foretold_cover")),
        )
        for row in table.to_dict("records")
    ]
    return tables.markdown(header, rows, left=header[:2], padded=False)
