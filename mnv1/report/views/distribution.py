"""How much do calls of one network vary?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mnv1.report import units
from mnv1.report.plots.style import DARK, GREY, batch, new_figure, panels_of, with_legend
from mnv1.report.rows import Rows, models
from mnv1.report.view import View
from mnv1.store.runs import Results

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def select(results: Results) -> Rows:
    """Networks with enough rounds for a 90th percentile."""
    rows: Rows = models(results).query("rounds >= 10").reset_index(drop=True)
    return rows


def finding(rows: Rows) -> str:
    """How far the slow calls are from the median."""
    known = rows[rows["rounds"] >= 10]
    if known.empty:
        return ""
    tails = known["latency_p90"] / known["latency_p50"]
    typical, most = units.ratio(tails.median()), units.ratio(tails.max())
    return f"For half of these cases the 90th percentile is at most {typical} the median; the largest is {most}."


def draw(rows: Rows) -> Figure:
    """The 90th and 99th percentile as multiples of the median, a panel for each precision."""
    panels = panels_of(rows, ["precision"])
    longest = max(len(group) for _, group in panels)
    figure, all_axes = new_figure(len(panels), 5.2 * len(panels), 0.19 * longest + 1.0, columns=len(panels))
    for axes, ((precision,), group) in zip(all_axes, panels, strict=True):
        places = np.arange(len(group))
        p90, p99 = (group[f"latency_{name}"] / group["latency_p50"] for name in ("p90", "p99"))
        axes.hlines(places, 1, p90, color=GREY, linewidth=1)
        axes.plot(p90, places, "o", color="#0072B2", markersize=4, label="90th percentile")
        known = (group["rounds"] >= 100).to_numpy()
        if known.any():
            axes.hlines(places[known], p90[known], p99[known], color=GREY, linewidth=1)
            axes.plot(p99[known], places[known], "D", color="#D55E00", markersize=4, label="99th percentile")
        labels = [
            f"{row.kind}, α {row.alpha:g}, {row.resolution:g} px, {batch(row.batch_size)}" for row in group.itertuples()
        ]
        axes.set_yticks(places, labels, fontsize=6.5)
        axes.invert_yaxis()
        axes.grid(True, axis="x")
        axes.axvline(1, color=DARK, linewidth=1)
        axes.set_xlabel("latency / median (×)")
        axes.set_title(str(precision), loc="left")
    all_axes[0].set_ylabel("network, batch size")
    most = int(np.argmax([(group["rounds"] >= 100).any() for _, group in panels]))
    return with_legend(figure, all_axes[most])


VIEW = View(
    __name__,
    place=210,
    title="How much do calls of one network vary?",
    reading=(
        "The 90th percentile of the rounds as a multiple of their median, and the 99th where there are 100 rounds; a "
        "round of a short call is a mean over some calls. A long tail comes from other work on the machine more often "
        "than from the network."
    ),
    needs="networks with at least ten rounds",
    select=select,
    finding=finding,
    draw=draw,
    columns=("network", "precision", "batch", "p50", "p90", "p99", "rounds", "stopped"),
)
