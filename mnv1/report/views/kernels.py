"""Which kernels ran."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from mnv1.report import units
from mnv1.report.cells import Cell
from mnv1.report.plots.bars import stacked
from mnv1.report.plots.style import batch, new_figure, with_legend
from mnv1.report.rows import Rows, cases_of, largest_network, ordered
from mnv1.report.view import View
from mnv1.report.why import OPERATORS
from mnv1.store.runs import Results

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KERNELS = {"images": "copies of images", "weights": "copies of weights"} | {
    name: label for name, label in OPERATORS.items() if name != "between"
}
"""Types of kernels in the order of plots, with their names."""


def select(results: Results) -> Rows:
    """The kernels of the largest network, one row for each type, implementation and pair of layouts, longest first."""
    networks = ordered(largest_network(cases_of(results, "model", "latency")))
    traced = networks[networks["traced_call"].notna()]
    rows = traced[["id", "kind", "device", "precision", "batch_size", "traced_call"]].assign(order=range(len(traced)))
    if rows.empty:
        return rows
    found = rows.merge(results.kernels.drop(columns=["run", "environment"]), on="id")
    found = found.assign(share=found["seconds"] / found["traced_call"])
    return found.sort_values(["order", "seconds"], ascending=[True, False], kind="stable").reset_index(drop=True)


def draw(rows: Rows) -> Figure:
    """A bar of shares for each network, precision and batch size, by type of kernel."""
    shares = rows.pivot_table(index="order", columns="kernel", values="share", aggfunc="sum").add_prefix("share_")
    about = rows.drop_duplicates("order").set_index("order").join(shares)
    figure, (axes,) = new_figure(1, 9, 0.36 * len(about) + 1.4)
    labels = [f"{row.kind}, {row.precision}, {batch(row.batch_size)}" for row in about.itertuples()]
    stacked(
        axes, about, {f"share_{name}": label for name, label in KERNELS.items() if f"share_{name}" in about}, labels
    )
    axes.set_xlabel("share of a call (%); the rest is not in traced kernels")
    axes.set_ylabel("network, precision, batch size")
    return with_legend(figure, axes, columns=5)


def _time(row: pd.Series) -> str:
    return f"{units.seconds(row['seconds'])} [{units.seconds(row['low'])}, {units.seconds(row['high'])}]"


VIEW = View(
    __name__,
    place=65,
    title="Which kernels ran",
    reading=(
        "What the library says that it ran in a call, by implementation and by the memory layouts that it reads and "
        "writes. On CPUs that is oneDNN's trace: jit_1x1, jit_dw and jit are its kernels for 1×1, depthwise and other "
        "convolutions of images in blocks of channels; brgconv and brdgmm take channels innermost; reorders (jit:uni, "
        "jit:blk, simple) copy. Layouts name dimensions from the outermost to the innermost: abcd is images × channels "
        "× rows × columns, aBcd8b has blocks of eight channels innermost."
    ),
    needs="a network whose kernels were traced",
    select=select,
    draw=draw,
    columns=("kind", "precision", "batch", "kernel", "implementation", "layouts", "count", "time [95 %]", "share"),
    cells={
        "kernel": Cell(lambda row: KERNELS.get(row["kernel"], row["kernel"]), left=True),
        "implementation": Cell(lambda row: row["implementation"], left=True),
        "layouts": Cell(lambda row: row["layouts"], left=True),
        "count": Cell(lambda row: f"{row['count']:g}", "count"),
        "time [95 %]": Cell(_time, "seconds"),
        "share": Cell(lambda row: units.percent(row["share"]), "share"),
    },
)
