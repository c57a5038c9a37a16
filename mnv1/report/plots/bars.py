"""Plots of bars: speedups, what they are made of, precision and memory."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, cast

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from mnv1.report import units
from mnv1.report.cells import EXCESS_OPERATORS, OPERATORS
from mnv1.report.plots.style import (
    BLOCK_AXIS,
    COLOURS,
    DARK,
    GREY,
    PART_COLOURS,
    Rows,
    batch,
    block_labels,
    marks_of_disturbed,
    network_labels,
    new_figure,
    panels_of,
    whiskers,
    with_legend,
)
from mnv1.report.why import CAUSES


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
            color=COLOURS[str(name)],
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


def verdict(rows: Rows) -> Figure:
    """Speedups of the largest network by batch size and precision, below the ratio of MACs."""
    figure, (axes,) = new_figure(1, 7, 3.2)
    speedup_bars(axes, rows.assign(place=[batch(size) for size in rows["batch_size"]]))
    for bar in (patch for patch in axes.patches if isinstance(patch, Rectangle)):
        # At the foot of each bar, where no whisker crosses it.
        box = {"facecolor": bar.get_facecolor(), "edgecolor": "none", "pad": 1.5}
        middle, text = bar.get_x() + bar.get_width() / 2, units.ratio(bar.get_height())
        axes.text(middle, 0.15, text, ha="center", va="bottom", color="white", weight="bold", bbox=box)
    axes.set_ylabel("speedup, standard / separable (×)")
    return with_legend(figure, axes)


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


def why(rows: Rows) -> Figure:
    """A waterfall for each precision and batch size, from what counting promises to what was measured."""
    columns = min(3, len(rows))
    figure, all_axes = new_figure(len(rows), 3.1 * columns + 0.3, 2.5, columns)
    top = max(rows["macs_ratio"].max(), rows["speedup_high"].max(), rows["ideal_eager"].max()) * 1.14
    for axes, (_, row) in zip(all_axes, rows.iterrows(), strict=True):
        levels = [row[name] for name in ("macs_ratio", "ideal_folded", "ideal_eager", "speedup")]
        axes.bar(0, levels[0], 0.7, color=GREY)
        axes.text(0, levels[0] + 0.1, units.ratio(levels[0]), ha="center", va="bottom", fontsize=8)
        for place, (before, after) in enumerate(pairwise(levels), start=1):
            better = after > before
            colour = "#009E73" if better else "#D55E00"
            axes.bar(place, abs(after - before), 0.7, bottom=min(before, after), color=colour)
            axes.plot([place - 1.35, place + 0.35], [before, before], color=DARK, linewidth=0.8)
            step = f"×{after / before:.2f}" if better else f"÷{before / after:.2f}"
            axes.text(place, max(before, after) + 0.1, step, ha="center", va="bottom", fontsize=8)
        error = whiskers(rows.loc[[row.name]], "speedup", "speedup_low", "speedup_high")
        axes.bar(4, levels[3], 0.7, color=COLOURS["separable"], yerr=error, error_kw={"capsize": 3, "ecolor": DARK})
        axes.plot([2.65, 4.35], [levels[3]] * 2, color=DARK, linewidth=0.8)
        axes.text(4, row["speedup_high"] + 0.1, units.ratio(levels[3]), ha="center", va="bottom", fontsize=8)
        labels = ["MAC\nratio", "memory", "BN, ReLU\npasses", "all\nelse", "meas-\nured"]
        axes.set_xticks(range(5), labels, fontsize=7.5)
        axes.set_title(f"{row['precision']}, {batch(row['batch_size'])}", loc="left")
        axes.set_ylim(0, top)
        axes.axhline(1, color=GREY, linewidth=1, linestyle=":")
        axes.set_ylabel("speedup (×)")
    handles = [Patch(facecolor=colour) for colour in (GREY, "#D55E00", "#009E73", COLOURS["separable"])]
    names = ["promised by counting", "lost in a step", "won in a step", "measured, 95 % interval"]
    figure.legend(handles, names, loc="outside lower center", ncols=4)
    return figure


def excess(rows: Rows) -> Figure:
    """Shares of the time beyond theory: by cause, and by operator."""
    figure, all_axes = new_figure(2, 10, 0.42 * len(rows) + 1.6, 2)
    labels = [f"{row.precision}, {batch(row.batch_size)}" for row in rows.itertuples()]
    names = (
        {f"cause_{name}": name for name in CAUSES},
        {f"operator_{name}": label for name, label in EXCESS_OPERATORS.items()},
    )
    for axes, parts, title, side in zip(all_axes, names, ("cause", "operator"), ("left", "right"), strict=True):
        shown = {column: label for column, label in parts.items() if column in rows and rows[column].notna().any()}
        stacked(axes, rows, shown, labels)
        axes.axvline(0, color=DARK, linewidth=1)
        axes.set_title(f"by {title}", loc="left")
        axes.set_xlabel("share of the time beyond theory (%)")
        handles: list[Any] = axes.get_legend_handles_labels()[0]
        figure.legend(handles=handles, loc=f"outside lower {side}", ncols=4, fontsize=8)  # type: ignore[call-overload]
    all_axes[0].set_ylabel("precision, batch size")
    all_axes[1].set_yticklabels([])
    return figure


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


def operators(rows: Rows) -> Figure:
    """For each kind of network the shares of its MACs, and below them the shares of its time."""
    panels = panels_of(rows.assign(order=rows["kind"] != "separable").sort_values("order", kind="stable"), ["kind"])
    bars = max(len(group) for _, group in panels) + 1
    figure, all_axes = new_figure(len(panels), 9, 0.32 * bars + 0.7)
    known = {name: label for name, label in OPERATORS.items() if f"time_{name}" in rows}
    for axes, ((kind,), group) in zip(all_axes, panels, strict=True):
        counted = group.iloc[[0]].rename(columns={f"macs_{name}": f"share_{name}" for name in known})
        timed = group.rename(columns={f"time_{name}": f"share_{name}" for name in known})
        shares = [f"share_{name}" for name in known]
        both = [one.reindex(columns=shares).astype(float) for one in (counted, timed)]
        table = pd.concat(both, ignore_index=True)
        labels = ["MACs", *(f"time, {row.precision} {batch(row.batch_size)}" for row in group.itertuples())]
        stacked(axes, table, {f"share_{name}": label for name, label in known.items()}, labels)
        axes.set_title(str(kind), loc="left")
        axes.set_xlim(0, 100)
        axes.set_ylabel("MACs and time")
    all_axes[-1].set_xlabel("share (%)")
    return with_legend(figure, all_axes[0], columns=5)


def layer_speedup(rows: Rows) -> Figure:
    """Speedups of blocks, a panel for each batch size."""
    panels = panels_of(rows.sort_values("batch_size", kind="stable"), ["batch_size"])
    figure, all_axes = new_figure(len(panels), 9, 2.6)
    for axes, ((size,), group) in zip(all_axes, panels, strict=True):
        speedup_bars(axes, group.assign(place=block_labels(group)))
        axes.set_title(batch(size), loc="left")
        axes.set_ylabel("speedup (×)")
    all_axes[-1].set_xlabel(BLOCK_AXIS)
    return with_legend(figure, all_axes[int(np.argmax([group["precision"].nunique() for _, group in panels]))])


def model_speedup(rows: Rows) -> Figure:
    """Speedups of networks, a panel for each batch size."""
    panels = panels_of(rows.sort_values("batch_size", kind="stable"), ["batch_size"])
    figure, all_axes = new_figure(len(panels), 9, 2.6)
    for axes, ((size,), group) in zip(all_axes, panels, strict=True):
        speedup_bars(axes, group.assign(place=network_labels(group)), slots=rows["shape"].nunique())
        axes.set_title(batch(size), loc="left")
        axes.set_ylabel("speedup (×)")
    return with_legend(figure, all_axes[0])


def precision(rows: Rows) -> Figure:
    """Latency of networks, precisions side by side."""
    panels = sorted(panels_of(rows, ["kind", "batch_size"]), key=lambda panel: (str(panel[0][0]), panel[0][1]))
    columns = max(1, max(sum(kind == one for (one, _), _ in panels) for (kind, _), _ in panels))
    figure, all_axes = new_figure(len(panels), 3.6 * columns, 2.6, columns=columns)
    for axes, ((kind, size), group) in zip(all_axes, panels, strict=True):
        labelled = group.assign(place=network_labels(group))
        grouped_bars(axes, labelled, "place", "precision", "latency_p50", ("latency_low", "latency_high"), 1e3)
        axes.set_title(f"{kind}, {batch(size)}", loc="left")
        axes.set_ylabel("latency (ms a call)")
        axes.tick_params(axis="x", labelsize=7)
    return with_legend(figure, all_axes[0])


def peak_memory(rows: Rows) -> Figure:
    """Peak memory of the largest network by batch size, with the floor as a mark."""
    return memory_bars(rows, "memory_floor", "floor")


def memory_bars(rows: Rows, mark: str, label: str) -> Figure:
    """Peak memory by batch size and kind, a panel for each precision; `mark` is a column of sizes to compare with."""
    panels = panels_of(rows, ["precision"])
    figure, all_axes = new_figure(len(panels), max(5, 4.2 * len(panels)), 3.2, columns=len(panels))
    for axes, ((name,), group) in zip(all_axes, panels, strict=True):
        group = group.assign(place=[batch(size) for size in group["batch_size"]])
        grouped_bars(axes, group, "place", "kind", "peak_memory", None, 1 / 2**20)
        for bars in axes.containers:
            axes.bar_label(cast(BarContainer, bars), fmt=units.significant, fontsize=7, padding=1)
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
