"""One plot for each view: rows in SI units in, a matplotlib figure out. No torch, no clock, no files."""

from __future__ import annotations

from collections.abc import Callable

from matplotlib.figure import Figure

from mnv1.report.plots import bars, curves, maps, side_by_side, steps
from mnv1.report.plots.style import Rows, style

__all__ = ["PLOTS", "plot", "style"]

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
        figure.suptitle(title, fontsize=11, fontweight="bold")
    return figure
