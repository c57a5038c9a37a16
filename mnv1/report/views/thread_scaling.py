"""Threads: throughput of one network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mnv1.report.cells import Cell
from mnv1.report.known import precision_ranks
from mnv1.report.plots.curves import curve_look, powers_of_two, with_throughput_interval
from mnv1.report.plots.style import GREY, batch, new_figure, panels_of, whiskers, with_legend
from mnv1.report.rows import Rows, largest_network, ordered, own
from mnv1.report.view import View
from mnv1.store.runs import Results

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def select(results: Results) -> Rows:
    """The largest network by number of threads: the newest run of the same machine for each, where there are two."""
    rows = own(results.history, "model", "latency")
    rows = ordered(largest_network(rows).sort_values("time")).drop_duplicates(["id", "threads"], keep="last")
    several = rows.groupby("id")["threads"].transform("nunique") >= 2
    return rows[several].sort_values("threads", kind="stable").reset_index(drop=True)


def draw(rows: Rows) -> Figure:
    """Throughput by number of threads, a panel for each precision and batch size."""
    rows = rows.assign(order=precision_ranks(rows["precision"]))
    panels = panels_of(rows.sort_values(["order", "batch_size"], kind="stable"), ["precision", "batch_size"])
    columns = min(3, rows["batch_size"].nunique())
    figure, all_axes = new_figure(len(panels), max(5, 3.2 * columns), 2.8, columns)
    for axes, ((precision, size), group) in zip(all_axes, panels, strict=True):
        for (kind,), curve in panels_of(with_throughput_interval(group), ["kind"]):
            curve = curve.sort_values("threads")
            error = whiskers(curve, "throughput", "throughput_low", "throughput_high")
            look = curve_look(str(kind), str(precision)) | {"label": str(kind)}
            axes.errorbar(curve["threads"], curve["throughput"], yerr=error, **look)
            ideal = curve["throughput"].iloc[0] / curve["threads"].iloc[0] * curve["threads"]
            label = "as many times as threads" if kind == panels[0][1]["kind"].iloc[0] else None
            axes.plot(curve["threads"], ideal, color=GREY, linestyle=(0, (1, 1.5)), linewidth=1.2, label=label)
        powers_of_two(axes, group["threads"], "threads")
        axes.set_title(f"{precision}, {batch(size)}", loc="left")
        axes.set_ylabel("throughput (images/s)")
        axes.set_ylim(0)
    return with_legend(figure, all_axes[0])


VIEW = View(
    __name__,
    place=230,
    title="Threads: throughput of one network",
    reading=(
        "Runs of one machine with different numbers of threads, for each number the newest run. On the dotted line "
        "every thread adds as much as the first. Such runs are not compared by a ratio."
    ),
    needs="stored runs with at least two numbers of threads (--threads)",
    select=select,
    draw=draw,
    columns=("kind", "precision", "batch", "threads", "latency", "images/s", "rounds", "stopped"),
    cells={"threads": Cell(lambda row: f"{row['threads']:g}", "threads")},
)
