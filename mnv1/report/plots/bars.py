"""Bars that several views draw: groups side by side, speedups, shares, memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from mnv1.report import units
from mnv1.report.known import colour
from mnv1.report.plots.style import (
    DARK,
    GREY,
    PART_COLOURS,
    batch,
    marks_of_disturbed,
    new_figure,
    panels_of,
    whiskers,
    with_legend,
)
from mnv1.report.rows import Rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.container import BarContainer
    from matplotlib.figure import Figure


def grouped_bars(
    axes: Axes,
    rows: Rows,
    place: str,
    series: str,
    value: str,
    interval: tuple[str, str] | None,
    scale: float = 1,
    slots: int = 0,
) -> None:
    """Bars side by side: one group for each value of `place`, one bar in it for each value of `series`.

    `slots` keeps room for at least so many groups, so that bars of panels above each other are equally wide.
    """
    places = list(rows[place].unique())
    names = list(rows[series].unique())
    width = 0.8 / len(names)
    middles = centres(rows, place, series)
    for name in names:
        bars = rows[rows[series] == name]
        axes.bar(
            middles[rows[series] == name],
            bars[value] * scale,
            width,
            # Memory does not depend on what else the machine does; times on a disturbed machine are marked.
            hatch=marks_of_disturbed(rows[rows[series] == name]) if interval else "",
            edgecolor="white",
            linewidth=0,
            yerr=whiskers(bars, value, *interval, scale) if interval else None,
            label=str(name),
            color=colour(name),
            error_kw={"elinewidth": 1, "capsize": 2, "ecolor": DARK},
        )
    axes.set_xticks(range(len(places)), [str(one) for one in places], fontsize=8)
    axes.set_xlim(-0.6, max(len(places), slots) - 0.4)


def centres(rows: Rows, place: str, series: str) -> np.ndarray[Any, Any]:
    """Where `grouped_bars` puts the bar of each row."""
    places, names = list(rows[place].unique()), list(rows[series].unique())
    width = 0.8 / len(names)
    return np.array(
        [
            places.index(one) + (names.index(name) - (len(names) - 1) / 2) * width
            for one, name in zip(rows[place], rows[series], strict=True)
        ]
    )


def lying_bars(axes: Axes, rows: Rows, names: Sequence[str], left: float = 0.0, label: str | None = None) -> None:
    """A lying bar for each row's speedup, from `left` on, with its interval; a line where nothing is gained."""
    places = np.arange(len(rows))
    error = whiskers(rows, "speedup", "speedup_low", "speedup_high")
    axes.barh(
        places,
        rows["speedup"] - left,
        0.6,
        left=left,
        xerr=error,
        color=colour("separable"),
        error_kw={"ecolor": DARK},
        label=label,
    )
    axes.set_yticks(places, names, fontsize=8)
    axes.invert_yaxis()
    axes.axvline(1, color=GREY, linewidth=1, linestyle=":")
    axes.grid(True, axis="x")


def speedup_bars(axes: Axes, rows: Rows, slots: int = 0) -> None:
    """Speedups by precision over `place`, with the ratio of operations as a mark above each group."""
    grouped_bars(axes, rows, "place", "precision", "speedup", ("speedup_low", "speedup_high"), slots=slots)
    theory = rows.drop_duplicates("place")
    axes.hlines(
        theory["macs_ratio"],
        np.arange(len(theory)) - 0.42,
        np.arange(len(theory)) + 0.42,
        color=DARK,
        linewidth=2,
        label="ratio of MACs",
    )
    axes.axhline(1, color=GREY, linewidth=1, linestyle=":")
    axes.set_ylim(0, max(rows["speedup_high"].max(), rows["macs_ratio"].max()) * 1.1)


def stacked(axes: Axes, rows: Rows, parts: Mapping[str, str], labels: list[str]) -> None:
    """Horizontal bars of shares in percent, the first row on top; what is negative goes to the left."""
    places = np.arange(len(rows))
    right, left = np.zeros(len(rows)), np.zeros(len(rows))
    for column, label in parts.items():
        values = rows[column].fillna(0.0).to_numpy(dtype=float) * 100
        start = np.where(values >= 0, right, left)
        name = column.split("_", 1)[1]
        axes.barh(
            places, values, 0.7, left=start, color=PART_COLOURS[name], label=label, edgecolor="white", linewidth=0.5
        )
        right, left = right + values.clip(0), left + values.clip(max=0)
    axes.set_yticks(places, labels, fontsize=8)
    axes.invert_yaxis()
    axes.grid(True, axis="x")
    axes.grid(False, axis="y")


def memory_bars(rows: Rows, mark: str, label: str) -> Figure:
    """Peak memory by batch size and kind, a panel for each precision; `mark` is a column of sizes to compare with."""
    panels = panels_of(rows, ["precision"])
    figure, all_axes = new_figure(len(panels), max(5, 4.2 * len(panels)), 3.2, columns=len(panels))
    for axes, ((name,), group) in zip(all_axes, panels, strict=True):
        group = group.assign(place=[batch(size) for size in group["batch_size"]])
        grouped_bars(axes, group, "place", "kind", "peak_memory", None, 1 / 2**20)
        for bars in axes.containers:
            axes.bar_label(cast("BarContainer", bars), fmt=units.significant, fontsize=7, padding=1)
        _marks(axes, group, mark, label)
        axes.set_title(str(name), loc="left")
        axes.set_ylabel("peak memory (MiB)")
        axes.set_ylim(0, rows["peak_memory"].max() / 2**20 * 1.1)
    return with_legend(figure, all_axes[0])


def _marks(axes: Axes, rows: Rows, column: str, label: str) -> None:
    """A line across each bar whose row has another size to compare with, in bytes."""
    known = rows[column].notna()
    if known.any():
        x, width = centres(rows, "place", "kind")[known], 0.8 / rows["kind"].nunique()
        sizes = rows.loc[known, column] / 2**20
        axes.hlines(sizes, x - width / 2, x + width / 2, color=DARK, linewidth=1.5, label=label)
