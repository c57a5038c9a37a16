"""Measured speedup of each block, beside the ratio of operations."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mnv1.report.attribution import CONVOLUTIONS, COPIED
from mnv1.report.cells import Cell
from mnv1.report.plots.bars import speedup_bars
from mnv1.report.plots.style import BLOCK_AXIS, batch, block_labels, new_figure, panels_of, with_legend
from mnv1.report.rows import Rows, layers
from mnv1.report.view import SAMPLING, View
from mnv1.report.why import latency_of
from mnv1.store.runs import Results

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIDES = ("standard", "separable")


def select(results: Results) -> Rows:
    """Speedups of blocks, with the kernels that ran in each side where they were traced: `ran_*`."""
    rows = layers("speedup")(results)
    for side in SIDES:
        rows[f"ran_{side}"] = [what_ran(row, side, results) for _, row in rows.iterrows()]
    return rows


def what_ran(pair: pd.Series, kind: str, results: Results) -> str | None:
    """The implementations of a side's convolutions, and the share of its time in copies between layouts."""
    case = latency_of(pair, kind, results.cases)
    kernels = results.kernels[results.kernels["id"] == case["id"]] if case is not None else results.kernels.iloc[:0]
    if case is None or kernels.empty:
        return None
    names = kernels.loc[kernels["kernel"].isin(CONVOLUTIONS), "implementation"]
    copied = kernels.loc[kernels["kernel"].isin(COPIED), "seconds"].sum() / case["traced_call"]
    return f"{' + '.join(dict.fromkeys(names))}, copies {100 * copied:.0f} %"


def draw(rows: Rows) -> Figure:
    """Speedups of blocks, a panel for each batch size."""
    panels = panels_of(rows.sort_values("batch_size", kind="stable"), ["batch_size"])
    figure, all_axes = new_figure(len(panels), 9, 2.6)
    for axes, ((size,), group) in zip(all_axes, panels, strict=True):
        speedup_bars(axes, group.assign(place=block_labels(group)))
        axes.set_title(batch(size), loc="left")
        axes.set_ylabel("speedup (×)")
    all_axes[-1].set_xlabel(BLOCK_AXIS)
    return with_legend(figure, all_axes[int(np.argmax([group["precision"].nunique() for _, group in panels]))])


def said(side: str, row: pd.Series) -> str:
    """What ran in a side, where it is known."""
    text = row.get(f"ran_{side}")
    return text if isinstance(text, str) else ""


VIEW = View(
    __name__,
    place=50,
    title="Measured speedup of each block, beside the ratio of operations",
    reading=(
        "A bar shows how many times faster the separable block is than the standard convolution of the same shape, its "
        "whisker the 95 % interval; the dark mark above it is the ratio that counting operations promises. Below 1 the "
        "separable block is slower. What ran: the library's kernels for each side's convolutions, and the share of its "
        "time in copies from one memory layout to another."
    ),
    needs="a standard/separable pair of a layer",
    select=select,
    draw=draw,
    columns=(
        "block",
        "precision",
        "batch",
        "standard",
        "separable",
        "measured speedup [95 %]",
        "MAC ratio",
        "standard ran",
        "separable ran",
        *SAMPLING,
    ),
    cells={f"{side} ran": Cell(partial(said, side), left=True, optional=True) for side in SIDES},
    narrow=("block", "precision", "batch", "speedup [95 %]", "MAC ratio"),
)
