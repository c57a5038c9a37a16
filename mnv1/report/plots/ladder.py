"""The ladder: every way to run a network, the fastest on top, the network and its twin side by side."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mnv1.ladder.rungs import BASELINE
from mnv1.report import units
from mnv1.report.plots.style import COLOURS, DARK, GREY, Rows, new_figure, whiskers, with_legend


def ladder_plot(rows: Rows) -> Figure:
    """A panel for each network with more than one rung; in each a bar for every way, its latency behind its whisker.

    The dashed line is timm's MobileNetV1 in eager fp32, where it was measured.
    """
    counts = rows["kind"].value_counts()
    kinds = [kind for kind in dict.fromkeys(rows["kind"]) if counts[kind] > 1 and kind != BASELINE] or [rows["kind"][0]]
    kinds.sort(key=lambda kind: -counts[kind])
    most = max(counts[kind] for kind in kinds)
    figure, panels = new_figure(len(kinds), 6.2 * len(kinds), 0.24 * most + 0.8, len(kinds))
    timm = rows[(rows["kind"] == BASELINE) & (rows["mode"] == "eager") & (rows["precision"] == "fp32")]
    seen: set[str] = set()
    for axes, kind in zip(panels, kinds, strict=True):
        _panel(axes, rows[rows["kind"] == kind].reset_index(drop=True), str(kind), seen)
        for state, style in (("controlled", "--"), ("as-is", ":")):
            for value in timm[timm["state"] == state]["latency"]:
                end = ", allocator as it comes" if state == "as-is" else ""
                axes.axvline(1e3 * value, color=GREY, linestyle=style, linewidth=1, label=f"timm, eager fp32{end}")
    return with_legend(figure, _with_every_label(panels), 4)


def _panel(axes: Axes, rows: Rows, kind: str, seen: set[str]) -> None:
    places = np.arange(len(rows))
    bars = axes.barh(
        places,
        1e3 * rows["latency"],
        0.72,
        color=[COLOURS[str(precision)] for precision in rows["precision"]],
        xerr=whiskers(rows, "latency", "latency_low", "latency_high", 1e3),
        error_kw={"elinewidth": 1, "capsize": 2, "ecolor": DARK},
    )
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
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5, "alpha": 0.8},
        )
    axes.set_yticks(places, [_name(row) for _, row in rows.iterrows()], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.38 * 1e3 * rows["latency_high"].max())
    axes.set_xlabel("latency (ms a call), and speedup over eager fp32")
    axes.set_title(kind, loc="left")
    axes.grid(False, axis="y")
    axes.grid(True, axis="x")


def _name(row: pd.Series) -> str:
    as_is = ", as it comes" if row["state"] == "as-is" else ""
    return f"{row['mode']}{as_is}, {row['precision']}"


def _with_every_label(panels: list[Axes]) -> Axes:
    """The first panel, given an empty series for each label that only other panels have."""
    first, known = panels[0], set(panels[0].get_legend_handles_labels()[1])
    for axes in panels[1:]:
        for handle, name in zip(*axes.get_legend_handles_labels(), strict=True):
            if name not in known:
                known.add(name)
                colour = handle.get_facecolor() if hasattr(handle, "get_facecolor") else GREY
                first.barh([], [], color=colour, label=name)
    return first
