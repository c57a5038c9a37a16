"""Plots of training steps that were measured: how much faster, where their time goes, what memory they take."""

from __future__ import annotations

from matplotlib.figure import Figure

from mnv1.report import units
from mnv1.report.plots.bars import centres, memory_bars, speedup_bars, stacked
from mnv1.report.plots.style import DARK, Rows, batch, network_labels, new_figure, panels_of, whiskers, with_legend
from mnv1.store.columns import PHASES


def training_speedup(rows: Rows) -> Figure:
    """Speedups of training steps, a panel for each batch size, with the speedups of a forward pass as diamonds."""
    panels = panels_of(rows.sort_values("batch_size", kind="stable"), ["batch_size"])
    figure, all_axes = new_figure(len(panels), 8, 2.6)
    marked = 0
    for number, (axes, ((size,), group)) in enumerate(zip(all_axes, panels, strict=True)):
        group = group.assign(place=network_labels(group))
        speedup_bars(axes, group, slots=rows["shape"].nunique())
        known = group["inference_speedup"].notna()
        if known.any():
            marked = number
            inference = group[known]
            axes.errorbar(
                centres(group, "place", "precision")[known],
                inference["inference_speedup"],
                yerr=whiskers(inference, "inference_speedup", "inference_speedup_low", "inference_speedup_high"),
                fmt="D",
                color=DARK,
                markerfacecolor="white",
                markersize=5,
                capsize=2,
                elinewidth=1,
                label="a forward pass alone",
            )
            axes.set_ylim(0, max(axes.get_ylim()[1], 1.1 * inference["inference_speedup_high"].max()))
        axes.set_title(batch(size), loc="left")
        axes.set_ylabel("speedup of a step (×)")
    return with_legend(figure, all_axes[marked])


def training_steps(rows: Rows) -> Figure:
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


def training_memory(rows: Rows) -> Figure:
    """Peak memory of the largest network's step by batch size, with the peak of a forward pass as a mark."""
    return memory_bars(rows, "inference_peak_memory", "a forward pass alone")
