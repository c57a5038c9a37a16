"""Side by side: MobileNetV1 and networks that might be used instead."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mnv1.report import units
from mnv1.report.cells import Cell, network_name
from mnv1.report.known import SIDE_BY_SIDE, colour, is_own, kind_ranks, precision_ranks
from mnv1.report.plots.curves import with_throughput_interval
from mnv1.report.plots.style import DARK, batch, marks_of_disturbed, new_figure, panels_of, whiskers, with_legend
from mnv1.report.rows import Rows, eager
from mnv1.report.view import View
from mnv1.store.runs import Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def select(results: Results) -> Rows:
    """Other networks, at the highest resolution that has any, with this suite's own beside them.

    Others are another package's or somebody's own, which may have no resolution. One row each for a precision and
    batch size in which there is another.
    """
    rows = eager(results.cases)
    rows = rows[(rows["subject"] == "model") & (rows["measures"] == "latency")]
    others = rows[~is_own(rows["kind"])]
    if others.empty:
        return others
    others = others[others["resolution"].isna() | (others["resolution"] == others["resolution"].max())]
    same = ["resolution", "precision", "batch_size"]
    rows = rows.merge(others[same].drop_duplicates(), on=same)
    keys = pd.DataFrame(
        {
            "precision": precision_ranks(rows["precision"]),
            "batch_size": rows["batch_size"],
            "kind": kind_ranks(rows["kind"], SIDE_BY_SIDE),
            "alpha": -rows["alpha"].astype(float),
        }
    )
    return rows.loc[keys.sort_values(keys.columns.tolist(), kind="stable").index].reset_index(drop=True)


def finding(rows: Rows) -> str:
    """The networks from the fastest on, and where fewer MACs take longer."""
    parts = []
    for (precision, size), group in rows.groupby(["precision", "batch_size"], sort=False):
        ranked = [row for _, row in group.sort_values("latency_p50").iterrows()]
        text = _with_time(ranked[0])
        for before, row in pairwise(ranked):
            sign = "≈" if row["latency_low"] <= before["latency_high"] else "<"
            text += f" {sign} {_with_time(row)}"
        swapped = [
            (fast, slow)
            for place, fast in enumerate(ranked)
            for slow in ranked[place + 1 :]
            if fast["macs"] > slow["macs"] and fast["latency_high"] < slow["latency_low"]
        ]
        if swapped:
            fast, slow = max(swapped, key=lambda pair: pair[0]["macs"] / pair[1]["macs"])
            text += (
                f"; {network_name(slow)} takes longer than {network_name(fast)}, although it has "
                f"{units.ratio(fast['macs'] / slow['macs'])} fewer MACs"
            )
        parts.append(f"{precision}, batch {size:g}: {text}")
    return f"Latency, the fastest first. {'. '.join(parts)}."


def _with_time(row: pd.Series) -> str:
    return f"{network_name(row)} ({units.seconds(row['latency_p50'])})"


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


def draw(rows: Rows) -> Figure:
    """A row of panels for each precision and batch size, a bar in each for every network."""
    groups = panels_of(with_throughput_interval(rows), ["precision", "batch_size"])
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
        color=[colour(kind) for kind in rows["kind"]],
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


VIEW = View(
    __name__,
    place=140,
    title="Side by side: MobileNetV1 and networks that might be used instead",
    reading=(
        "Whiskers are 95 % intervals. The networks were timed one after the other in one run, not "
        "alternating, so no ratio is given; ≈ stands between networks whose intervals overlap. All have random weights "
        "and 1000 classes. mobilenet_v2, resnet18 and vgg16 are torchvision's; timm is the MobileNetV1 of the package "
        "timm. Accuracy is not measured."
    ),
    needs="a network of another package (--kinds)",
    select=select,
    finding=finding,
    draw=draw,
    columns=(
        *("network", "precision", "batch", "parameters", "MACs", "latency", "images/s", "peak memory", "process"),
        *("rounds", "stopped", "note"),
    ),
    cells={"parameters": Cell(lambda row: units.count(row["params"]), "params")},
)
