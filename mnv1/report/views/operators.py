"""Where the time goes, beside where the operations are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from mnv1.net.counts import layer_macs
from mnv1.report import units
from mnv1.report.attribution import facts_of
from mnv1.report.cells import Cell
from mnv1.report.known import device_named, layers_of
from mnv1.report.plots.bars import stacked
from mnv1.report.plots.style import batch, new_figure, panels_of, with_legend
from mnv1.report.rows import Rows, cases_of, largest_network, ordered
from mnv1.report.sentences import several, span
from mnv1.report.view import View
from mnv1.report.why import OPERATORS
from mnv1.store.runs import Results

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def select(results: Results) -> Rows:
    """The largest network's time and MACs by operator, as shares: columns `time_*` with their interval, `macs_*`."""
    rows = ordered(largest_network(cases_of(results, "model", "latency")))
    profiled = dict(iter(results.operators.groupby("id")))
    rows = rows[rows["id"].isin(profiled)].reset_index(drop=True)
    shares = []
    for _, row in rows.iterrows():
        profile = profiled[row["id"]].set_index("operator")
        gaps = device_named(row["device"]).overheads(facts_of(row), {}, 1.0).get("launch", 0.0)
        total = profile["seconds"].sum() / (1 - gaps)
        found: dict[str, float] = {"calls": float(profile["calls"].max())}
        found |= {f"time_launch{end}": gaps for end in ("", "_low", "_high")} if gaps else {}
        for name in profile.index:
            found |= {
                f"time_{name}{end}": profile.loc[name, column] / total
                for end, column in (("", "seconds"), ("_low", "low"), ("_high", "high"))
            }
        kernels = results.kernels[results.kernels["id"] == row["id"]]
        if not kernels.empty:
            of_pointwise = kernels.loc[kernels["kernel"] == "pointwise", "seconds"].sum()
            found["kernel_pointwise"] = float(of_pointwise / row["traced_call"])
        macs = [(layer.op, layer_macs(layer)) for layer in layers_of(row)]
        whole = sum(number for _, number in macs)
        found |= {f"macs_{name}": sum(number for op, number in macs if op == name) / whole for name in OPERATORS}
        shares.append(found)
    return pd.concat([rows, pd.DataFrame(shares)], axis="columns")


def finding(rows: Rows) -> str:
    """The paper's statement about 1x1 convolutions beside what was measured."""
    separable = rows[rows["kind"] == "separable"]
    if separable.empty:
        return ""
    counted = separable.iloc[0]["macs_pointwise"]
    parts = [
        f"{100 * row['time_pointwise']:.0f} % [{100 * row['time_pointwise_low']:.0f}, "
        f"{100 * row['time_pointwise_high']:.0f}] ({row['precision']}, batch {row['batch_size']:g})"
        for _, row in separable.iterrows()
    ]
    holds = (separable["time_pointwise_high"] >= 0.95).any()
    kernels = separable.get("kernel_pointwise", pd.Series(dtype=float)).dropna()
    alone = "" if kernels.empty else f" Their kernels alone, without copies and dispatch, take {span(kernels)}."
    return (
        f"The paper says that MobileNet spends 95 % of its computation time in 1×1 convolutions. That is their share "
        f"of the MACs ({units.percent(counted)}). Their share of the time here is {several(parts)}: the statement "
        f"{'holds in some of these cases' if holds else 'does not hold on this machine'}.{alone}"
    )


def draw(rows: Rows) -> Figure:
    """For each kind of network the shares of its MACs, and below them the shares of its time."""
    panels = panels_of(rows.assign(order=rows["kind"] != "separable").sort_values("order", kind="stable"), ["kind"])
    bars = max(len(group) for _, group in panels) + 1
    figure, all_axes = new_figure(len(panels), 9, 0.32 * bars + 0.7)
    known = {name: label for name, label in OPERATORS.items() if f"time_{name}" in rows}
    for axes, ((kind,), group) in zip(all_axes, panels, strict=True):
        counted = group.iloc[[0]].rename(columns={f"macs_{name}": f"share_{name}" for name in known})
        timed = group.rename(columns={f"time_{name}": f"share_{name}" for name in known})
        shares = [f"share_{name}" for name in known]
        both = [one.reindex(columns=shares).astype(float) for one in (counted, timed)]
        table = pd.concat(both, ignore_index=True)
        labels = ["MACs", *(f"time, {row.precision} {batch(row.batch_size)}" for row in group.itertuples())]
        stacked(axes, table, {f"share_{name}": label for name, label in known.items()}, labels)
        axes.set_title(str(kind), loc="left")
        axes.set_xlim(0, 100)
        axes.set_ylabel("MACs and time")
    all_axes[-1].set_xlabel("share (%)")
    return with_legend(figure, all_axes[0], columns=5)


def _share(operator: str) -> Cell:
    """An operator's share of the time with its interval, and of the MACs where it has any."""

    def text(row: pd.Series) -> str:
        if f"time_{operator}" not in row or pd.isna(row[f"time_{operator}"]):
            return ""
        time, low, high = (float(row[f"time_{operator}{end}"]) for end in ("", "_low", "_high"))
        macs = float(row.get(f"macs_{operator}", 0.0))
        counted = f", MACs {units.percent(macs)}" if macs > 0 else ""
        return f"{100 * time:.1f} % [{100 * low:.1f}, {100 * high:.1f}]{counted}"

    return Cell(text, f"time_{operator}", optional=True)


VIEW = View(
    __name__,
    place=70,
    title="Where the time goes, beside where the operations are",
    reading=(
        "How the MACs (top bar) and the time (bars below) of each network are divided between types of operator, "
        "by torch's profiler. Between: time that a call spends outside of operators, in Python and dispatch. Launch "
        "gaps: time in which an accelerator waits for the host; they go by the number of kernels. "
        "The profiler slows short operators most, so small networks look worse than they are."
    ),
    needs="a profiled network",
    select=select,
    finding=finding,
    draw=draw,
    columns=("kind", "precision", "batch", *(f"{label} time" for label in OPERATORS.values()), "calls"),
    cells={
        **{f"{label} time": _share(name) for name, label in OPERATORS.items()},
        "calls": Cell(lambda row: f"{row['calls']:g}", "calls"),
    },
)
