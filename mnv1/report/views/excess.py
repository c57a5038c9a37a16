"""Where the time beyond theory goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from mnv1.report import units
from mnv1.report.attribution import CAUSES
from mnv1.report.cells import where_known
from mnv1.report.plots.bars import stacked
from mnv1.report.plots.style import DARK, batch, new_figure
from mnv1.report.rows import Rows, verdict
from mnv1.report.sentences import several
from mnv1.report.view import View
from mnv1.report.why import EXCESS_OPERATORS
from mnv1.store.runs import Results

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def select(results: Results) -> Rows:
    """The verdict's rows of which it is known where the time beyond theory goes."""
    rows = verdict(results)
    return rows[rows["excess"] > 0].reset_index(drop=True) if "excess" in rows else rows.iloc[:0]


def finding(rows: Rows) -> str:
    """In which operators the time beyond theory is spent."""
    labels = {f"operator_{name}": label for name, label in EXCESS_OPERATORS.items() if f"operator_{name}" in rows}
    parts = []
    for _, row in rows.iterrows():
        ranked = sorted(
            ((float(row[name]), label) for name, label in labels.items() if pd.notna(row[name])), reverse=True
        )
        named = several([f"{label} ({100 * share:.0f} %)" for share, label in ranked[:3]])
        parts.append(f"{row['precision']}, batch {row['batch_size']:g}: {named}")
    return f"Where most of the time beyond theory is spent, by operator: {'; '.join(parts)}."


def draw(rows: Rows) -> Figure:
    """Shares of the time beyond theory: by cause, and by operator."""
    figure, all_axes = new_figure(2, 10, 0.42 * len(rows) + 1.6, 2)
    labels = [f"{row.precision}, {batch(row.batch_size)}" for row in rows.itertuples()]
    names = (
        {f"cause_{name}": name for name in CAUSES},
        {f"operator_{name}": label for name, label in EXCESS_OPERATORS.items()},
    )
    for axes, parts, title, side in zip(all_axes, names, ("cause", "operator"), ("left", "right"), strict=True):
        shown = {column: label for column, label in parts.items() if column in rows and rows[column].notna().any()}
        stacked(axes, rows, shown, labels)
        axes.axvline(0, color=DARK, linewidth=1)
        axes.set_title(f"by {title}", loc="left")
        axes.set_xlabel("share of the time beyond theory (%)")
        handles: list[Any] = axes.get_legend_handles_labels()[0]
        figure.legend(handles=handles, loc=f"outside lower {side}", ncols=4, fontsize=8)  # type: ignore[call-overload]
    all_axes[0].set_ylabel("precision, batch size")
    all_axes[1].set_yticklabels([])
    return figure


VIEW = View(
    __name__,
    place=30,
    title="Where the time beyond theory goes",
    reading=(
        "In theory the separable network takes its twin's time divided by the ratio of MACs. It takes longer: the "
        "difference is the time beyond theory. A part of it is the network's time in one cause (left) or operator "
        "(right), minus the twin's time there divided by the same ratio. So the parts add up to 100 %, and a negative "
        "part is a gain over theory. Compute and memory bandwidth are least times by the ceilings; kernels are what "
        "convolutions take beyond them."
    ),
    needs="a pair of a network, ceilings, and profiles of both sides",
    select=select,
    finding=finding,
    draw=draw,
    columns=(
        *("precision", "batch", "time beyond theory", "limited by"),
        *CAUSES,
        *(f"in {label}" for label in EXCESS_OPERATORS.values()),
    ),
    cells={
        "time beyond theory": where_known("excess", units.seconds, optional=True),
        **{
            name: where_known(f"cause_{name}", units.percent, optional=name not in ("compute", "memory bandwidth"))
            for name in CAUSES
        },
        **{
            f"in {label}": where_known(f"operator_{name}", units.percent, optional=True)
            for name, label in EXCESS_OPERATORS.items()
        },
    },
)
