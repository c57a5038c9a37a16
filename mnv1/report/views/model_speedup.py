"""Measured speedup of whole networks across width, resolution and batch size."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mnv1.report.plots.bars import speedup_bars
from mnv1.report.plots.style import batch, network_labels, new_figure, panels_of, with_legend
from mnv1.report.rows import Rows, cases_of, ordered
from mnv1.report.view import SAMPLING, View
from mnv1.store.runs import Results

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def select(results: Results) -> Rows:
    """Speedups of all networks."""
    return ordered(cases_of(results, "model", "speedup"))


def draw(rows: Rows) -> Figure:
    """Speedups of networks, a panel for each batch size."""
    panels = panels_of(rows.sort_values("batch_size", kind="stable"), ["batch_size"])
    figure, all_axes = new_figure(len(panels), 9, 2.6)
    for axes, ((size,), group) in zip(all_axes, panels, strict=True):
        speedup_bars(axes, group.assign(place=network_labels(group)), slots=rows["shape"].nunique())
        axes.set_title(batch(size), loc="left")
        axes.set_ylabel("speedup (×)")
    return with_legend(figure, all_axes[0])


VIEW = View(
    __name__,
    place=60,
    title="Measured speedup of whole networks across width, resolution and batch size",
    reading=("As in the verdict, for every network that was measured as a pair."),
    needs="a standard/separable pair of a network",
    select=select,
    draw=draw,
    columns=(
        "α",
        "px",
        "precision",
        "batch",
        "standard",
        "separable",
        "measured speedup [95 %]",
        "MAC ratio",
        *SAMPLING,
    ),
)
