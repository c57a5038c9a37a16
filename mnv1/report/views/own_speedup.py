"""How much faster are somebody's own workloads than their twins?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mnv1.report.cells import Cell
from mnv1.report.known import is_own, precision_ranks
from mnv1.report.plots.bars import lying_bars
from mnv1.report.plots.style import DARK, batch, new_figure
from mnv1.report.rows import Rows, eager
from mnv1.report.sentences import several
from mnv1.report.units import ratio_interval, seconds
from mnv1.report.view import SAMPLING, View
from mnv1.store.runs import Results

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def select(results: Results) -> Rows:
    """Speedups of workloads that are none of this suite's, in the order of their files and names."""
    rows = eager(results.cases)
    rows = rows[(rows["measures"] == "speedup") & ~is_own(rows["kind"])]
    keys = rows.assign(rank=precision_ranks(rows["precision"]))
    order = keys.sort_values(["shape", "kind", "rank", "batch_size"], kind="stable").index
    return rows.loc[order].reset_index(drop=True)


def finding(rows: Rows) -> str:
    """Each speedup in words."""
    said = [
        f"{row['kind']} {ratio_interval(row['speedup'], row['speedup_low'], row['speedup_high'])} ({row['precision']})"
        for _, row in rows.iterrows()
    ]
    return f"As many times as fast as its twin: {several(said)}."


def draw(rows: Rows) -> Figure:
    """A bar for each workload, with a mark for the ratio of operations."""
    figure, (axes,) = new_figure(1, 7, 0.34 * len(rows) + 0.8)
    places = np.arange(len(rows))
    lying_bars(axes, rows, [f"{row.kind}, {row.precision}, {batch(row.batch_size)}" for row in rows.itertuples()])
    axes.vlines(rows["macs_ratio"], places - 0.4, places + 0.4, color=DARK, linewidth=2)
    axes.set_ylabel("workload")
    axes.set_xlabel("speedup over the twin (×); dark mark: ratio of MACs")
    return figure


VIEW = View(
    __name__,
    place=15,
    title="How much faster are your workloads than their twins?",
    reading=(
        "A workload of yours and its twin run in alternating blocks in one process. The bar is the twin's time divided "
        "by the workload's, its whisker the 95 % interval; the dark mark is the ratio of their multiply-accumulates."
    ),
    needs="a workload of your own with a twin",
    select=select,
    finding=finding,
    draw=draw,
    columns=("workload", "file", "precision", "batch", "twin", "time", "speedup [95 %]", "MAC ratio", *SAMPLING),
    narrow=("workload", "precision", "batch", "speedup [95 %]", "MAC ratio"),
    cells={
        "workload": Cell(lambda row: row["kind"], left=True),
        "file": Cell(lambda row: row["shape"], left=True),
        "twin": Cell(lambda row: seconds(row["standard_latency_p50"]), "standard_latency_p50"),
        "time": Cell(lambda row: seconds(row["latency_p50"]), "latency_p50"),
    },
)
