"""Rows of the results that several views select, in the order in which they are shown. Pure functions."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import pandas as pd

from mnv1.report import why
from mnv1.report.gains import with_advice
from mnv1.report.known import is_own, kind_ranks, precision_ranks
from mnv1.store.runs import Results

Rows = pd.DataFrame
Select = Callable[[Results], Rows]


def cases_of(results: Results, subject: str, measures: str) -> Rows:
    """Cases of layers or models in eager mode that measure one thing.

    Networks of other packages or of somebody's own, and other modes, have views of their own.
    """
    return own(results.cases, subject, measures)


def own(rows: Rows, subject: str, measures: str) -> Rows:
    """The same of any rows."""
    # Blocks of any kind stand beside each other by their time; pairs are this suite's alone.
    kinds = is_own(rows["kind"]) | (subject == "layer" and measures == "latency")
    selected: Rows = eager(rows[(rows["subject"] == subject) & (rows["measures"] == measures) & kinds])
    return selected


def eager(rows: Rows) -> Rows:
    """The rows of plain eager code: no view mixes them but the view of modes."""
    selected: Rows = rows[rows["mode"] == "eager"]
    return selected


def ordered(rows: Rows) -> Rows:
    """Networks from large to small, then by precision, batch size and kind."""
    keys = pd.DataFrame(
        {
            "alpha": -rows["alpha"].astype(float),
            "resolution": -rows["resolution"].astype(float),
            "precision": precision_ranks(rows["precision"]),
            "batch_size": rows["batch_size"],
            "kind": kind_ranks(rows["kind"]),
        }
    )
    return rows.loc[keys.sort_values(keys.columns.tolist(), kind="stable").index].reset_index(drop=True)


def largest_network(rows: Rows) -> Rows:
    """The rows of the widest network, at its highest resolution."""
    if rows.empty:
        return rows
    widest: Rows = rows[rows["alpha"] == rows["alpha"].max()]
    largest: Rows = widest[widest["resolution"] == widest["resolution"].max()]
    return largest


def along(axis: str, fixed: str) -> Select:
    """Networks along one axis, at the largest `fixed` value that has the most values on the axis; at least two."""

    def select(results: Results) -> Rows:
        rows = cases_of(results, "model", "latency")
        counts = rows.groupby(fixed)[axis].nunique()
        if counts.empty or counts.max() < 2:
            return rows.iloc[:0]
        chosen = counts[counts == counts.max()].index.max()
        # Only the curves along which the whole axis was measured.
        rows = rows[rows[fixed] == chosen]
        complete = rows.groupby(["kind", "precision", "batch_size"])[axis].transform("nunique") == counts.max()
        return ordered(rows[complete])

    return select


@lru_cache(maxsize=8)
def verdict(results: Results) -> Rows:
    """Speedups of the largest network, with what the ceilings allow, what limits them and what helps, where known."""
    rows = ordered(largest_network(cases_of(results, "model", "speedup")))
    if rows.empty:
        return rows
    ideals = why.with_ideals(rows)[["ideal_folded", "ideal_eager"]]
    return with_advice(why.with_limits(rows.join(ideals), results), results)


def layers(measures: str) -> Select:
    """Blocks as the network has them, whatever order they were measured in: fp32 before amp, then by batch size."""

    def select(results: Results) -> Rows:
        rows = cases_of(results, "layer", measures)
        keys = pd.DataFrame(
            {
                "precision": precision_ranks(rows["precision"]),
                "batch_size": rows["batch_size"],
                "side": -rows["side"].astype(float),
                "in_channels": rows["in_channels"],
                "out_channels": rows["out_channels"],
                "kind": kind_ranks(rows["kind"]),
            }
        )
        return rows.loc[keys.sort_values(keys.columns.tolist(), kind="stable").index].reset_index(drop=True)

    return select


def with_several(column: str) -> Select:
    """The largest network, where at least two values of `column` were measured."""

    def select(results: Results) -> Rows:
        rows = largest_network(cases_of(results, "model", "latency"))
        return ordered(rows if rows[column].nunique() >= 2 else rows.iloc[:0])

    return select


def beside_inference(rows: Rows, inference: Rows, columns: tuple[str, ...]) -> Rows:
    """Rows of training steps with columns `inference_*` of a forward pass of the same, where it was measured."""
    same = ["kind", "shape", "device", "precision", "batch_size"]
    found = inference[[*same, *columns]].rename(columns={name: f"inference_{name}" for name in columns})
    return rows.merge(found, on=same, how="left")


def models(results: Results) -> Rows:
    """Latencies of all networks."""
    return ordered(cases_of(results, "model", "latency"))
