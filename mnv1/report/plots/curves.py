"""Curves that several views draw, along one axis: MACs, batch size, threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from mnv1.net.published import speed
from mnv1.report.known import colour, line, marker
from mnv1.report.plots.style import GREY, MARKERS, batch, log_axes, new_figure, panels_of, whiskers, with_legend
from mnv1.report.rows import Rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw_sweep(axis: str, label: Callable[[float], str]) -> Callable[[Rows], Figure]:
    """Latency and throughput against MACs an image, log-log, one row of panels for each precision."""

    def draw(rows: Rows) -> Figure:
        panels = panels_of(with_throughput_interval(rows), ["precision"])
        figure, all_axes = new_figure(2 * len(panels), 9, 3.2, columns=2)
        for number, ((precision,), group) in enumerate(panels):
            latency, throughput = all_axes[2 * number : 2 * number + 2]
            _curves(latency, group, "latency_p50", ("latency_low", "latency_high"), 1e3)
            _curves(throughput, group, "throughput", ("throughput_low", "throughput_high"))
            for axes, text in ((latency, "latency (ms a call)"), (throughput, "throughput (images/s)")):
                log_axes(axes, "MACs an image (millions)", text)
                axes.set_title(f"{precision}", loc="left")
            _slope_guide(latency, group, 1e3, 1)
            _slope_guide(throughput, group, 1, -1)
            if axis == "alpha":
                _published_speeds(latency, group)
                _published_speeds(throughput, group)
            _name_points(latency, group, axis, label)
        return with_legend(figure, all_axes[0])

    return draw


def with_throughput_interval(rows: Rows) -> Rows:
    """The throughput's 95 % interval, from that of the latency."""
    return rows.assign(
        throughput_low=rows["batch_size"] / rows["latency_high"],
        throughput_high=rows["batch_size"] / rows["latency_low"],
    )


def _curves(axes: Axes, rows: Rows, value: str, interval: tuple[str, str], scale: float = 1) -> None:
    """A curve for each kind and batch size: colour is the kind, marker and line the batch size."""
    sizes = sorted(rows["batch_size"].unique())
    for (kind, size), curve in panels_of(rows, ["kind", "batch_size"]):
        curve = curve.sort_values("macs")
        place = sizes.index(size)
        axes.errorbar(
            curve["macs"] / curve["batch_size"] / 1e6,
            curve[value] * scale,
            yerr=whiskers(curve, value, *interval, scale),
            label=f"{kind}, {batch(size)}",
            color=colour(kind),
            marker=MARKERS[place % len(MARKERS)],
            linestyle=("-", "--", "-.", ":")[place % 4],
            markersize=5,
            linewidth=1.2,
            capsize=2,
        )
        on_device = curve["device_busy"].astype(float)
        if on_device.notna().any():
            axes.plot(
                curve["macs"] / curve["batch_size"] / 1e6,
                on_device * scale if value == "latency_p50" else curve["batch_size"] / on_device,
                color=colour(kind),
                linestyle=(0, (1, 1)),
                linewidth=1.0,
                label=f"{kind}, {batch(size)}, kernels alone",
            )


def _anchor(rows: Rows) -> Any:
    """The largest separable network of the smallest batch: where guides meet the curves."""
    rows = rows[rows["kind"] == "separable"] if (rows["kind"] == "separable").any() else rows
    return rows[rows["batch_size"] == rows["batch_size"].min()].sort_values("macs").iloc[-1]


def _slope_guide(axes: Axes, rows: Rows, scale: float, slope: int) -> None:
    """A dotted line of time proportional to MACs, through the anchor."""
    anchor = _anchor(rows)
    same = rows[rows["kind"] == anchor["kind"]]
    x = np.array([same["macs"].div(same["batch_size"]).min(), anchor["macs"] / anchor["batch_size"]])
    value = anchor["latency_p50"] if slope > 0 else anchor["throughput"]
    y = value * scale * (x / x[1]) ** slope
    axes.plot(x / 1e6, y, color=GREY, linestyle=(0, (1, 1.5)), linewidth=1.4, label="time ∝ MACs")


def _published_speeds(axes: Axes, rows: Rows) -> None:
    """What ShuffleNetV2's authors published, scaled to meet the anchor at alpha 1."""
    anchor = _anchor(rows)
    at_224 = rows[(rows["kind"] == "separable") & (rows["resolution"] == 224)]
    macs = (
        at_224.assign(image=at_224["macs"] / at_224["batch_size"]).drop_duplicates("alpha").set_index("alpha")["image"]
    )
    is_latency = "latency" in axes.get_ylabel()
    for number, (device, points) in enumerate(speed().groupby("device", sort=False)):
        points = points[points["alpha"].isin(macs.index)].sort_values("alpha")
        if len(points) < 2 or points["alpha"].iloc[-1] != anchor["alpha"]:
            continue
        relative = points["value"] / points["value"].iloc[-1]
        value = anchor["latency_p50"] * 1e3 / relative if is_latency else anchor["throughput"] * relative
        axes.plot(
            points["alpha"].map(macs) / 1e6,
            value,
            color="#666666" if number else "#AAAAAA",
            linestyle=(0, (5, 2)),
            linewidth=1.1,
            marker="x",
            markersize=4,
            label=f"{device}, published, scaled",
        )


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


def curve_look(kind: str, precision: str) -> dict[str, Any]:
    """Colour is the kind, line and marker the precision."""
    return {
        "color": colour(kind),
        "linestyle": line(precision),
        "marker": marker(precision),
        "markersize": 5,
        "linewidth": 1.2,
        "capsize": 2,
        "label": f"{kind}, {precision}",
    }


def powers_of_two(axes: Axes, values: Any, label: str) -> None:
    """An axis with a tick at each of the values, a logarithmic one."""
    from matplotlib.ticker import NullLocator

    sizes = sorted(values.unique())
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, [f"{size:g}" for size in sizes])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel(label)
