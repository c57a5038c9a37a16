"""Plots of curves and points along one axis: MACs, batch size, threads, time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from mnv1.net.published import speed
from mnv1.report.plots.style import (
    BLOCK_AXIS,
    COLOURS,
    DARK,
    GREY,
    LINES,
    MARKERS,
    Rows,
    batch,
    block_labels,
    log_axes,
    new_figure,
    panels_of,
    plain_log,
    whiskers,
    with_legend,
)


def sweep(axis: str, label: Callable[[float], str]) -> Callable[[Rows], Figure]:
    """Latency and throughput against MACs an image, log-log, one row of panels for each precision."""

    def draw(rows: Rows) -> Figure:
        panels = panels_of(_with_throughput_interval(rows), ["precision"])
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


def _with_throughput_interval(rows: Rows) -> Rows:
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
            color=COLOURS[str(kind)],
            marker=MARKERS[place % len(MARKERS)],
            linestyle=("-", "--", "-.", ":")[place % 4],
            markersize=5,
            linewidth=1.2,
            capsize=2,
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


def batch_scaling(rows: Rows) -> Figure:
    """Throughput and time an image against batch size."""
    figure, (throughput, per_image) = new_figure(2, 9, 3.4, columns=2)
    rows = _with_throughput_interval(rows).assign(
        image_time=rows["latency_p50"] / rows["batch_size"],
        image_low=rows["latency_low"] / rows["batch_size"],
        image_high=rows["latency_high"] / rows["batch_size"],
    )
    for (kind, precision), curve in panels_of(rows, ["kind", "precision"]):
        curve = curve.sort_values("batch_size")
        look = _look(str(kind), str(precision))
        error = whiskers(curve, "throughput", "throughput_low", "throughput_high")
        throughput.errorbar(curve["batch_size"], curve["throughput"], yerr=error, **look)
        error = whiskers(curve, "image_time", "image_low", "image_high", 1e3)
        per_image.errorbar(curve["batch_size"], curve["image_time"] * 1e3, yerr=error, **look)
    for axes, label in ((throughput, "throughput (images/s)"), (per_image, "time per image (ms)")):
        _powers_of_two(axes, rows["batch_size"], "batch size (images a call)")
        axes.set_ylim(0)
        axes.set_ylabel(label)
    return with_legend(figure, throughput)


def _look(kind: str, precision: str) -> dict[str, Any]:
    """Colour is the kind, line and marker the precision."""
    return {
        "color": COLOURS[kind],
        "linestyle": LINES[precision],
        "marker": MARKERS[list(LINES).index(precision)],
        "markersize": 5,
        "linewidth": 1.2,
        "capsize": 2,
        "label": f"{kind}, {precision}",
    }


def _powers_of_two(axes: Axes, values: Any, label: str) -> None:
    sizes = sorted(values.unique())
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, [f"{size:g}" for size in sizes])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel(label)


def thread_scaling(rows: Rows) -> Figure:
    """Throughput by number of threads, a panel for each precision and batch size."""
    rows = rows.assign(order=rows["precision"].map(list(LINES).index))
    panels = panels_of(rows.sort_values(["order", "batch_size"], kind="stable"), ["precision", "batch_size"])
    columns = min(3, rows["batch_size"].nunique())
    figure, all_axes = new_figure(len(panels), max(5, 3.2 * columns), 2.8, columns)
    for axes, ((precision, size), group) in zip(all_axes, panels, strict=True):
        for (kind,), curve in panels_of(_with_throughput_interval(group), ["kind"]):
            curve = curve.sort_values("threads")
            error = whiskers(curve, "throughput", "throughput_low", "throughput_high")
            look = _look(str(kind), str(precision)) | {"label": str(kind)}
            axes.errorbar(curve["threads"], curve["throughput"], yerr=error, **look)
            ideal = curve["throughput"].iloc[0] / curve["threads"].iloc[0] * curve["threads"]
            label = "as many times as threads" if kind == panels[0][1]["kind"].iloc[0] else None
            axes.plot(curve["threads"], ideal, color=GREY, linestyle=(0, (1, 1.5)), linewidth=1.2, label=label)
        _powers_of_two(axes, group["threads"], "threads")
        axes.set_title(f"{precision}, {batch(size)}", loc="left")
        axes.set_ylabel("throughput (images/s)")
        axes.set_ylim(0)
    return with_legend(figure, all_axes[0])


def history(rows: Rows) -> Figure:
    """Speedups of runs over time, a panel for each precision."""
    panels = panels_of(rows, ["precision"])
    figure, all_axes = new_figure(len(panels), 8, 2.8)
    for axes, ((precision,), group) in zip(all_axes, panels, strict=True):
        sizes = sorted(group["batch_size"].unique())
        for number, size in enumerate(sizes):
            curve = group[group["batch_size"] == size].sort_values("time")
            axes.errorbar(
                curve["time"].dt.tz_localize(None).to_numpy(),
                curve["speedup"],
                yerr=whiskers(curve, "speedup", "speedup_low", "speedup_high"),
                label=batch(size),
                color=("#0072B2", "#D55E00", "#009E73", "#CC79A7")[number % 4],
                marker=MARKERS[number % len(MARKERS)],
                markersize=5,
                linewidth=1.2,
                capsize=3,
            )
        # Three ticks or more: from four on, no interval suits some spans, such as four hours.
        locator = AutoDateLocator(minticks=3, maxticks=7)  # type: ignore[no-untyped-call]
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
        axes.set_title(str(precision), loc="left")
        axes.set_ylabel("speedup (×)")
        axes.set_ylim(0)
    all_axes[-1].set_xlabel("when the run was stored (UTC)")
    return with_legend(figure, all_axes[0])


def distribution(rows: Rows) -> Figure:
    """The 90th and 99th percentile as multiples of the median, a panel for each precision."""
    panels = panels_of(rows, ["precision"])
    longest = max(len(group) for _, group in panels)
    figure, all_axes = new_figure(len(panels), 5.2 * len(panels), 0.19 * longest + 1.0, columns=len(panels))
    for axes, ((precision,), group) in zip(all_axes, panels, strict=True):
        places = np.arange(len(group))
        p90, p99 = (group[f"latency_{name}"] / group["latency_p50"] for name in ("p90", "p99"))
        axes.hlines(places, 1, p90, color=GREY, linewidth=1)
        axes.plot(p90, places, "o", color="#0072B2", markersize=4, label="90th percentile")
        known = (group["rounds"] >= 100).to_numpy()
        if known.any():
            axes.hlines(places[known], p90[known], p99[known], color=GREY, linewidth=1)
            axes.plot(p99[known], places[known], "D", color="#D55E00", markersize=4, label="99th percentile")
        labels = [
            f"{row.kind}, α {row.alpha:g}, {row.resolution:g} px, {batch(row.batch_size)}" for row in group.itertuples()
        ]
        axes.set_yticks(places, labels, fontsize=6.5)
        axes.invert_yaxis()
        axes.grid(True, axis="x")
        axes.axvline(1, color=DARK, linewidth=1)
        axes.set_xlabel("latency / median (×)")
        axes.set_title(str(precision), loc="left")
    all_axes[0].set_ylabel("network, batch size")
    most = int(np.argmax([(group["rounds"] >= 100).any() for _, group in panels]))
    return with_legend(figure, all_axes[most])


def layer_times(rows: Rows) -> Figure:
    """Latency of every block and of its parts, a panel for each precision and batch size."""
    panels = panels_of(rows, ["precision", "batch_size"])
    figure, all_axes = new_figure(len(panels), 9, 2.4)
    kinds = list(dict.fromkeys(rows["kind"]))
    for axes, ((precision, size), group) in zip(all_axes, panels, strict=True):
        group = group.assign(place=block_labels(group))
        places = list(group["place"].unique())
        for (kind,), points in panels_of(group, ["kind"]):
            number = kinds.index(str(kind))
            axes.errorbar(
                [places.index(place) + (number - 1.5) * 0.12 for place in points["place"]],
                points["latency_p50"] * 1e3,
                yerr=whiskers(points, "latency_p50", "latency_low", "latency_high", 1e3),
                color=COLOURS[str(kind)],
                marker=MARKERS[number],
                linestyle="none",
                markersize=6,
                capsize=2,
                label=str(kind),
            )
        axes.set_xticks(range(len(places)), places, fontsize=8)
        axes.set_title(f"{precision}, {batch(size)}", loc="left")
        axes.set_ylabel("latency (ms a call)")
        axes.set_yscale("log")
        plain_log(axes.yaxis)
    all_axes[-1].set_xlabel(BLOCK_AXIS)
    return with_legend(figure, all_axes[0])
