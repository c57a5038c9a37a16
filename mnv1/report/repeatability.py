"""How well speedups repeat over several runs of one machine: a pure function of the stored runs."""

from __future__ import annotations

import pandas as pd

from mnv1.base import tables
from mnv1.report import units
from mnv1.report.rows import Rows
from mnv1.store.runs import ResultError


def repeatability(results: Rows) -> Rows:
    """One row a speedup case: mean and coefficient of variation over all runs, and over undisturbed ones alone.

    The coefficient of variation is the sample standard deviation over the mean. Columns: `id`, `runs`, `mean`, `cv`,
    `undisturbed_runs`, `undisturbed_cv` (missing where fewer than two runs were undisturbed). Raises `ResultError`
    for runs of unlike environments, or fewer than two.
    """
    if results["environment"].nunique() > 1:
        raise ResultError("these runs come from unlike environments: repeatability is a matter of one")
    if results["run"].nunique() < 2:
        raise ResultError("repeatability needs at least two runs of the same cases")
    pairs = results[results["measures"] == "speedup"]
    every = _variation(pairs)
    undisturbed = _variation(pairs[pairs["stopped"] != "disturbed"])
    table = every.join(undisturbed[["runs", "cv"]].add_prefix("undisturbed_"))
    table["undisturbed_runs"] = table["undisturbed_runs"].fillna(0).astype(int)
    return table.reset_index()


def _variation(pairs: Rows) -> Rows:
    grouped = pairs.groupby("id", sort=False)["speedup"]
    table = pd.DataFrame({"runs": grouped.count(), "mean": grouped.mean()})
    table["cv"] = grouped.std(ddof=1) / table["mean"]
    return table


def summary(table: Rows) -> str:
    """The median and the 90th percentile of the cases' coefficients of variation, in Markdown."""
    rows = []
    for name, column in (("all", "cv"), ("undisturbed", "undisturbed_cv")):
        values = table[column].dropna()
        if len(values):
            median, tail = (units.percent(float(values.quantile(share))) for share in (0.5, 0.9))
            rows.append((name, len(values), median, tail))
    header = ("runs that count", "cases", "median CV", "90th percentile")
    return tables.markdown(header, rows, left=header[:1], padded=False)


def time_table(times: Rows) -> str:
    """How long each run took, and how much of that in calls that were timed, in Markdown."""
    rows = []
    for row in times.dropna().to_dict("records"):
        share = units.percent(row["call_time"] / row["wall_time"])
        rows.append((f"`{row['run']}`", f"{units.duration(row['wall_time'])} min", share))
    return tables.markdown(("run", "wall time", "in timed calls"), rows, left=("run",), padded=False)


def case_table(table: Rows) -> str:
    """Every case with its mean speedup and coefficients of variation, in Markdown."""
    rows = []
    for row in table.to_dict("records"):
        few = "" if pd.isna(row["undisturbed_cv"]) else units.percent(row["undisturbed_cv"])
        figures = row["runs"], units.ratio(row["mean"]), units.percent(row["cv"])
        rows.append((row["id"], *figures, row["undisturbed_runs"], few))
    header = ("case", "runs", "mean", "CV", "undisturbed runs", "CV of these")
    return tables.markdown(header, rows, left=("case",), padded=False)
