"""Where a training step's time goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from mnv1.report import units
from mnv1.report.cells import Cell
from mnv1.report.plots.bars import stacked
from mnv1.report.plots.style import batch, new_figure, panels_of, with_legend
from mnv1.report.rows import Rows, cases_of, ordered
from mnv1.report.sentences import span
from mnv1.report.view import View
from mnv1.store.columns import PHASES, TRAINING
from mnv1.store.runs import Results

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def select(results: Results) -> Rows:
    """Training steps at the highest resolution, with the share of the time that each phase has."""
    rows = cases_of(results, "model", TRAINING)
    rows = ordered(rows[rows["resolution"] == rows["resolution"].max()])
    times = rows[[f"{phase}_time" for phase in PHASES]].astype(float)
    shares = times.div(times.sum(axis="columns"), axis="index").set_axis([f"share_{phase}" for phase in PHASES], axis=1)
    return rows.join(shares).dropna(subset=list(shares.columns)).reset_index(drop=True)


def finding(rows: Rows) -> str:
    """What share of a step each phase has, by kind of network, over widths, precisions and batch sizes."""
    parts = []
    for kind, group in rows.groupby("kind", sort=False):
        shares = [f"{name} {span(group[f'share_{name}'])}" for name in PHASES]
        parts.append(f"{kind}: {', '.join(shares)}")
    return f"Shares of a step's time, over widths, precisions and batch sizes. {'; '.join(parts).capitalize()}."


def draw(rows: Rows) -> Figure:
    """Shares of each step's time, a panel for each precision, with the images a second behind each bar."""
    panels = panels_of(rows.assign(order=_rank(rows, "precision")).sort_values("order", kind="stable"), ["precision"])
    longest = max(len(group) for _, group in panels)
    figure, all_axes = new_figure(len(panels), 5.4 * len(panels), 0.22 * longest + 0.9, columns=len(panels))
    for axes, ((name,), group) in zip(all_axes, panels, strict=True):
        group = group.sort_values(["kind", "alpha", "batch_size"], ascending=[True, False, True], kind="stable")
        labels = [f"{row.kind}, α {row.alpha:g}, {batch(row.batch_size)}" for row in group.itertuples()]
        stacked(axes, group, {f"share_{phase}": phase for phase in PHASES}, labels)
        for place, throughput in enumerate(group["throughput"]):
            axes.text(102, place, f"{units.significant(throughput)}/s", va="center", fontsize=7.5)
        axes.set_title(str(name), loc="left")
        axes.set_xlim(0, 124)  # room for the figures
        axes.set_xticks(range(0, 101, 20))
        axes.set_xlabel("share of a step (%), images/s")
    all_axes[0].set_ylabel("network, batch size")
    return with_legend(figure, all_axes[0])


def _rank(rows: Rows, column: str) -> list[int]:
    """The place of each row's value among those of the column, in the order of the rows."""
    values = list(rows[column].unique())
    return [values.index(one) for one in rows[column]]


def _phase(name: str) -> Cell:
    """The time of a training step's phase with its interval, and its share."""

    def text(row: pd.Series) -> str:
        half_width = (row[f"{name}_high"] - row[f"{name}_low"]) / 2 / row[f"{name}_time"]
        time = f"{units.seconds(row[f'{name}_time'])} ±{units.percent(half_width)}"
        return f"{time}, {100 * row[f'share_{name}']:.0f} %"

    return Cell(text, f"{name}_time")


VIEW = View(
    __name__,
    place=190,
    title="Where a training step's time goes",
    reading=(
        "Forward includes the loss. Optimizer is Adam, and freeing the old gradients. Behind each bar stands the "
        "throughput of whole steps. The phases were timed in a pass of their own, so they need not add up "
        "to the step's time."
    ),
    needs="training steps (--profile training)",
    select=select,
    finding=finding,
    draw=draw,
    columns=(
        *("kind", "α", "precision", "batch", "MACs", "latency", "images/s", *PHASES, "steps by phase"),
        *("rounds", "stopped", "note"),
    ),
    cells={
        **{name: _phase(name) for name in PHASES},
        "steps by phase": Cell(lambda row: f"{row['phase_steps']:g}", "phase_steps"),
    },
)
