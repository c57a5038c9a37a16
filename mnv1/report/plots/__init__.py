"""One plot for each view: rows in SI units in, a matplotlib figure out. No torch, no clock, no files."""

from __future__ import annotations

import re
from collections.abc import Callable

from matplotlib.figure import Figure

from mnv1.report.plots import bars, curves, maps, modes, side_by_side, steps
from mnv1.report.plots.style import Rows, style

__all__ = ["PLOTS", "plot", "style", "without_title"]

TITLE = "title"
"""The id of a plot's title in its SVG."""

_SIZE = re.compile(rb'width="([\d.]+)pt" height="([\d.]+)pt" viewBox="[\d. ]+"')

PLOTS: dict[str, Callable[[Rows], Figure]] = {
    "verdict": bars.verdict,
    "why": bars.why,
    "excess": bars.excess,
    "heat_map": maps.heat_map,
    "layer_speedup": bars.layer_speedup,
    "model_speedup": bars.model_speedup,
    "operators": bars.operators,
    "roofline": maps.roofline,
    "predictors": maps.predictors,
    "alpha_sweep": curves.sweep("alpha", lambda value: f"α {value:g}"),
    "resolution_sweep": curves.sweep("resolution", lambda value: f"{value:g} px"),
    "pareto": maps.pareto,
    "batch_scaling": curves.batch_scaling,
    "side_by_side": side_by_side.side_by_side,
    "precision": bars.precision,
    "modes": modes.modes,
    "peak_memory": bars.peak_memory,
    "training_speedup": steps.training_speedup,
    "training_steps": steps.training_steps,
    "training_memory": steps.training_memory,
    "distribution": curves.distribution,
    "layer_times": curves.layer_times,
    "thread_scaling": curves.thread_scaling,
    "history": curves.history,
}
"""The plot of each view, by the view's name."""


def plot(name: str, rows: Rows, title: str) -> Figure:
    """The plot of a view's rows. Raises `KeyError` for a view that has none."""
    with style():
        figure = PLOTS[name](rows)
        figure.suptitle(title, fontsize=11, fontweight="bold").set_gid(TITLE)
    return figure


def without_title(figure: Figure, svg: bytes) -> bytes:
    """A figure's SVG as a page with headings of its own shows it: from below the title on."""
    title = next(text for text in figure.texts if text.get_gid() == TITLE)
    kept = title.get_window_extent().y0 / figure.bbox.height
    width, height = (float(number) for number in _SIZE.search(svg).groups())  # type: ignore[union-attr]
    shown = (
        f'width="{width:g}pt" height="{kept * height:.2f}pt" viewBox="0 {(1 - kept) * height:.2f} '
        f'{width:g} {kept * height:.2f}"'
    )
    return _SIZE.sub(shown.encode("ascii"), svg, count=1)
