"""What a call's time is spent on, by what ran."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from mnv1.report import units
from mnv1.report.attribution import CAUSES, CONVERSIONS, COPIED, UNEXPLAINED, causes_of, ran_in
from mnv1.report.cells import where_known
from mnv1.report.plots.bars import stacked
from mnv1.report.plots.style import DARK, batch, new_figure, with_legend
from mnv1.report.rows import Rows, cases_of, largest_network, ordered
from mnv1.report.sentences import several, span
from mnv1.report.view import View
from mnv1.report.why import with_ceilings
from mnv1.store.runs import Results

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def select(results: Results) -> Rows:
    """The largest network where its kernels were traced: `share_*` of a call's time for each cause."""
    rows = with_ceilings(ordered(largest_network(cases_of(results, "model", "latency"))))
    found = {}
    for place, row in rows.iterrows():
        ran = ran_in(row, results)
        if ran.is_traced:
            time = float(row["latency_p50"])
            shares = {name: seconds / time for name, seconds in causes_of(ran, time).items()}
            kernels = results.kernels[results.kernels["id"] == row["id"]]
            found[place] = {
                **{f"share_{name}": share for name, share in shares.items()},
                "copies": float(kernels.loc[kernels["kernel"].isin(COPIED), "count"].sum()),
                "elsewhere": _elsewhere(row),
            }
    shown = rows.loc[list(found)]
    return pd.concat([shown, pd.DataFrame(found.values(), index=shown.index)], axis="columns").reset_index(drop=True)


def _elsewhere(row: pd.Series) -> str | None:
    """The state of the machine in which it was traced, where that is not the state that its time is of."""
    state = row["traced_state"]
    if pd.isna(row["state"]) or state in (row["state"], None) or pd.isna(state):
        return None
    return str(state) or "states mixed"


def finding(rows: Rows) -> str:
    """How much of a call goes into copies between layouts, and how much of it nothing explains."""
    parts = []
    for kind, group in rows.groupby("kind", sort=False):
        copied = span(group[f"share_{CONVERSIONS}"])
        parts.append(f"{copied} of a call of the {kind} network ({several(_counts(group))} copies)")
    unexplained = rows[f"share_{UNEXPLAINED}"]
    return (
        f"Copies of images and weights from one memory layout to another take {several(parts)}. "
        f"At most {100 * unexplained.abs().max():.0f} % of a call is not explained."
    )


def _counts(rows: Rows) -> list[str]:
    return [f"{count:.0f}" for count in sorted(set(rows["copies"]))]


def draw(rows: Rows) -> Figure:
    """A bar of shares for each network, precision and batch size."""
    figure, (axes,) = new_figure(1, 9, 0.36 * len(rows) + 1.4)
    labels = [f"{row.kind}, {row.precision}, {batch(row.batch_size)}" for row in rows.itertuples()]
    shown = {f"share_{name}": name for name in CAUSES if f"share_{name}" in rows and rows[f"share_{name}"].any()}
    stacked(axes, rows, shown, labels)
    axes.axvline(0, color=DARK, linewidth=1)
    axes.set_xlabel("share of a call (%)")
    axes.set_ylabel("network, precision, batch size")
    return with_legend(figure, axes, columns=5)


VIEW = View(
    __name__,
    place=25,
    title="What a call's time is spent on, by what ran",
    reading=(
        "Shares of a call in plain eager code. Compute and memory bandwidth: what convolutions need at the ceilings "
        "of this machine. 1×1, 3×3 and depthwise kernels: what they take beyond that. Layout conversions: images and "
        "weights copied from one memory layout to another, before and after a convolution. BN, ReLU passes: "
        "reading and writing activations once more for each. Dispatch: Python, torch and the library "
        "between kernels, measured with the same operators on next to nothing, and what gaps take longer than "
        "there. Kernels are known from the library's own trace, in a "
        "process of its own."
    ),
    needs="a network whose kernels were traced, and ceilings",
    select=select,
    finding=finding,
    draw=draw,
    columns=("kind", "precision", "batch", "latency", *CAUSES, "copies", "traced while"),
    cells={
        **{name: where_known(f"share_{name}", units.percent, optional=True) for name in CAUSES},
        "copies": where_known("copies", "{:.0f}".format),
        "traced while": where_known("elsewhere", str, optional=True),
    },
)
