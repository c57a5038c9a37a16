"""Plots of two quantities against each other: heat map, roofline, accuracy, predictions."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mnv1.report import units
from mnv1.report.plots.style import (
    COLOURS,
    DARK,
    GREY,
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


def heat_map(rows: Rows) -> Figure:
    """Speedup by block and batch size, a panel for each precision, with theory as the last column."""
    panels = panels_of(rows, ["precision"])
    shapes = list(dict.fromkeys(rows["shape"]))
    widths = [group["batch_size"].nunique() + 1 for _, group in panels]
    figure = Figure(figsize=(1.1 * sum(widths) + 2.6, 0.42 * len(shapes) + 1.6), layout="constrained")
    all_axes = figure.subplots(1, len(panels), width_ratios=widths, squeeze=False)[0]
    reach = max(rows["macs_ratio"].max(), rows["speedup"].max(), 1 / rows["speedup"].min())
    norm, colours = LogNorm(1 / reach, reach), colormaps["RdBu"]
    labels = dict(zip(rows["shape"], block_labels(rows), strict=True))
    for axes, ((precision,), group) in zip(all_axes, panels, strict=True):
        sizes = sorted(group["batch_size"].unique())
        values = group.pivot(index="shape", columns="batch_size", values="speedup").reindex(index=shapes, columns=sizes)
        theory = group.drop_duplicates("shape").set_index("shape")["macs_ratio"].reindex(shapes)
        table = np.column_stack([values.to_numpy(dtype=float), theory.to_numpy(dtype=float)])
        image = axes.imshow(table, cmap=colours, norm=norm, aspect="auto")
        for (row, column), value in np.ndenumerate(table):
            if np.isfinite(value):
                dark = max(value, 1 / value) > reach**0.6
                axes.text(
                    column,
                    row,
                    units.ratio(value),
                    ha="center",
                    va="center",
                    fontsize=8,
                    color="white" if dark else "black",
                    style="italic" if column == len(sizes) else "normal",
                )
        _contour(axes, table[:, :-1] < 1)
        axes.axvline(len(sizes) - 0.5, color="white", linewidth=3)
        axes.set_xticks(range(len(sizes) + 1), [*(batch(size) for size in sizes), "MAC ratio"], fontsize=8)
        axes.set_yticks(range(len(shapes)), [labels[shape].replace("\n", ", ") for shape in shapes], fontsize=8)
        axes.set_title(str(precision), loc="left")
        axes.grid(False)
        axes.set_ylabel("block")
    bar = figure.colorbar(image, ax=list(all_axes), shrink=0.8)
    bar.set_label("speedup, standard / separable (×)")
    plain_log(bar.ax.yaxis)
    return figure


def _contour(axes: Axes, slower: np.ndarray[Any, Any]) -> None:
    """A line between cells in which the separable block is slower and those in which it is not."""
    look: dict[str, Any] = {"color": "black", "linewidth": 2.5}
    for (row, column), here in np.ndenumerate(slower):
        if column + 1 < slower.shape[1] and here != slower[row, column + 1]:
            axes.plot([column + 0.5] * 2, [row - 0.5, row + 0.5], **look)
        if row + 1 < slower.shape[0] and here != slower[row + 1, column]:
            axes.plot([column - 0.5, column + 0.5], [row + 0.5] * 2, **look)


def roofline(rows: Rows) -> Figure:
    """Rate against intensity, log-log, a panel for each precision, with the measured ceilings."""
    panels = panels_of(rows, ["precision"])
    figure, all_axes = new_figure(len(panels), 9, 4.0)
    kinds, sizes = list(dict.fromkeys(rows["kind"])), sorted(rows["batch_size"].unique())
    for axes, ((precision,), group) in zip(all_axes, panels, strict=True):
        first = group.iloc[0]
        x = np.geomspace(group["intensity"].min() / 2, group["intensity"].max() * 2, 200)
        roofs = [("memory beyond the cache", first["copy_rate"], "-")]
        if first["cache_rate"] > 0:
            roofs.append(("memory within the cache", first["cache_rate"], "--"))
        for label, rate, line in roofs:
            roof = np.minimum(x * rate, first["peak_rate"]) / 1e9
            axes.plot(x, roof, color=DARK, linestyle=line, linewidth=1.4, label=f"{label}: {rate / 1e9:.0f} GB/s")
        for _, point in group.iterrows():
            axes.scatter(
                point["intensity"],
                point["macs_per_second"] / 1e9,
                s=12 + 500 * point["share"],
                color=COLOURS[point["kind"]],
                marker=MARKERS[sizes.index(point["batch_size"]) % len(MARKERS)],
                alpha=0.75,
                edgecolor="white",
                linewidth=0.6,
            )
        log_axes(axes, "MACs per byte of compulsory traffic", "rate (G MACs/s)")
        axes.set_title(f"{precision}, peak rate {first['peak_rate'] / 1e9:.0f} G MACs/s", loc="left")
        axes.legend(loc="lower right", fontsize=8)
    marks: list[Any] = [Line2D([], [], marker="o", linestyle="none", color=COLOURS[kind], label=kind) for kind in kinds]
    marks += [
        Line2D([], [], marker=MARKERS[number % len(MARKERS)], linestyle="none", color=GREY, label=batch(size))
        for number, size in enumerate(sizes)
    ]
    figure.legend(handles=marks, loc="outside lower center", ncols=len(marks))
    return figure


def pareto(rows: Rows) -> Figure:
    """Published top-1 against measured latency, and the front."""
    figure, (axes,) = new_figure(1, 8, 4.2)
    alphas = sorted(rows["alpha"].unique(), reverse=True)
    palette = ("#0072B2", "#009E73", "#E69F00", "#D55E00", "#CC79A7", "#56B4E9")
    front = rows[rows["on_front"]].sort_values("latency_p50")
    axes.plot(front["latency_p50"] * 1e3, front["top1"], color=GREY, linewidth=1.2, zorder=1, label="front")
    for number, alpha in enumerate(alphas):
        points = rows[rows["alpha"] == alpha]
        axes.errorbar(
            points["latency_p50"] * 1e3,
            points["top1"],
            xerr=whiskers(points, "latency_p50", "latency_low", "latency_high", 1e3),
            color=palette[number % len(palette)],
            marker=MARKERS[number % len(MARKERS)],
            linestyle="none",
            markersize=6,
            capsize=2,
            label=f"α {alpha:g}, TensorFlow's",
        )
        for _, row in points.iterrows():
            best = row["top1"] == rows["top1"].max()  # the next best is often right below it
            axes.annotate(
                f"{row['resolution']:g}",
                (row["latency_p50"] * 1e3, row["top1"]),
                xytext=(3, 3 if best else -3),
                textcoords="offset points",
                ha="left",
                va="bottom" if best else "top",
                fontsize=7,
                color="#444444",
            )
    paper = rows[rows["paper"].notna()]
    if len(paper):
        axes.plot(paper["latency_p50"] * 1e3, paper["paper"], "x", color="black", markersize=5, label="the paper's")
    axes.set_xscale("log")
    plain_log(axes.xaxis, (1, 1.5, 2, 3, 5, 7))
    axes.margins(x=0.08, y=0.08)
    first = rows.iloc[0]
    axes.set_xlabel(f"latency (ms a call, {first['precision']}, {batch(first['batch_size'])}); numbers are pixels")
    axes.set_ylabel("published top-1 (%)")
    axes.grid(True, axis="both")
    return with_legend(figure, axes)


def predictors(rows: Rows) -> Figure:
    """Measured time against each predictor, log-log, a row of panels for each precision."""
    panels = panels_of(rows, ["precision", "predictor"])
    columns = rows["predictor"].nunique()
    figure, all_axes = new_figure(len(panels), 2.9 * columns, 2.7, columns)
    ends = [
        rows[["predicted", "latency_p50"]].min().min() * 0.7e3,
        rows[["predicted", "latency_p50"]].max().max() * 1.4e3,
    ]
    for number, (axes, ((precision, predictor), group)) in enumerate(zip(all_axes, panels, strict=True)):
        for (kind,), points in panels_of(group, ["kind"]):
            axes.scatter(
                points["predicted"] * 1e3,
                points["latency_p50"] * 1e3,
                s=16,
                color=COLOURS[str(kind)],
                label=str(kind),
                alpha=0.8,
                linewidth=0,
            )
        axes.plot(ends, ends, color=DARK, linewidth=1, label="right")
        log_axes(axes, "predicted (ms)", "measured (ms)")
        for one in (axes.xaxis, axes.yaxis):
            plain_log(one, (1,))
        axes.set_xlim(*ends)
        axes.set_ylim(*ends)
        axes.set_title(f"{precision}: {predictor}", loc="left", fontsize=9)
        if number % columns:
            axes.set_ylabel("")
    return with_legend(figure, all_axes[0], columns=5)
