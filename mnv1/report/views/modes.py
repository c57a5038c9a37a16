"""Execution modes: the same network, run in several ways."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from mnv1.report import units
from mnv1.report.cells import where_known
from mnv1.report.known import is_own, kind_ranks, mode_ranks
from mnv1.report.plots.modes import bar_panels, with_every_label
from mnv1.report.plots.style import batch, panels_of, with_legend
from mnv1.report.rows import Rows, largest_network
from mnv1.report.view import View
from mnv1.store.runs import Results

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def select(results: Results) -> Rows:
    """The largest network of each kind and batch size that was run in several modes, the fastest first."""
    rows = results.cases
    rows = rows[(rows["subject"] == "model") & (rows["measures"] == "latency") & is_own(rows["kind"])]
    rows = largest_network(rows)
    several = rows.groupby(["kind", "batch_size"])["mode"].transform("nunique") >= 2
    rows = rows[several]
    keys = pd.DataFrame(
        {
            "batch_size": rows["batch_size"],
            "kind": -kind_ranks(rows["kind"]),  # separable before standard
            "latency": rows["latency_p50"],
            "mode": mode_ranks(rows["mode"]),
        }
    )
    return rows.loc[keys.sort_values(keys.columns.tolist(), kind="stable").index].reset_index(drop=True)


def finding(rows: Rows) -> str:
    """The fastest way to run each network at each batch size."""
    best = [
        f"{kind} at batch {size:g}: {group.iloc[0]['mode']} in {group.iloc[0]['precision']} "
        f"({units.seconds(group.iloc[0]['latency_p50'])})"
        for (size, kind), group in rows.groupby(["batch_size", "kind"], sort=False)
    ]
    return f"Fastest: {'; '.join(best)}."


def draw(rows: Rows) -> Figure:
    """A panel for each network and batch size that were measured in several modes by a sweep."""
    columns = {"latency_p50": "latency"}
    rows = rows.rename(columns=columns).assign(state="controlled", speedup=float("nan"))
    groups = panels_of(rows, ["kind", "batch_size"])
    figure, panels = bar_panels([(f"{kind}, {batch(size)}", group) for (kind, size), group in groups])
    for axes in panels:
        axes.set_xlabel("latency (ms a call)")
    return with_legend(figure, with_every_label(panels), 4)


VIEW = View(
    __name__,
    place=160,
    title="Execution modes: the same network, run in several ways",
    reading=(
        "Bars from the fastest down; whiskers are 95 % intervals. They were timed one after the "
        "other, not alternating, so no ratio is given: scripts/find_fastest.py measures them in turns. Output error: "
        "relative L2 difference from the output of eager fp32. Made ready: the time of transformation, conversion and "
        "compilation, up to the end of the first call."
    ),
    needs="a network in at least two modes (--modes)",
    select=select,
    finding=finding,
    draw=draw,
    columns=(
        *("kind", "α", "px", "batch", "precision", "mode", "latency", "images/s", "output error", "made ready"),
        *("graph breaks", "size", "rounds", "stopped", "note"),
    ),
    cells={
        "output error": where_known("output_error", "{:.1e}".format, optional=True),
        "made ready": where_known("compile_time", units.seconds, optional=True),
        "graph breaks": where_known("graph_breaks", "{:g}".format, optional=True),
        "size": where_known("file_size", units.bytes_, optional=True),
    },
)
