"""Time of each block: standard, separable, and the separable block's halves alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mnv1.report.known import colour
from mnv1.report.plots.style import (
    BLOCK_AXIS,
    MARKERS,
    batch,
    block_labels,
    new_figure,
    panels_of,
    plain_log,
    whiskers,
    with_legend,
)
from mnv1.report.rows import Rows, layers
from mnv1.report.view import View

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(rows: Rows) -> Figure:
    """Latency of every block and of its parts, a panel for each precision and batch size."""
    panels = panels_of(rows, ["precision", "batch_size"])
    figure, all_axes = new_figure(len(panels), 9, 2.4)
    kinds = list(dict.fromkeys(rows["kind"]))
    for axes, ((precision, size), group) in zip(all_axes, panels, strict=True):
        group = group.assign(place=block_labels(group))
        places = list(group["place"].unique())
        for (kind,), points in panels_of(group, ["kind"]):
            number = kinds.index(str(kind))
            axes.errorbar(
                [places.index(place) + (number - 1.5) * 0.12 for place in points["place"]],
                points["latency_p50"] * 1e3,
                yerr=whiskers(points, "latency_p50", "latency_low", "latency_high", 1e3),
                color=colour(kind),
                marker=MARKERS[number % len(MARKERS)],
                linestyle="none",
                markersize=6,
                capsize=2,
                label=str(kind),
            )
        axes.set_xticks(range(len(places)), places, fontsize=8)
        axes.set_title(f"{precision}, {batch(size)}", loc="left")
        axes.set_ylabel("latency (ms a call)")
        axes.set_yscale("log")
        plain_log(axes.yaxis)
    all_axes[-1].set_xlabel(BLOCK_AXIS)
    return with_legend(figure, all_axes[0])


VIEW = View(
    __name__,
    place=220,
    title="Time of each block: standard, separable, and the separable block's halves alone",
    reading=(
        "A block's name gives input x output channels, stride and input side. Each module is timed in a hot loop of "
        "its own, so the halves need not add up to the separable block. p90 needs 10 rounds, p99 needs 100."
    ),
    needs="layers",
    select=layers("latency"),
    draw=draw,
    columns=(
        *("block", "kind", "precision", "batch", "MACs", "latency", "p90", "p99", "MAC/s", "peak memory"),
        *("rounds", "stopped", "note"),
    ),
)
