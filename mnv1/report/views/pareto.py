"""Published accuracy against latency measured here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mnv1.net.published import accuracy
from mnv1.report import units
from mnv1.report.cells import Cell
from mnv1.report.plots.style import GREY, MARKERS, batch, new_figure, plain_log, whiskers, with_legend
from mnv1.report.rows import Rows, cases_of, ordered
from mnv1.report.sentences import rank_correlation, size_name
from mnv1.report.view import View
from mnv1.store.runs import Results

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def select(results: Results) -> Rows:
    """Separable networks by measured latency and published top-1, with their ranks by latency and by MACs.

    At the batch size and precision that have most of the 16 published variants; at least three of them.
    """
    rows = cases_of(results, "model", "latency")
    rows = rows[rows["kind"] == "separable"]
    published = accuracy()
    tensorflow, paper = (
        published[published["source"] == source].set_index(["alpha", "resolution"])["top1"].to_dict()
        for source in ("tensorflow", "paper")
    )
    sizes = [(float(alpha), int(pixels)) for alpha, pixels in zip(rows["alpha"], rows["resolution"], strict=True)]
    top1, at_paper = ([float(found.get(size, np.nan)) for size in sizes] for found in (tensorflow, paper))
    rows = rows.assign(top1=top1, paper=at_paper)
    rows = ordered(rows[rows["top1"].notna()])
    groups = [group for _, group in rows.groupby(["precision", "batch_size"], sort=False)]
    if not groups or max(map(len, groups)) < 3:
        return rows.iloc[:0]
    rows = max(groups, key=len).sort_values("latency_p50").reset_index(drop=True)
    return rows.assign(
        macs_rank=rows["macs"].rank(),
        latency_rank=rows["latency_p50"].rank(),
        on_front=rows["top1"] > rows["top1"].shift().cummax().fillna(0.0),
    )


def finding(rows: Rows) -> str:
    """How the order by latency differs from the order by MACs."""
    rho = rank_correlation(rows["macs"], rows["latency_p50"])
    first = rows.iloc[0]
    swapped = [
        (fast, slow)
        for place, (_, fast) in enumerate(rows.iterrows())
        for _, slow in rows.iloc[place + 1 :].iterrows()
        if fast["macs"] > slow["macs"] and fast["latency_high"] < slow["latency_low"]
    ]
    text = (
        f"Among {len(rows)} variants in {first['precision']} at batch {first['batch_size']:g}, Spearman's ρ between "
        f"MACs and measured latency is {rho:.3f}. "
    )
    if not swapped:
        return (
            text + "No variant is faster than one with fewer MACs beyond the intervals, so MACs rank them as time does."
        )
    fast, slow = max(swapped, key=lambda pair: pair[0]["macs"] / pair[1]["macs"])
    return (
        f"{text}In {len(swapped)} pair{'s' * (len(swapped) > 1)} the variant with more MACs is the faster one, beyond "
        f"the intervals; most of all, {size_name(fast)} with {units.macs(fast['macs'])} MACs is faster than "
        f"{size_name(slow)} with {units.macs(slow['macs'])}."
    )


def draw(rows: Rows) -> Figure:
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


VIEW = View(
    __name__,
    place=120,
    title="Published accuracy against latency measured here",
    reading=(
        "Each point is a published variant: its top-1 accuracy on ImageNet as TensorFlow published it with its "
        "checkpoints of 2018 (crosses: as the paper has it), against the latency measured here. The line is the front: "
        "it joins the variants for which no other is both faster and more accurate. This suite does not measure "
        "accuracy."
    ),
    needs="at least three published variants of the separable network",
    select=select,
    finding=finding,
    draw=draw,
    columns=(
        *("α", "px", "precision", "batch", "MACs", "latency", "top-1", "top-1, paper", "rank by MACs"),
        *("rank by latency", "on the front", "rounds", "stopped"),
    ),
    cells={
        "top-1": Cell(lambda row: f"{row['top1']:.1f} %", "top1"),
        "top-1, paper": Cell(
            lambda row: f"{row['paper']:.1f} %" if pd.notna(row["paper"]) else "", "paper", optional=True
        ),
        "rank by MACs": Cell(lambda row: f"{row['macs_rank']:g}", "macs_rank"),
        "rank by latency": Cell(lambda row: f"{row['latency_rank']:g}", "latency_rank"),
        "on the front": Cell(lambda row: "yes" if row["on_front"] else "", "on_front"),
    },
)
