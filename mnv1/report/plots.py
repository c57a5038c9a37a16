"""One plot for each view: rows in SI units in, a matplotlib figure out. No torch, no clock, no files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from mnv1.report import units

Rows = pd.DataFrame

# Okabe and Ito's palette (2008), which stays distinct for the common kinds of colour blindness.
COLOURS = {
    "standard": "#D55E00",
    "separable": "#0072B2",
    "depthwise": "#56B4E9",
    "pointwise": "#009E73",
    "shallow": "#CC79A7",
    "fp32": "#0072B2",
    "tf32": "#009E73",
    "amp": "#E69F00",
}
MARKERS = ("o", "s", "^", "D", "v", "P")
BLOCK_AXIS = "block: input channels → output channels, stride, input side in pixels"
LINES = {"fp32": "-", "tf32": "-.", "amp": "--"}

STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.alpha": 0.3,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "svg.hashsalt": "mnv1",  # the same rows give the same file
    "svg.fonttype": "path",  # the same picture with whatever fonts the reader has
    "savefig.dpi": 150,
}


def plot(name: str, rows: Rows, title: str) -> Figure:
    """The plot of a view's rows. Raises `KeyError` for a view that has none."""
    with style():
        figure = PLOTS[name](rows)
        figure.suptitle(title, fontsize=11, fontweight="bold")
    return figure


@contextmanager
def style() -> Iterator[None]:
    """The look that all plots share."""
    with mpl.rc_context(STYLE):
        yield


