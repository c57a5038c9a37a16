"""How much faster is a training step?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from mnv1.report import units
from mnv1.report.cells import Cell
from mnv1.report.plots.bars import centres, speedup_bars
from mnv1.report.plots.style import DARK, batch, network_labels, new_figure, panels_of, whiskers, with_legend
from mnv1.report.rows import Rows, beside_inference, cases_of, ordered
from mnv1.report.sentences import faster_or_slower
from mnv1.report.view import SAMPLING, View
from mnv1.store.columns import TRAINING_SPEEDUP
from mnv1.store.runs import Results

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def select(results: Results) -> Rows:
    """Speedups of training steps; `inference_*`: the speedup of a forward pass alone, where it was measured as well."""
    columns = ("speedup", "speedup_low", "speedup_high")
    return beside_inference(
        ordered(cases_of(results, "model", TRAINING_SPEEDUP)), cases_of(results, "model", "speedup"), columns
    )


def finding(rows: Rows) -> str:
    """The largest network's speedups, each beside the speedup of a forward pass alone."""
    largest = rows[rows["shape"] == rows["shape"].iloc[0]]
    first = largest.iloc[0]
    parts = []
    for precision, group in largest.groupby("precision", sort=False):
        part = f"In {precision} it is {faster_or_slower(group)}"
        known = group[group["inference_speedup"].notna()]
        if not known.empty:
            names = {f"speedup{end}": f"inference_speedup{end}" for end in ("", "_low", "_high")}
            part += (
                f" (a forward pass alone: {faster_or_slower(known.assign(**{n: known[o] for n, o in names.items()}))})"
            )
        parts.append(f"{part}.")
    return (
        f"A training step of MobileNetV1 (α {first['alpha']:g}, {first['resolution']:g} px) needs "
        f"{units.ratio(first['macs_ratio'])} fewer multiply-accumulates than a step of its standard-convolution twin. "
        f"{' '.join(parts)}"
    )


def draw(rows: Rows) -> Figure:
    """Speedups of training steps, a panel for each batch size, with the speedups of a forward pass as diamonds."""
    panels = panels_of(rows.sort_values("batch_size", kind="stable"), ["batch_size"])
    figure, all_axes = new_figure(len(panels), 8, 2.6)
    marked = 0
    for number, (axes, ((size,), group)) in enumerate(zip(all_axes, panels, strict=True)):
        group = group.assign(place=network_labels(group))
        speedup_bars(axes, group, slots=rows["shape"].nunique())
        known = group["inference_speedup"].notna()
        if known.any():
            marked = number
            inference = group[known]
            axes.errorbar(
                centres(group, "place", "precision")[known],
                inference["inference_speedup"],
                yerr=whiskers(inference, "inference_speedup", "inference_speedup_low", "inference_speedup_high"),
                fmt="D",
                color=DARK,
                markerfacecolor="white",
                markersize=5,
                capsize=2,
                elinewidth=1,
                label="a forward pass alone",
            )
            axes.set_ylim(0, max(axes.get_ylim()[1], 1.1 * inference["inference_speedup_high"].max()))
        axes.set_title(batch(size), loc="left")
        axes.set_ylabel("speedup of a step (×)")
    return with_legend(figure, all_axes[marked])


def _of_inference(row: pd.Series) -> str:
    names = [f"inference_speedup{end}" for end in ("", "_low", "_high")]
    return units.ratio_interval(*row[names]) if pd.notna(row.get(names[0])) else ""


VIEW = View(
    __name__,
    place=180,
    title="How much faster is a training step?",
    reading=(
        "A step is a forward pass with the loss (cross entropy), a backward pass, and Adam's step, on one batch that "
        "is in memory. Standard and separable alternate as in the verdict. The dark mark is the ratio of MACs, the "
        "diamond the speedup of a forward pass alone, where it was measured as well."
    ),
    needs="training steps of a standard/separable pair (--profile training)",
    select=select,
    finding=finding,
    draw=draw,
    columns=(
        *("α", "px", "precision", "batch", "standard", "separable", "MAC ratio", "measured speedup [95 %]"),
        *("forward pass [95 %]", *SAMPLING),
    ),
    narrow=("α", "px", "precision", "batch", "standard", "separable", "speedup [95 %]"),
    cells={"forward pass [95 %]": Cell(_of_inference, "inference_speedup", optional=True)},
)
