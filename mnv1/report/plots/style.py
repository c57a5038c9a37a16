"""What all plots share: panels, whiskers, legends and axes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mnv1.report.rows import Rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

# Okabe and Ito's palette, as for kinds and precisions in `known.py`.
PART_COLOURS = {
    # Operators; a convolution has the colour of its kind.
    "pointwise": "#009E73",
    "depthwise": "#56B4E9",
    "standard": "#D55E00",
    "linear": "#CC79A7",
    "batch_norm": "#F0E442",
    "activation": "#E69F00",
    "cast": "#0072B2",
    "other": "#BBBBBB",
    "between": "#666666",
    "convolution": "#009E73",
    # Phases of a training step.
    "forward": "#0072B2",
    "backward": "#D55E00",
    "optimizer": "#009E73",
    # Causes.
    "compute": "#0072B2",
    "memory bandwidth": "#E69F00",
    "launch": "#CC79A7",
    "dispatch": "#666666",
    "allocator": "#D55E00",
    "kernels": "#009E73",
    "1×1, 3×3 kernels": "#009E73",
    "depthwise kernels": "#56B4E9",
    "layout conversions": "#CC79A7",
    "BN, ReLU passes": "#F0E442",
    "casts": "#332288",
    "not explained": "#DDDDDD",
    # Kernels, beside operators of the same names.
    "images": "#CC79A7",
    "weights": "#882255",
}
MARKERS = ("o", "s", "^", "D", "v", "P")
BLOCK_AXIS = "block: input channels → output channels, stride, input side in pixels"
DARK, GREY = "#333333", "#999999"

STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.alpha": 0.3,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "svg.hashsalt": "mnv1",  # the same rows give the same file
    "svg.fonttype": "path",  # the same picture with whatever fonts the reader has
    "savefig.dpi": 150,
}


@contextmanager
def style() -> Iterator[None]:
    """The look that all plots share."""
    import matplotlib as mpl

    with mpl.rc_context(STYLE):
        yield


def new_figure(panels: int, width: float, height: float, columns: int = 1) -> tuple[Figure, list[Axes]]:
    """A figure with so many panels; `width` of all of them and `height` of one in inches."""
    from matplotlib.figure import Figure

    rows = -(-panels // columns)
    figure = Figure(figsize=(width, height * rows + 0.8), layout="constrained")
    axes = [figure.add_subplot(rows, columns, number + 1) for number in range(panels)]
    return figure, axes


def panels_of(rows: Rows, by: list[str]) -> list[tuple[tuple[object, ...], Rows]]:
    """Groups in the order of the rows."""
    return [(key if isinstance(key, tuple) else (key,), group) for key, group in rows.groupby(by, sort=False)]


def whiskers(rows: Rows, value: str, low: str, high: str, scale: float = 1) -> np.ndarray[Any, Any]:
    """Intervals as matplotlib takes them: distances below and above, never negative."""
    below, above = rows[value] - rows[low], rows[high] - rows[value]
    return np.array([below, above], dtype=float).clip(0) * scale


def batch(size: object) -> str:
    """`batch 8`."""
    return f"batch {size:g}"


def block_labels(rows: Rows) -> list[str]:
    """Blocks in two lines each; somebody's own, which may have no channels, by their shape."""
    return [
        str(row["shape"])
        if pd.isna(row["in_channels"])
        else f"{row['in_channels']:.0f}→{row['out_channels']:.0f}\ns{row['stride']:.0f}, {row['side']:.0f} px"
        for _, row in rows.iterrows()
    ]


def network_labels(rows: Rows) -> list[str]:
    """Networks in two lines each."""
    return [f"α {row.alpha:g}\n{row.resolution:.0f} px" for row in rows[["alpha", "resolution"]].itertuples()]


def marks_of_disturbed(rows: Rows) -> list[str]:
    """A hatch for each row that could only be measured on a disturbed machine; none where that is most of them."""
    disturbed = rows["stopped"] == "disturbed"
    return ["///" if one and disturbed.mean() <= 0.5 else "" for one in disturbed]


def with_legend(figure: Figure, axes: Axes, columns: int = 4) -> Figure:
    """The figure with one legend below all panels, from the labels of one of them."""
    from matplotlib.container import BarContainer
    from matplotlib.patches import Patch

    handles, labels = axes.get_legend_handles_labels()
    # A series' first bar may be marked as disturbed; its legend is not.
    handles = [Patch(facecolor=h[0].get_facecolor()) if isinstance(h, BarContainer) else h for h in handles]
    if any(patch.get_hatch() for one in figure.axes for patch in one.patches):
        handles.append(Patch(facecolor="#888888", edgecolor="white", hatch="///", linewidth=0))
        labels.append("on a disturbed machine")
    figure.legend(handles, labels, loc="outside lower center", ncols=columns)
    return figure


def log_axes(axes: Axes, x: str, y: str) -> None:
    """Two logarithmic axes with plain numbers."""
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(True, which="major", axis="both")
    axes.margins(x=0.08)
    plain_log(axes.xaxis)
    plain_log(axes.yaxis)


def plain_log(axis: Axis, subs: Sequence[float] = (1, 2, 5)) -> None:
    """Ticks of a logarithmic axis at 1, 2 and 5, as plain numbers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axis.set_major_locator(LogLocator(base=10, subs=subs))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())
