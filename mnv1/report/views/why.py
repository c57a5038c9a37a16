"""From the ratio of operations to the measured speedup."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pandas as pd

from mnv1.report import units, why
from mnv1.report.attribution import CAUSES, UNEXPLAINED
from mnv1.report.cells import Cell, where_known
from mnv1.report.known import colour
from mnv1.report.plots.style import DARK, GREY, batch, new_figure, whiskers
from mnv1.report.rows import Rows, verdict
from mnv1.report.view import SAMPLING, View
from mnv1.store.runs import Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


WON, LOST = "#009E73", "#D55E00"

SMALL = 0.02
"""Share of the time beyond theory below which causes are one step together."""


def select(results: Results) -> Rows:
    """The verdict's rows whose run has ceilings."""
    return why.with_ideals(verdict(results))


def steps(row: pd.Series) -> list[tuple[str, float]]:
    """What is left of the ratio of MACs after each step, from the whole of it to the speedup that was measured.

    By cause where it is known what ran. Where it is not, by what the ceilings allow: with BatchNorm folded, and not.
    """
    if pd.isna(row.get(f"cause_{UNEXPLAINED}")):
        allowed = [("memory", row["ideal_folded"]), ("BN, ReLU passes", row["ideal_eager"])]
        return [("MAC ratio", row["macs_ratio"]), *allowed, ("all else", row["speedup"])]
    causes = [(name, float(row[f"cause_{name}"])) for name in CAUSES if pd.notna(row.get(f"cause_{name}"))]
    shown = [(name, share) for name, share in causes if abs(share) >= SMALL]
    rest = sum(share for _, share in causes) - sum(share for _, share in shown)
    theory = row["standard_latency_p50"] / row["macs_ratio"]
    found, time = [("MAC ratio", row["macs_ratio"])], theory
    for name, share in [*shown, ("other causes", rest)]:
        time += share * row["excess"]
        found.append((name, row["standard_latency_p50"] / time))
    return found


def draw(rows: Rows) -> Figure:
    """A waterfall for each precision and batch size, from what counting promises to what was measured."""
    from matplotlib.patches import Patch

    columns = min(2, len(rows))
    several = [steps(row) for _, row in rows.iterrows()]
    figure, all_axes = new_figure(len(rows), 4.5 * columns, 0.26 * max(map(len, several)) + 0.9, columns)
    right = max(level for found in several for _, level in found) * 1.12
    for axes, found, (_, row) in zip(all_axes, several, rows.iterrows(), strict=True):
        _bar(axes, 0, 0.0, found[0][1], GREY, units.ratio(found[0][1]))
        for place, ((_, before), (_, after)) in enumerate(pairwise(found), start=1):
            better = after > before
            step = f"×{after / before:.2f}" if better else f"÷{before / after:.2f}"
            _bar(axes, place, min(before, after), abs(after - before), WON if better else LOST, step)
            axes.plot([before, before], [place - 1.35, place + 0.35], color=DARK, linewidth=0.8)
        last = len(found)
        error = whiskers(rows.loc[[row.name]], "speedup", "speedup_low", "speedup_high")
        axes.barh(
            last, row["speedup"], 0.7, color=colour("separable"), xerr=error, error_kw={"capsize": 3, "ecolor": DARK}
        )
        axes.text(row["speedup_high"] + 0.08, last, units.ratio(row["speedup"]), va="center", fontsize=7.5)
        axes.set_yticks(range(last + 1), [*(name for name, _ in found), "measured"], fontsize=7.5)
        axes.invert_yaxis()
        axes.set_title(f"{row['precision']}, {batch(row['batch_size'])}", loc="left")
        axes.set_xlim(0, right)
        axes.axvline(1, color=GREY, linewidth=1, linestyle=":")
        axes.grid(True, axis="x")
        axes.grid(False, axis="y")
        axes.set_xlabel("speedup (×)")
    all_axes[0].set_ylabel("what is left after")
    handles = [Patch(facecolor=one) for one in (GREY, LOST, WON, colour("separable"))]
    names = ["promised by counting", "lost in a step", "won in a step", "measured, 95 % interval"]
    figure.legend(handles, names, loc="outside lower center", ncols=4)
    return figure


def _bar(axes: Axes, place: int, left: float, width: float, face: str, text: str) -> None:
    axes.barh(place, width, 0.7, left=left, color=face)
    axes.text(left + width + 0.08, place, text, va="center", fontsize=7.5)


VIEW = View(
    __name__,
    place=20,
    title="From the ratio of operations to the measured speedup",
    reading=(
        "The grey bar is the ratio that counting operations promises, the blue one the speedup that was measured. Each "
        "step between them divides the ratio by the number beside it. Steps are causes, where it is known which "
        "kernels ran: the time of each in the separable network, less the twin's divided by the ratio. Elsewhere they "
        "are what the ceilings allow. Memory: the best speedup possible at the peak rate and the memory bandwidths "
        "measured with this run, with BatchNorm folded and ReLU fused. BN, ReLU passes: the best possible with both as "
        "passes of their own. All else: the extra cost of kernels, dispatch, launches and the allocator."
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
