"""Speedup of each block by batch size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mnv1.report import units
from mnv1.report.plots.style import batch, block_labels, panels_of, plain_log
from mnv1.report.rows import Rows, layers
from mnv1.report.view import SAMPLING, View

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def finding(rows: Rows) -> str:
    """Where separable blocks win and lose."""
    ranked = rows.sort_values("speedup")
    worst, best = ranked.iloc[0], ranked.iloc[-1]
    slower = int((rows["speedup_high"] < 1).sum())
    named = [
        f"{units.ratio(row['speedup'])} ({row['shape']}, {row['precision']}, batch {row['batch_size']:g})"
        for row in (worst, best)
    ]
    losing = f"; in {slower} of {len(rows)} cases the block is slower than the standard convolution" if slower else ""
    return f"The speedup runs from {named[0]} to {named[1]}{losing}."


def draw(rows: Rows) -> Figure:
    """Speedup by block and batch size, a panel for each precision, with theory as the last column."""
    from matplotlib import colormaps
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure

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


VIEW = View(
    __name__,
    place=40,
    title="Speedup of each block by batch size",
    reading=(
        "Colour and number say how many times faster the separable block is than the standard convolution of the same "
        "shape; white means no difference. The last column is the ratio that counting operations promises. A thick "
        "line encloses the blocks that are slower."
    ),
    needs="a standard/separable pair of a layer",
    select=layers("speedup"),
    finding=finding,
    draw=draw,
    columns=("block", "precision", "batch", "measured speedup [95 %]", "MAC ratio", *SAMPLING),
)
