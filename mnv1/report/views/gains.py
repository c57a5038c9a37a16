"""Is a cause the cause? What taking it away should gain, and what it gains."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mnv1.report import units
from mnv1.report.cells import Cell, where_known
from mnv1.report.gains import WITHIN, gains_of
from mnv1.report.plots.bars import lying_bars
from mnv1.report.plots.style import batch, new_figure, with_legend
from mnv1.report.rows import Rows
from mnv1.report.view import SAMPLING, View

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def finding(rows: Rows) -> str:
    """For how many rows the prediction holds."""
    known = rows[rows["right"].isin(["yes", "no"])]
    if known.empty:
        return ""
    right = int((known["right"] == "yes").sum())
    text = f"The time that the attribution says is saved is within {100 * WITHIN:.0f} % of what is saved"
    wrong = known[known["right"] == "no"]
    if wrong.empty:
        return f"{text} in {'the one row' if len(known) == 1 else f'all {len(known)} rows'} that can be judged."
    named = ", ".join(f"{row['mode']} ({row['precision']}, batch {row['batch_size']:g})" for _, row in wrong.iterrows())
    return f"{text} in {right} of {len(known)} rows. It is wrong for {named}."


def draw(rows: Rows) -> Figure:
    """Measured gains with their intervals, and a mark for each prediction."""
    figure, (axes,) = new_figure(1, 7, 0.3 * len(rows) + 1.0)
    names = [f"{row.mode}, {row.precision}, {batch(row.batch_size)}" for row in rows.itertuples()]
    lying_bars(axes, rows, names, left=1, label="measured")
    axes.scatter(rows["predicted"], range(len(rows)), color="#D55E00", marker="D", zorder=3, label="predicted")
    axes.set_ylabel("mode, precision, batch size")
    axes.set_xlabel("gain over plain eager code (×)")
    return with_legend(figure, axes)


VIEW = View(
    __name__,
    place=35,
    title="Is a cause the cause? What taking it away should gain, and what it gains",
    reading=(
        "A mode that takes a cause away is timed against plain eager code in turns. Predicted: the eager call less "
        "what the attribution says that goes: BatchNorm's passes and their dispatch where it is folded; the eager "
        "copies and convolutions with their dispatch, with those in their place that the mode's own trace shows. All "
        "else is taken to stay. A prediction is right when the time saved is within a quarter of what is saved."
    ),
    needs="a network timed in a mode against plain eager code",
    select=gains_of,
    finding=finding,
    draw=draw,
    columns=(
        *("network", "mode", "precision", "batch", "predicted gain", "gain [95 %]", "predicted saving", "saving"),
        *("right", *SAMPLING),
    ),
    cells={
        "predicted gain": where_known("predicted", units.ratio),
        "gain [95 %]": Cell(
            lambda row: units.ratio_interval(*row[["speedup", "speedup_low", "speedup_high"]]), "speedup"
        ),
        "predicted saving": where_known("predicted_saved", units.percent),
        "saving": where_known("saved", units.percent),
        "right": Cell(lambda row: row["right"], left=True),
    },
)
