"""Networks side by side: what each takes and needs, in one run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mnv1.report import units
from mnv1.report.cells import network_name
from mnv1.report.plots.style import (
    COLOURS,
    DARK,
    Rows,
    batch,
    marks_of_disturbed,
    new_figure,
    panels_of,
    whiskers,
    with_legend,
)


@dataclass(frozen=True)
class Quantity:
    """What a column of panels shows: a column of the rows with its interval, if it has one, and how to write it."""

    axis: str
    column: str
    text: Callable[[float], str]
    scale: float = 1.0
    interval: tuple[str, str] | None = None


QUANTITIES = (
    Quantity("latency (ms a call)", "latency_p50", units.seconds, 1e3, ("latency_low", "latency_high")),
    Quantity("throughput (images/s)", "throughput", units.significant, 1.0, ("throughput_low", "throughput_high")),
    Quantity("MACs a call (G)", "macs", units.macs, 1e-9),
    Quantity("peak memory (MiB)", "peak_memory", units.bytes_, 2.0**-20),
)


def side_by_side(rows: Rows) -> Figure:
    """A row of panels for each precision and batch size, a bar in each for every network."""
    rows = rows.assign(
        throughput_low=rows["batch_size"] / rows["latency_high"],
        throughput_high=rows["batch_size"] / rows["latency_low"],
    )
    groups = panels_of(rows, ["precision", "batch_size"])
    most = max(len(group) for _, group in groups)
    figure, axes = new_figure(len(groups) * len(QUANTITIES), 12, 0.3 * most + 0.9, len(QUANTITIES))
    for number, ((precision, size), group) in enumerate(groups):
        row = axes[number * len(QUANTITIES) : (number + 1) * len(QUANTITIES)]
        for one, quantity in zip(row, QUANTITIES, strict=True):
            _bars(one, group, quantity)
        row[0].set_title(f"{precision}, {batch(size)}", loc="left")
        row[0].set_ylabel("network")
        row[0].set_yticks(range(len(group)), [network_name(network) for _, network in group.iterrows()])
    marked = any(patch.get_hatch() for one in axes for patch in one.patches)
    return with_legend(figure, axes[0]) if marked else figure


def _bars(axes: Axes, rows: Rows, quantity: Quantity) -> None:
    """Horizontal bars, the first row on top, each with its figure behind the end of its whisker."""
    values = rows[quantity.column].to_numpy(dtype=float) * quantity.scale
    bars = axes.barh(
        np.arange(len(rows)),
        values,
        0.7,
        color=[COLOURS[str(kind)] for kind in rows["kind"]],
        edgecolor="white",
        linewidth=0,
        xerr=whiskers(rows, quantity.column, *quantity.interval, quantity.scale) if quantity.interval else None,
        error_kw={"elinewidth": 1, "capsize": 2, "ecolor": DARK},
    )
    for bar, mark in zip(bars, marks_of_disturbed(rows) if quantity.interval else [""] * len(rows), strict=True):
        bar.set_hatch(mark)
    ends = rows[quantity.interval[1]].to_numpy(dtype=float) * quantity.scale if quantity.interval else values
    for place, (end, value) in enumerate(zip(ends, rows[quantity.column], strict=True)):
        if pd.notna(value):
            axes.annotate(
                quantity.text(value), (end, place), (4, 0), textcoords="offset points", va="center", fontsize=7.5
            )
    axes.set_xlim(0, 1.4 * np.nanmax(ends))  # room for the figures
    axes.set_yticks(range(len(rows)), [""] * len(rows))
    axes.invert_yaxis()
    axes.grid(False, axis="y")
    axes.grid(True, axis="x")
    axes.set_xlabel(quantity.axis)