def _figure(panels: int, width: float, height: float, columns: int = 1) -> tuple[Figure, list[Axes]]:
    rows = -(-panels // columns)
    figure = Figure(figsize=(width, height * rows + 0.8), layout="constrained")
    axes = [figure.add_subplot(rows, columns, number + 1) for number in range(panels)]
    return figure, axes


def _panels(rows: Rows, by: list[str]) -> list[tuple[tuple[object, ...], Rows]]:
    """Groups in the order of the rows."""
    return [(key if isinstance(key, tuple) else (key,), group) for key, group in rows.groupby(by, sort=False)]


def _error(rows: Rows, value: str, low: str, high: str, scale: float = 1) -> np.ndarray[Any, Any]:
    """Whiskers as matplotlib takes them: distances below and above, never negative."""
    below, above = rows[value] - rows[low], rows[high] - rows[value]
    return np.array([below, above], dtype=float).clip(0) * scale


def _batch(size: object) -> str:
    return f"batch {size:g}"


def _grouped_bars(
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
    for number, name in enumerate(names):
        bars = rows[rows[series] == name]
        x = np.array([places.index(one) for one in bars[place]]) + (number - (len(names) - 1) / 2) * width
        error = _error(bars, value, *interval, scale) if interval else None
        axes.bar(
            x,
            bars[value] * scale,
            width,
            # Memory does not depend on what else the machine does; times on a disturbed machine are marked.
            hatch=["///" if stopped == "disturbed" and interval else "" for stopped in bars["stopped"]],
            edgecolor="white",
            linewidth=0,
            yerr=error,
            label=str(name),
            color=COLOURS[str(name)],
            error_kw={"elinewidth": 1, "capsize": 2, "ecolor": "#333333"},
        )
    axes.set_xticks(range(len(places)), [str(one) for one in places], fontsize=8)
    axes.set_xlim(-0.6, max(len(places), slots) - 0.4)


def _verdict(rows: Rows) -> Figure:
    figure, (axes,) = _figure(1, 7, 3.2)
    rows = rows.assign(place=[_batch(size) for size in rows["batch_size"]])
    _speedup_bars(axes, rows)
    for bar in (
        patch for patch in axes.patches if isinstance(patch, Rectangle)
    ):  # at the foot of each bar, where no whisker crosses it
        box = {"facecolor": bar.get_facecolor(), "edgecolor": "none", "pad": 1.5}
        middle = bar.get_x() + bar.get_width() / 2
        axes.text(
            middle,
            0.15,
            units.ratio(bar.get_height()),
            ha="center",
            va="bottom",
            color="white",
            weight="bold",
            bbox=box,
        )
    axes.set_ylabel("speedup, standard / separable (×)")
    return _with_legend(figure, axes)


STAGES = {
    "ratio of MACs": ("macs_ratio", "#999999"),
    "ideal here, BN folded": ("ideal_folded", "#56B4E9"),
    "ideal here, eager": ("ideal_eager", "#009E73"),
    "measured": ("speedup", "#0072B2"),
}
"""Steps from theory to measurement: label, column and colour."""


def _why(rows: Rows) -> Figure:
    """A group of bars for each precision and batch size, from what counting promises to what was measured."""
    figure, (axes,) = _figure(1, max(6, 1.8 * len(rows)), 3.4)
    width = 0.8 / len(STAGES)
    for number, (label, (column, colour)) in enumerate(STAGES.items()):
        x = np.arange(len(rows)) + (number - (len(STAGES) - 1) / 2) * width
        measured = column == "speedup"
        error = _error(rows, "speedup", "speedup_low", "speedup_high") if measured else None
        bars = axes.bar(x, rows[column], width, color=colour, label=label, yerr=error, error_kw={"capsize": 2})
        # Above the whisker where there is one.
        axes.bar_label(bars, fmt=units.ratio, fontsize=7, padding=6 if measured else 1)
    labels = [f"{row.precision}\n{_batch(row.batch_size)}" for row in rows.itertuples()]
    axes.set_xticks(range(len(rows)), labels)
    axes.axhline(1, color="#999999", linewidth=1, linestyle=":")
    axes.set_ylim(0, max(rows["macs_ratio"].max(), rows["speedup_high"].max()) * 1.12)
    axes.set_ylabel("speedup, standard / separable (×)")
    return _with_legend(figure, axes)


def _speedup_bars(axes: Axes, rows: Rows, slots: int = 0) -> None:
    """Speedups by precision over `place`, with the ratio of operations as a mark above each group."""
    _grouped_bars(axes, rows, "place", "precision", "speedup", ("speedup_low", "speedup_high"), slots=slots)
    theory = rows.drop_duplicates("place")
    axes.hlines(
        theory["macs_ratio"],
        np.arange(len(theory)) - 0.42,
        np.arange(len(theory)) + 0.42,
        color="#333333",
        linewidth=2,
        label="ratio of MACs",
    )
    axes.axhline(1, color="#999999", linewidth=1, linestyle=":")
    axes.set_ylim(0, max(rows["speedup_high"].max(), rows["macs_ratio"].max()) * 1.1)


def _layer_speedup(rows: Rows) -> Figure:
    panels = _panels(rows, ["batch_size"])
    figure, all_axes = _figure(len(panels), 9, 2.6)
    for axes, ((size,), group) in zip(all_axes, panels, strict=True):
        _speedup_bars(axes, group.assign(place=_block_labels(group)))
        axes.set_title(_batch(size), loc="left")
        axes.set_ylabel("speedup (×)")
    all_axes[-1].set_xlabel(BLOCK_AXIS)
    return _with_legend(figure, all_axes[0])


def _block_labels(rows: Rows) -> list[str]:
    return [
        f"{row.in_channels:.0f}→{row.out_channels:.0f}\ns{row.stride:.0f}, {row.side:.0f} px"
        for row in rows[["in_channels", "out_channels", "stride", "side"]].itertuples()
    ]


def _model_speedup(rows: Rows) -> Figure:
    panels = _panels(rows, ["batch_size"])
    figure, all_axes = _figure(len(panels), 9, 2.6)
    for axes, ((size,), group) in zip(all_axes, panels, strict=True):
        labels = [f"α {row.alpha:g}\n{row.resolution:.0f} px" for row in group[["alpha", "resolution"]].itertuples()]
        _speedup_bars(axes, group.assign(place=labels), slots=rows["shape"].nunique())
        axes.set_title(_batch(size), loc="left")
        axes.set_ylabel("speedup (×)")
    return _with_legend(figure, all_axes[0])


def _with_legend(figure: Figure, axes: Axes) -> Figure:
    """The figure with one legend below all panels, from the labels of one of them."""
    handles, labels = axes.get_legend_handles_labels()
    # A series' first bar may be marked as disturbed; its legend is not.
    handles = [Patch(facecolor=h[0].get_facecolor()) if isinstance(h, BarContainer) else h for h in handles]
    hatched = [p for one in figure.axes for p in one.patches if p.get_hatch()]
    if hatched:
        handles.append(Patch(facecolor="#888888", edgecolor="white", hatch="///", linewidth=0))
        labels.append("on a disturbed machine")
    figure.legend(handles, labels, loc="outside lower center", ncols=4)
    return figure


def _sweep(axis: str, label: Callable[[float], str]) -> Callable[[Rows], Figure]:
    """Latency and throughput against MACs an image, log-log, one row of panels for each precision."""

    def draw(rows: Rows) -> Figure:
        panels = _panels(_with_throughput_interval(rows), ["precision"])
        figure, all_axes = _figure(2 * len(panels), 9, 3.2, columns=2)
        for number, ((precision,), group) in enumerate(panels):
            latency, throughput = all_axes[2 * number : 2 * number + 2]
            _curves(latency, group, "latency_p50", ("latency_low", "latency_high"), 1e3)
            _curves(throughput, group, "throughput", ("throughput_low", "throughput_high"))
            for axes, text in ((latency, "latency (ms a call)"), (throughput, "throughput (images/s)")):
                _log_axes(axes, "MACs an image (millions)", text)
                axes.set_title(f"{precision}", loc="left")
            _slope_guide(latency, group, 1e3, 1)
            _slope_guide(throughput, group, 1, -1)
            _name_points(latency, group, axis, label)
        return _with_legend(figure, all_axes[0])

    return draw


def _with_throughput_interval(rows: Rows) -> Rows:
    """The throughput's 95 % interval, from that of the latency."""
    return rows.assign(
        throughput_low=rows["batch_size"] / rows["latency_high"],
        throughput_high=rows["batch_size"] / rows["latency_low"],
    )


def _curves(axes: Axes, rows: Rows, value: str, interval: tuple[str, str], scale: float = 1) -> None:
    """A curve for each kind and batch size: colour is the kind, marker and line the batch size."""
    sizes = sorted(rows["batch_size"].unique())
    for (kind, size), curve in _panels(rows, ["kind", "batch_size"]):
        curve = curve.sort_values("macs")
        place = sizes.index(size)
        axes.errorbar(
            curve["macs"] / curve["batch_size"] / 1e6,
            curve[value] * scale,
            yerr=_error(curve, value, *interval, scale),
            label=f"{kind}, {_batch(size)}",
            color=COLOURS[str(kind)],
            marker=MARKERS[place % len(MARKERS)],
            linestyle=("-", "--", "-.", ":")[place % 4],
            markersize=5,
            linewidth=1.2,
            capsize=2,
        )


def _slope_guide(axes: Axes, rows: Rows, scale: float, slope: int) -> None:
    """A dashed line of time proportional to MACs, through the largest separable network of the smallest batch."""
    rows = rows[rows["kind"] == "separable"] if (rows["kind"] == "separable").any() else rows
    anchor = rows[rows["batch_size"] == rows["batch_size"].min()].sort_values("macs").iloc[-1]
    x = np.array([rows["macs"].div(rows["batch_size"]).min(), anchor["macs"] / anchor["batch_size"]])
    value = anchor["latency_p50"] if slope > 0 else anchor["throughput"]
    y = value * scale * (x / x[1]) ** slope
    axes.plot(x / 1e6, y, color="#999999", linestyle=(0, (2, 2)), linewidth=1.2, label="time ∝ MACs")


def _name_points(axes: Axes, rows: Rows, axis: str, label: Callable[[float], str]) -> None:
    """Names above the points of the highest separable curve: the largest batch, above which no other curve runs."""
    kind = "separable" if (rows["kind"] == "separable").any() else rows["kind"].iloc[0]
    curve = rows[(rows["kind"] == kind) & (rows["batch_size"] == rows["batch_size"].max())]
    for _, row in curve.iterrows():
        axes.annotate(
            label(row[axis]),
            (row["macs"] / row["batch_size"] / 1e6, row["latency_p50"] * 1e3),
            xytext=(0, 7),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=7.5,
            color="#444444",
        )


def _log_axes(axes: Axes, x: str, y: str) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(True, which="major", axis="both")
    axes.margins(x=0.08)
    _plain_log(axes.xaxis)
    _plain_log(axes.yaxis)


def _plain_log(axis: Axis) -> None:
    """Ticks of a logarithmic axis at 1, 2 and 5, as plain numbers."""
    axis.set_major_locator(LogLocator(base=10, subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


def _batch_scaling(rows: Rows) -> Figure:
    figure, (throughput, per_image) = _figure(2, 9, 3.4, columns=2)
    rows = _with_throughput_interval(rows).assign(
        image_time=rows["latency_p50"] / rows["batch_size"],
        image_low=rows["latency_low"] / rows["batch_size"],
        image_high=rows["latency_high"] / rows["batch_size"],
    )
    for (kind, precision), curve in _panels(rows, ["kind", "precision"]):
        curve = curve.sort_values("batch_size")
        look: dict[str, Any] = {
            "color": COLOURS[str(kind)],
            "linestyle": LINES[str(precision)],
            "marker": MARKERS[list(LINES).index(str(precision))],
            "markersize": 5,
            "linewidth": 1.2,
            "capsize": 2,
            "label": f"{kind}, {precision}",
        }
        error = _error(curve, "throughput", "throughput_low", "throughput_high")
        throughput.errorbar(curve["batch_size"], curve["throughput"], yerr=error, **look)
        error = _error(curve, "image_time", "image_low", "image_high", 1e3)
        per_image.errorbar(curve["batch_size"], curve["image_time"] * 1e3, yerr=error, **look)
    sizes = sorted(rows["batch_size"].unique())
    for axes, label in ((throughput, "throughput (images/s)"), (per_image, "time an image (ms)")):
        axes.set_xscale("log", base=2)
        axes.set_xticks(sizes, [f"{size:g}" for size in sizes])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_ylim(0)
        axes.set_xlabel("batch size (images a call)")
        axes.set_ylabel(label)
    return _with_legend(figure, throughput)


def _precision(rows: Rows) -> Figure:
    panels = sorted(_panels(rows, ["kind", "batch_size"]), key=lambda panel: str(panel[0][0]))
    columns = rows["batch_size"].nunique()
    figure, all_axes = _figure(len(panels), 4.2 * columns, 2.6, columns=columns)
    for axes, ((kind, size), group) in zip(all_axes, panels, strict=True):
        labels = [f"α {row.alpha:g}\n{row.resolution:.0f} px" for row in group[["alpha", "resolution"]].itertuples()]
        _grouped_bars(
            axes, group.assign(place=labels), "place", "precision", "latency_p50", ("latency_low", "latency_high"), 1e3
        )
        axes.set_title(f"{kind}, {_batch(size)}", loc="left")
        axes.set_ylabel("latency (ms a call)")
        axes.tick_params(axis="x", labelsize=7)
    return _with_legend(figure, all_axes[0])


def _peak_memory(rows: Rows) -> Figure:
    panels = _panels(rows, ["precision"])
    figure, all_axes = _figure(len(panels), 3.8 * len(panels), 3.2, columns=len(panels))
    for axes, ((precision,), group) in zip(all_axes, panels, strict=True):
        labels = [_batch(size) for size in group["batch_size"]]
        _grouped_bars(axes, group.assign(place=labels), "place", "kind", "peak_memory", None, 1 / 2**20)
        for bars in axes.containers:
            axes.bar_label(cast(BarContainer, bars), fmt=units.significant, fontsize=7, padding=1)
        axes.set_title(str(precision), loc="left")
        axes.set_ylabel("peak memory (MiB)")
        axes.set_ylim(0, rows["peak_memory"].max() / 2**20 * 1.1)
    return _with_legend(figure, all_axes[0])


def _layer_times(rows: Rows) -> Figure:
    panels = _panels(rows, ["precision", "batch_size"])
    figure, all_axes = _figure(len(panels), 9, 2.4)
    for axes, ((precision, size), group) in zip(all_axes, panels, strict=True):
        group = group.assign(place=_block_labels(group))
        places = list(group["place"].unique())
        for number, ((kind,), points) in enumerate(_panels(group, ["kind"])):
            axes.errorbar(
                [places.index(place) + (number - 1.5) * 0.12 for place in points["place"]],
                points["latency_p50"] * 1e3,
                yerr=_error(points, "latency_p50", "latency_low", "latency_high", 1e3),
                color=COLOURS[str(kind)],
                marker=MARKERS[number],
                linestyle="none",
                markersize=6,
                capsize=2,
                label=str(kind),
            )
        axes.set_xticks(range(len(places)), places, fontsize=8)
        axes.set_title(f"{precision}, {_batch(size)}", loc="left")
        axes.set_ylabel("latency (ms a call)")
        axes.set_yscale("log")
        _plain_log(axes.yaxis)
    all_axes[-1].set_xlabel(BLOCK_AXIS)
    return _with_legend(figure, all_axes[0])


PLOTS: dict[str, Callable[[Rows], Figure]] = {
    "verdict": _verdict,
    "why": _why,
    "layer_speedup": _layer_speedup,
    "model_speedup": _model_speedup,
    "alpha_sweep": _sweep("alpha", lambda value: f"α {value:g}"),
    "resolution_sweep": _sweep("resolution", lambda value: f"{value:g} px"),
    "batch_scaling": _batch_scaling,
    "precision": _precision,
    "peak_memory": _peak_memory,
    "layer_times": _layer_times,
}
