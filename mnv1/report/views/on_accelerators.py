"""Is separable faster on an accelerator, in which mode, and what ran?"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

from mnv1.report import units
from mnv1.report.cells import Cell, energy_cell, where_known
from mnv1.report.known import device_named, is_own, mode_ranks, precision_ranks
from mnv1.report.plots.curves import powers_of_two
from mnv1.report.plots.style import (
    DARK,
    GREY,
    MARKERS,
    PART_COLOURS,
    block_labels,
    network_labels,
    new_figure,
    panels_of,
    whiskers,
    with_legend,
)
from mnv1.report.rows import Rows
from mnv1.report.view import SAMPLING, View
from mnv1.report.views.layer_speedup import SIDES, said, what_ran
from mnv1.report.why import latency_of
from mnv1.store.runs import Results

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def select(results: Results) -> Rows:
    """Speedups in any mode on a device beside the host, where one case has several modes.

    With what ran on either side, `ran_*`, the seconds in which its kernels run, `device_busy_*`, and the joules that it
    takes, `energy_*`, where these are known; `device_speedup` is the ratio of the former.
    """
    rows = results.cases[(results.cases["measures"] == "speedup") & is_own(results.cases["kind"])]
    rows = rows[~rows["device"].map(lambda name: device_named(name).is_host).astype(bool)]
    rows = rows if rows["mode"].nunique() > 1 else rows.iloc[:0]
    keys = rows.assign(mode=mode_ranks(rows["mode"]), precision=precision_ranks(rows["precision"]))
    order = keys.sort_values(["subject", "shape", "precision", "mode", "batch_size"], kind="stable").index
    rows = rows.loc[order].reset_index(drop=True)
    for side in SIDES:
        rows[f"ran_{side}"] = [what_ran(row, side, results) for _, row in rows.iterrows()]
        sides = [latency_of(row, side, results.cases) for _, row in rows.iterrows()]
        for name in ("device_busy", "energy"):
            rows[f"{name}_{side}"] = [math.nan if one is None else float(one[name]) for one in sides]
    return rows.assign(what=_names(rows), device_speedup=rows["device_busy_standard"] / rows["device_busy_separable"])


def _names(rows: Rows) -> list[str]:
    blocks = rows["subject"] == "layer"
    names = dict(zip(rows.index[blocks], block_labels(rows[blocks]), strict=True))
    names |= dict(zip(rows.index[~blocks], network_labels(rows[~blocks]), strict=True))
    return [names[place].replace("\n", " ") for place in rows.index]


def finding(rows: Rows) -> str:
    """From which batch size on separable wins, for each shape, in its best mode; and the largest speedup."""
    if rows.empty:
        return ""
    said_of = []
    for what, group in rows.groupby("what", sort=False):
        best = group.sort_values("speedup").iloc[-1]
        wins = sorted(group.loc[group["speedup_low"] > 1, "batch_size"].unique())
        where = f"wins from batch {wins[0]:g} on" if wins else "never wins beyond its interval"
        said_of.append(
            f"{what} {where}, by up to {units.ratio(best['speedup'])} ({best['mode']}, {best['precision']}, batch "
            f"{best['batch_size']:g})"
        )
    return f"Separable against standard: {'; '.join(said_of)}."


def draw(rows: Rows) -> Figure:
    """Speedup against batch size: a panel for each shape and precision, a line for each mode."""
    panels = panels_of(rows, ["what", "precision"])
    figure, all_axes = new_figure(len(panels), 9, 2.8, columns=2)
    modes = list(dict.fromkeys(rows["mode"]))
    for axes, ((what, precision), group) in zip(all_axes, panels, strict=True):
        for mode, curve in group.groupby("mode", sort=False):
            place = modes.index(str(mode))
            axes.errorbar(
                curve["batch_size"],
                curve["speedup"],
                yerr=whiskers(curve, "speedup", "speedup_low", "speedup_high"),
                label=str(mode),
                color=list(PART_COLOURS.values())[place % len(PART_COLOURS)],
                marker=MARKERS[place % len(MARKERS)],
                markersize=4,
                linewidth=1.2,
            )
        axes.axhline(1, color=GREY, linewidth=1, linestyle=":")
        axes.axhline(float(group["macs_ratio"].iloc[0]), color=DARK, linewidth=1, linestyle="--")
        powers_of_two(axes, rows["batch_size"], "batch size (images a call)")
        axes.set_title(f"{what}, {precision}", loc="left", fontsize=8)
        axes.set_ylabel("speedup (×)")
        axes.set_ylim(0)
    return with_legend(figure, all_axes[0])


VIEW = View(
    __name__,
    place=55,
    title="Is separable faster on this accelerator, how must it run, and what ran?",
    reading=(
        "Standard and separable in turns, in each mode. A device waits for the host in eager code at small batches, so "
        "that fewer operations bring nothing there; a recorded graph shows the kernels alone. The dashed line is the "
        "ratio that counting operations promises; below 1 the separable side is slower. What ran are the kernels of "
        "the modes that leave a trace, and the speedup of kernels is by the device's time alone. Energy is what the "
        "device counts over two seconds of calls in eager code."
    ),
    needs="speedups on an accelerator in two or more modes (--profile gpu)",
    select=select,
    finding=finding,
    draw=draw,
    columns=(
        *("what", "precision", "mode", "batch", "standard", "separable", "measured speedup [95 %]", "MAC ratio"),
        *("standard kernels", "separable kernels", "speedup of kernels", "standard mJ/image", "separable mJ/image"),
        *("standard ran", "separable ran", *SAMPLING),
    ),
    cells={
        "what": Cell(lambda row: row["what"], left=True),
        **{f"{side} kernels": where_known(f"device_busy_{side}", units.seconds, optional=True) for side in SIDES},
        "speedup of kernels": where_known("device_speedup", units.ratio, optional=True),
        **{f"{side} mJ/image": energy_cell(f"energy_{side}") for side in SIDES},
        **{f"{side} ran": Cell(partial(said, side), left=True, optional=True) for side in SIDES},
    },
)
