"""Batch size: throughput and time per image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mnv1.report import units
from mnv1.report.plots.curves import curve_look, powers_of_two, with_throughput_interval
from mnv1.report.plots.style import new_figure, panels_of, whiskers, with_legend
from mnv1.report.rows import Rows, with_several
from mnv1.report.view import MODEL_COLUMNS, View

if TYPE_CHECKING:
    from matplotlib.figure import Figure


SATURATED = 0.9
"""From this share of the highest throughput on, a larger batch brings little."""


def finding(rows: Rows) -> str:
    """How much throughput a larger batch gives, and from which one on most of it is there."""
    parts = []
    for (kind, precision), curve in rows.groupby(["kind", "precision"], sort=False):
        curve = curve.sort_values("batch_size")
        best = curve.sort_values("throughput").iloc[-1]
        gain = units.ratio(best["throughput"] / curve.iloc[0]["throughput"])
        full = curve[curve["throughput"] >= SATURATED * best["throughput"]].iloc[0]
        early = (
            f" (nine tenths of it from batch {full['batch_size']:g} on)"
            if full["batch_size"] < best["batch_size"]
            else ""
        )
        parts.append(f"{kind} {precision} {gain} at batch {best['batch_size']:g}{early}")
    return f"Highest throughput, relative to the smallest batch: {'; '.join(parts)}."


def draw(rows: Rows) -> Figure:
    """Throughput and time an image against batch size."""
    figure, (throughput, per_image) = new_figure(2, 9, 3.4, columns=2)
    rows = with_throughput_interval(rows).assign(
        image_time=rows["latency_p50"] / rows["batch_size"],
        image_low=rows["latency_low"] / rows["batch_size"],
        image_high=rows["latency_high"] / rows["batch_size"],
    )
    for (kind, precision), curve in panels_of(rows, ["kind", "precision"]):
        curve = curve.sort_values("batch_size")
        look = curve_look(str(kind), str(precision))
        error = whiskers(curve, "throughput", "throughput_low", "throughput_high")
        throughput.errorbar(curve["batch_size"], curve["throughput"], yerr=error, **look)
        error = whiskers(curve, "image_time", "image_low", "image_high", 1e3)
        per_image.errorbar(curve["batch_size"], curve["image_time"] * 1e3, yerr=error, **look)
    for axes, label in ((throughput, "throughput (images/s)"), (per_image, "time per image (ms)")):
        powers_of_two(axes, rows["batch_size"], "batch size (images a call)")
        axes.set_ylim(0)
        axes.set_ylabel(label)
    return with_legend(figure, throughput)


VIEW = View(
    __name__,
    place=130,
    title="Batch size: throughput and time per image",
    reading=("A flat curve means that one image already keeps the machine busy; a rising one means that it does not."),
    needs="a network at two or more batch sizes",
    select=with_several("batch_size"),
    finding=finding,
    draw=draw,
    columns=MODEL_COLUMNS,
)
