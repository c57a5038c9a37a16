"""Precision: fp32 beside autocast."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from mnv1.report.cells import Cell
from mnv1.report.plots.bars import grouped_bars
from mnv1.report.plots.style import batch, network_labels, new_figure, panels_of, with_legend
from mnv1.report.rows import Rows, cases_of, ordered
from mnv1.report.sentences import several, size_name
from mnv1.report.view import View
from mnv1.store.runs import Results

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def select(results: Results) -> Rows:
    """Networks in several precisions, each told apart from fp32 by its interval, or not."""
    rows = cases_of(results, "model", "latency")
    same = ["kind", "shape", "batch_size"]
    several = rows.groupby(same)["precision"].transform("nunique") >= 2
    rows = ordered(rows[several])
    plain = {tuple(row[same]): row for _, row in rows.iterrows() if row["precision"] == "fp32"}
    return rows.assign(against_fp32=[_against(row, plain.get(tuple(row[same]))) for _, row in rows.iterrows()])


def _against(row: pd.Series, plain: pd.Series | None) -> str:
    if row["precision"] == "fp32" or plain is None:
        return ""
    if row["latency_low"] > plain["latency_high"]:
        return "slower"
    return "faster" if row["latency_high"] < plain["latency_low"] else "indistinguishable"


def finding(rows: Rows) -> str:
    """Where autocast or TF32 helps and where it does not."""
    parts = []
    for precision, group in rows[rows["against_fp32"] != ""].groupby("precision", sort=False):
        counts = group["against_fp32"].value_counts()
        parts.append(
            f"{precision} is "
            + several([f"{word} {number} time{'s' * (number > 1)}" for word, number in counts.items()])
        )
        slower = group[group["against_fp32"] == "slower"]
        if not slower.empty:
            named = [f"{row['kind']} {size_name(row)} batch {row['batch_size']:g}" for _, row in slower.iterrows()]
            parts[-1] += f" (slower: {', '.join(named[:6])}{', …' if len(named) > 6 else ''})"
    if not parts:
        return ""
    return f"Beside fp32, network by network, {'; '.join(parts)}. Where intervals overlap, nothing is told apart."


def draw(rows: Rows) -> Figure:
    """Latency of networks, precisions side by side."""
    panels = sorted(panels_of(rows, ["kind", "batch_size"]), key=lambda panel: (str(panel[0][0]), panel[0][1]))
    columns = max(1, max(sum(kind == one for (one, _), _ in panels) for (kind, _), _ in panels))
    figure, all_axes = new_figure(len(panels), 3.6 * columns, 2.6, columns=columns)
    for axes, ((kind, size), group) in zip(all_axes, panels, strict=True):
        labelled = group.assign(place=network_labels(group))
        grouped_bars(axes, labelled, "place", "precision", "latency_p50", ("latency_low", "latency_high"), 1e3)
        axes.set_title(f"{kind}, {batch(size)}", loc="left")
        axes.set_ylabel("latency (ms a call)")
        axes.tick_params(axis="x", labelsize=7)
    return with_legend(figure, all_axes[0])


VIEW = View(
    __name__,
    place=150,
    title="Precision: fp32 beside autocast",
    reading=(
        "Bars of one network and batch size stand side by side; whiskers are 95 % intervals. They "
        "were timed one after the other, not alternating, so no ratio is given."
    ),
    needs="a network in at least two precisions",
    select=select,
    finding=finding,
    draw=draw,
    columns=(
        *("kind", "α", "px", "batch", "precision", "latency", "images/s", "against fp32"),
        *("rounds", "stopped", "note"),
    ),
    cells={"against fp32": Cell(lambda row: row["against_fp32"], left=True)},
)
