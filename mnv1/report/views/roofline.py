"""Roofline: every layer against this machine's ceilings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mnv1.net.architecture import network_layers
from mnv1.report import units, why
from mnv1.report.attribution import with_kernel_times
from mnv1.report.cells import Cell, where_known
from mnv1.report.known import colour
from mnv1.report.plots.style import DARK, GREY, MARKERS, batch, log_axes, new_figure, panels_of
from mnv1.report.rows import Rows, layers
from mnv1.report.sentences import several, timed
from mnv1.report.view import View
from mnv1.store.runs import Results

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def select(results: Results) -> Rows:
    """Layers against the ceilings: MACs a byte (`intensity`), the share of the roof that is reached, and of the time.

    `share`: of the time of all blocks of the network (alpha 1, 224 pixels) of the same kind; the halves of a separable
    block share one whole. The memory roof holds beyond the cache; a point `above` it has its data in the cache.
    """
    rows = why.with_ceilings(layers("latency")(results)).dropna(subset=["min_bytes"])
    if rows.empty:
        return rows
    rows = with_kernel_times(rows, results)
    rows = rows.assign(macs_per_second=rows["macs"] / rows["seconds"])
    repeats: dict[str, int] = {}
    for layer in network_layers("standard"):
        shape = f"{layer.in_channels}x{layer.out_channels}-s{layer.stride}-d{layer.side}"
        repeats[shape] = repeats.get(shape, 0) + 1
    intensity = rows["macs"] / rows["min_bytes"]
    memory_roof = intensity * rows["copy_rate"]
    spent = rows["latency_p50"] * rows["shape"].map(repeats)
    part = rows["kind"].replace({"depthwise": "halves", "pointwise": "halves"})
    whole = spent.groupby([part, rows["precision"], rows["batch_size"]]).transform("sum")
    return rows.assign(
        intensity=intensity,
        of_roof=rows["macs_per_second"] / memory_roof.clip(upper=rows["peak_rate"]),
        share=spent / whole,
        above=(rows["macs_per_second"] > memory_roof) & (memory_roof < rows["peak_rate"]),
    ).reset_index(drop=True)


def finding(rows: Rows) -> str:
    """How near the kinds come to the roof, and which points are above the memory roof and why."""
    near = [f"{kind} {units.percent(group['of_roof'].median())}" for kind, group in rows.groupby("kind", sort=False)]
    text = f"The median layer reaches this share of the roof beyond the cache: {several(near)}.{timed(rows)}"
    above = rows[rows["above"]]
    if above.empty:
        return text + " No point lies above the memory roof."
    largest = units.bytes_(above["min_bytes"].max())
    cache = rows["cache_size"].iloc[0]
    size = f" of {units.bytes_(cache)}" if pd.notna(cache) and cache > 0 else ""
    return (
        f"{text} {len(above)} of {len(rows)} points lie above the memory roof: a layer in a loop finds its data (at "
        f"most {largest} here) in the last-level cache{size}, whose own roof is drawn too."
    )


def draw(rows: Rows) -> Figure:
    """Rate against intensity, log-log, a panel for each precision, with the measured ceilings."""
    from matplotlib.lines import Line2D

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
                s=12 + 500 * (point["share"] if pd.notna(point["share"]) else 0),
                color=colour(point["kind"]),
                marker=MARKERS[sizes.index(point["batch_size"]) % len(MARKERS)],
                alpha=0.75,
                edgecolor="white",
                linewidth=0.6,
            )
        log_axes(axes, "MACs per byte of compulsory traffic", "rate (G MACs/s)")
        axes.set_title(f"{precision}, peak rate {first['peak_rate'] / 1e9:.0f} G MACs/s", loc="left")
        axes.legend(loc="lower right", fontsize=8)
    marks: list[Any] = [Line2D([], [], marker="o", linestyle="none", color=colour(kind), label=kind) for kind in kinds]
    marks += [
        Line2D([], [], marker=MARKERS[number % len(MARKERS)], linestyle="none", color=GREY, label=batch(size))
        for number, size in enumerate(sizes)
    ]
    figure.legend(handles=marks, loc="outside lower center", ncols=len(marks))
    return figure


VIEW = View(
    __name__,
    place=80,
    title="Roofline: every layer against this machine's ceilings",
    reading=(
        "A point is a layer: its MACs per byte of compulsory traffic (BatchNorm folded, ReLU fused) against the rate "
        "that it reaches. The larger the point, the larger the layer's share of the network's time. The lines are "
        "measured ceilings: the slanted ones memory beyond and within the last-level cache, the level one the peak "
        "rate. Where it was traced which kernels ran, the rate is that of the convolutions' kernels alone."
    ),
    needs="layers, and ceilings",
    select=select,
    finding=finding,
    draw=draw,
    columns=(
        *("block", "kind", "precision", "batch", "MACs/byte", "MAC/s", "share of its roof"),
        *("above the memory roof", "share of time", "time of", "rounds", "stopped"),
    ),
    cells={
        "MACs/byte": Cell(lambda row: units.significant(row["intensity"]), "intensity"),
        "share of its roof": Cell(lambda row: units.percent(row["of_roof"]), "of_roof"),
        "above the memory roof": Cell(lambda row: "yes" if row["above"] else "", "above", optional=True),
        "share of time": where_known("share", units.percent),
        "time of": Cell(lambda row: row["timed"], left=True),
    },
)
