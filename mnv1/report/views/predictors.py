"""What predicts a layer's time?"""

from __future__ import annotations

from math import exp, log
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mnv1.report import why
from mnv1.report.attribution import least_of, with_kernel_times
from mnv1.report.cells import Cell, where_known
from mnv1.report.known import colour
from mnv1.report.plots.style import DARK, log_axes, new_figure, panels_of, plain_log, with_legend
from mnv1.report.rows import Rows, layers
from mnv1.report.sentences import rank_correlation, timed
from mnv1.report.view import View
from mnv1.store.runs import Results

if TYPE_CHECKING:
    from matplotlib.figure import Figure


PREDICTORS = ("MACs", "bytes", "roofline", "roofline, eager")


def select(results: Results) -> Rows:
    """Every layer once for each predictor of its time: `predicted` in seconds.

    MACs and bytes are scaled to fit, by the geometric mean of time to predictor over the layers of one precision; the
    roofline is the least time by the ceilings, with BatchNorm and ReLU folded or as passes of their own, unscaled.
    """
    rows = with_kernel_times(why.with_ceilings(layers("latency")(results)), results)
    least = [least_of(row) for _, row in rows.iterrows()]
    folded, eager = (
        pd.Series([sum(layer.total(passes) for layer in one) for one in least], rows.index, dtype=float)
        for passes in (False, True)
    )
    rows = rows[folded > 0]  # of others no least time is known
    found = []
    for _, group in rows.groupby("precision", sort=False):
        values = {
            "MACs": _scaled(group["macs"], group["seconds"]),
            "bytes": _scaled(group["min_bytes"], group["seconds"]),
            "roofline": folded[group.index],
            "roofline, eager": eager[group.index],
        }
        found += [group.assign(predictor=name, predicted=values[name]) for name in PREDICTORS]
    return pd.concat(found, ignore_index=True) if found else rows


def _scaled(predictor: pd.Series, measured: pd.Series) -> pd.Series:
    """The predictor times the factor that makes it right on geometric mean."""
    logs = (np.log(measured.astype(float)) - np.log(predictor.astype(float))).mean()
    scaled: pd.Series = predictor * np.exp(logs)
    return scaled


def errors(rows: Rows) -> Rows:
    """How far each predictor is off, by precision: factors, and the rank correlation with the measured time."""
    found = []
    for (precision, predictor), group in rows.groupby(["precision", "predictor"], sort=False):
        off = (group["seconds"] / group["predicted"]).astype(float).map(log).abs()
        rho = rank_correlation(group["predicted"], group["seconds"])
        found.append(
            {
                "precision": precision,
                "predictor": predictor,
                "cases": len(group),
                "typical": exp(off.median()),
                "largest": exp(off.max()),
                "spearman": rho,
            }
        )
    return pd.DataFrame(found)


def finding(rows: Rows) -> str:
    """Which predictor is nearest, by precision."""
    parts = []
    for precision, group in errors(rows).groupby("precision", sort=False):
        ranked = group.sort_values("typical")
        named = [f"{row['predictor']} {row['typical']:.2f}×" for _, row in ranked.iterrows()]
        parts.append(f"{precision}: {', '.join(named)}")
    of_one = rows[rows["predictor"] == PREDICTORS[0]]
    return (
        f"Typical error (half of the layers are off by less than this factor), best first. {'; '.join(parts)}."
        f"{timed(of_one)}"
    )


def draw(rows: Rows) -> Figure:
    """Measured time against each predictor, log-log, a row of panels for each precision."""
    panels = panels_of(rows, ["precision", "predictor"])
    columns = rows["predictor"].nunique()
    figure, all_axes = new_figure(len(panels), 2.9 * columns, 2.7, columns)
    ends = [
        rows[["predicted", "seconds"]].min().min() * 0.7e3,
        rows[["predicted", "seconds"]].max().max() * 1.4e3,
    ]
    for number, (axes, ((precision, predictor), group)) in enumerate(zip(all_axes, panels, strict=True)):
        for (kind,), points in panels_of(group, ["kind"]):
            axes.scatter(
                points["predicted"] * 1e3,
                points["seconds"] * 1e3,
                s=16,
                color=colour(kind),
                label=str(kind),
                alpha=0.8,
                linewidth=0,
            )
        axes.plot(ends, ends, color=DARK, linewidth=1, label="right")
        log_axes(axes, "predicted (ms)", "measured (ms)")
        for one in (axes.xaxis, axes.yaxis):
            plain_log(one, (1,))
        axes.set_xlim(*ends)
        axes.set_ylim(*ends)
        axes.set_title(f"{precision}: {predictor}", loc="left", fontsize=9)
        if number % columns:
            axes.set_ylabel("")
    return with_legend(figure, all_axes[0], columns=5)


VIEW = View(
    __name__,
    place=90,
    title="What predicts a layer's time?",
    reading=(
        "Each point is a layer; on the line the prediction is right. MACs and bytes are scaled to fit, the rooflines "
        "are not: they are least times, so points lie above the line. An error of 2× means twice or half the time. "
        "Where it was traced which kernels ran, the measured time is that of the convolutions' kernels alone."
    ),
    needs="layers, and ceilings",
    select=select,
    finding=finding,
    draw=draw,
    columns=("precision", "predictor", "cases", "typical error", "largest error", "Spearman's ρ"),
    table=errors,
    cells={
        "predictor": Cell(lambda row: row["predictor"], left=True),
        "cases": Cell(lambda row: f"{row['cases']:g}", "cases"),
        "typical error": Cell(lambda row: f"{row['typical']:.2f}×", "typical"),
        "largest error": Cell(lambda row: f"{row['largest']:.1f}×", "largest"),
        "Spearman's ρ": where_known("spearman", "{:.3f}".format),
    },
)
