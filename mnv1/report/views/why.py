"""From the ratio of operations to the measured speedup."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from mnv1.report import units, why
from mnv1.report.cells import Cell, where_known
from mnv1.report.known import colour
from mnv1.report.plots.style import DARK, GREY, batch, new_figure, whiskers
from mnv1.report.rows import Rows, verdict
from mnv1.report.view import SAMPLING, View
from mnv1.store.runs import Results

if TYPE_CHECKING:
    from matplotlib.figure import Figure


WON, LOST = "#009E73", "#D55E00"


def select(results: Results) -> Rows:
    """The verdict's rows whose run has ceilings."""
    return why.with_ideals(verdict(results))


def draw(rows: Rows) -> Figure:
    """A waterfall for each precision and batch size, from what counting promises to what was measured."""
    from matplotlib.patches import Patch

    columns = min(3, len(rows))
    figure, all_axes = new_figure(len(rows), 3.1 * columns + 0.3, 2.5, columns)
    top = max(rows["macs_ratio"].max(), rows["speedup_high"].max(), rows["ideal_eager"].max()) * 1.14
    for axes, (_, row) in zip(all_axes, rows.iterrows(), strict=True):
        levels = [row[name] for name in ("macs_ratio", "ideal_folded", "ideal_eager", "speedup")]
        axes.bar(0, levels[0], 0.7, color=GREY)
        axes.text(0, levels[0] + 0.1, units.ratio(levels[0]), ha="center", va="bottom", fontsize=8)
        for place, (before, after) in enumerate(pairwise(levels), start=1):
            better = after > before
            axes.bar(place, abs(after - before), 0.7, bottom=min(before, after), color=WON if better else LOST)
            axes.plot([place - 1.35, place + 0.35], [before, before], color=DARK, linewidth=0.8)
            step = f"×{after / before:.2f}" if better else f"÷{before / after:.2f}"
            axes.text(place, max(before, after) + 0.1, step, ha="center", va="bottom", fontsize=8)
        error = whiskers(rows.loc[[row.name]], "speedup", "speedup_low", "speedup_high")
        axes.bar(4, levels[3], 0.7, color=colour("separable"), yerr=error, error_kw={"capsize": 3, "ecolor": DARK})
        axes.plot([2.65, 4.35], [levels[3]] * 2, color=DARK, linewidth=0.8)
        axes.text(4, row["speedup_high"] + 0.1, units.ratio(levels[3]), ha="center", va="bottom", fontsize=8)
        labels = ["MAC\nratio", "memory", "BN, ReLU\npasses", "all\nelse", "meas-\nured"]
        axes.set_xticks(range(5), labels, fontsize=7.5)
        axes.set_title(f"{row['precision']}, {batch(row['batch_size'])}", loc="left")
        axes.set_ylim(0, top)
        axes.axhline(1, color=GREY, linewidth=1, linestyle=":")
        axes.set_ylabel("speedup (×)")
    handles = [Patch(facecolor=one) for one in (GREY, LOST, WON, colour("separable"))]
    names = ["promised by counting", "lost in a step", "won in a step", "measured, 95 % interval"]
    figure.legend(handles, names, loc="outside lower center", ncols=4)
    return figure


VIEW = View(
    __name__,
    place=20,
    title="From the ratio of operations to the measured speedup",
    reading=(
        "The grey bar is the ratio that counting operations promises, the blue one the speedup that was measured. Each "
        "step between them divides the ratio by the number above it. Memory: the best speedup possible at the peak "
        "rate and the memory bandwidths measured with this run, with BatchNorm folded and ReLU fused. BN, ReLU passes: "
        "the best possible with both as passes of their own, as PyTorch runs them. All else: the extra cost of "
        "kernels, dispatch, launches and the allocator to the separable network."
    ),
    needs="a standard/separable pair of a network, and ceilings",
    select=select,
    draw=draw,
    columns=(
        *("precision", "batch", "MAC ratio", "ideal, BN folded", "ideal, eager", "measured speedup [95 %]"),
        *("measured / eager ideal", *SAMPLING),
    ),
    cells={
        "ideal, eager": where_known("ideal_eager", units.ratio, optional=True),
        "measured / eager ideal": Cell(lambda row: units.percent(row["speedup"] / row["ideal_eager"])),
    },
)
