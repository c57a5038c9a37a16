"""Bars of latencies by mode and precision: of a sweep's modes in a view, of a ladder's rungs in `mnv1.ladder.plot`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mnv1.report import units
from mnv1.report.known import colour
from mnv1.report.plots.style import DARK, GREY, new_figure, whiskers
from mnv1.report.rows import Rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def bar_panels(groups: list[tuple[str, Rows]]) -> tuple[Figure, list[Axes]]:
    """A panel of bars for each group of rows, in the order of the rows."""
    most, columns = max(len(group) for _, group in groups), min(2, len(groups))
    figure, panels = new_figure(len(groups), 6.2 * columns, 0.24 * most + 0.9, columns)
    for number, (axes, (title, group)) in enumerate(zip(panels, groups, strict=True)):
        _bars(axes, group.reset_index(drop=True))
        axes.set_title(title, loc="left")
        if number % columns == 0:
            axes.set_ylabel("mode, precision")
    return figure, panels


def _bars(axes: Axes, rows: Rows) -> None:
    places = np.arange(len(rows))
    bars = axes.barh(
        places,
        1e3 * rows["latency"],
        0.72,
        color=[colour(precision) for precision in rows["precision"]],
        xerr=whiskers(rows, "latency", "latency_low", "latency_high", 1e3),
        error_kw={"elinewidth": 1, "capsize": 2, "ecolor": DARK},
    )
    seen: set[str] = set()
    for bar, (_, row) in zip(bars, rows.iterrows(), strict=True):
        if row["precision"] not in seen:
            seen.add(str(row["precision"]))
            bar.set_label(str(row["precision"]))
        speedup = f", {units.ratio(row['speedup'])}" if pd.notna(row["speedup"]) else ""
        axes.annotate(
            f"{units.seconds(row['latency'])}{speedup}",
            (1e3 * row["latency_high"], bar.get_y() + bar.get_height() / 2),
            (4, 0),
            textcoords="offset points",
            va="center",
            fontsize=7.5,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},  # lines of timm pass behind it
        )
    axes.set_yticks(places, [_name(row) for _, row in rows.iterrows()], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.38 * 1e3 * rows["latency_high"].max())  # room for the figures
    axes.grid(False, axis="y")
    axes.grid(True, axis="x")


def _name(row: pd.Series) -> str:
    as_is = ", as it comes" if row["state"] == "as-is" else ""
    return f"{row['mode']}{as_is}, {row['precision']}"


def with_every_label(panels: list[Axes]) -> Axes:
    """The first panel, given an empty series for each label that only other panels have."""
    first, known = panels[0], set(panels[0].get_legend_handles_labels()[1])
    for axes in panels[1:]:
        for handle, name in zip(*axes.get_legend_handles_labels(), strict=True):
            if name not in known:
                known.add(name)
                colour = handle.get_facecolor() if hasattr(handle, "get_facecolor") else GREY
                first.barh([], [], color=colour, label=name)
    return first
