"""Speedups of earlier runs in the same environment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mnv1.report.cells import Cell
from mnv1.report.plots.style import MARKERS, batch, new_figure, panels_of, whiskers, with_legend
from mnv1.report.rows import Rows, eager, largest_network, ordered
from mnv1.report.view import SAMPLING, View
from mnv1.store.runs import Results

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STYLES = ("-", "--", ":", "-.")
"""Lines of states of the machine."""


def select(results: Results) -> Rows:
    """The largest network's speedups in every stored run of the same environment, oldest first; at least two runs."""
    here = set(results.cases["environment"])
    rows = eager(results.history)
    rows = rows[rows["environment"].isin(here) & (rows["subject"] == "model") & (rows["measures"] == "speedup")]
    rows = ordered(largest_network(rows)).sort_values("time", kind="stable").reset_index(drop=True)
    rows["state"] = rows["state"].astype(object).where(rows["state"].notna(), "")
    return rows if rows["run"].nunique() >= 2 else rows.iloc[:0]


def draw(rows: Rows) -> Figure:
    """Speedups of runs over time, a panel for each precision; a line joins those of one state of the machine."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    states = sorted(rows["state"].unique())
    panels = panels_of(rows, ["precision"])
    figure, all_axes = new_figure(len(panels), 8, 2.8)
    for axes, ((precision,), group) in zip(all_axes, panels, strict=True):
        sizes = sorted(group["batch_size"].unique())
        for (size, state), curve in group.sort_values("time", kind="stable").groupby(["batch_size", "state"]):
            number = sizes.index(size)
            axes.errorbar(
                curve["time"].dt.tz_localize(None).to_numpy(),
                curve["speedup"],
                yerr=whiskers(curve, "speedup", "speedup_low", "speedup_high"),
                label=", ".join(filter(None, [batch(size), str(state)])),
                linestyle=STYLES[states.index(state) % len(STYLES)],
                color=("#0072B2", "#D55E00", "#009E73", "#CC79A7")[number % 4],
                marker=MARKERS[number % len(MARKERS)],
                markersize=5,
                linewidth=1.2,
                capsize=3,
            )
        # Three ticks or more: from four on, no interval suits some spans, such as four hours.
        locator = AutoDateLocator(minticks=3, maxticks=7)  # type: ignore[no-untyped-call]
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
        axes.set_title(str(precision), loc="left")
        axes.set_ylabel("speedup (×)")
        axes.set_ylim(0)
    all_axes[-1].set_xlabel("when the run was stored (UTC)")
    return with_legend(figure, all_axes[0])


VIEW = View(
    __name__,
    place=240,
    title="Speedups of earlier runs in the same environment",
    reading=(
        "Every stored run of this machine with the same software and settings, oldest first, with 95 % intervals."
    ),
    needs="at least two stored runs of this environment",
    select=select,
    draw=draw,
    columns=("date", "revision", "precision", "batch", "measured speedup [95 %]", "state", *SAMPLING),
    cells={
        "date": Cell(lambda row: f"{row['time']:%Y-%m-%d %H:%M}"),
        "revision": Cell(lambda row: row["commit"]),
        "state": Cell(lambda row: row["state"], left=True, optional=True),
    },
)
