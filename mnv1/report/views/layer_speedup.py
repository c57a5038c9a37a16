"""Measured speedup of each block, beside the ratio of operations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mnv1.report.plots.bars import speedup_bars
from mnv1.report.plots.style import BLOCK_AXIS, batch, block_labels, new_figure, panels_of, with_legend
from mnv1.report.rows import Rows, layers
from mnv1.report.view import SAMPLING, View

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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


VIEW = View(
    __name__,
    place=50,
    title="Measured speedup of each block, beside the ratio of operations",
    reading=(
        "A bar shows how many times faster the separable block is than the standard convolution of the same shape, its "
        "whisker the 95 % interval; the dark mark above it is the ratio that counting operations promises. Below 1 the "
        "separable block is slower."
    ),
    needs="a standard/separable pair of a layer",
    select=layers("speedup"),
    draw=draw,
    columns=("block", "precision", "batch", "standard", "separable", "measured speedup [95 %]", "MAC ratio", *SAMPLING),
    narrow=("block", "precision", "batch", "speedup [95 %]", "MAC ratio"),
)
