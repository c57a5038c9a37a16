"""Several answers beside each other: what counting promised and what was measured, by network and by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mnv1.base import tables
from mnv1.report import units

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Document = Mapping[str, Any]

HEADER = (
    *("network", "precision", "batch", "promised", "all separable [95 %]", "predicted", "replaced"),
    *("chosen twin [95 %]", "predicted"),
)
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")


def name_of(document: Document) -> str:
    """A network's own name: `vgg16` of `torchvision.models:vgg16`."""
    return str(document["network"]).rpartition(":")[2]


def table(documents: Sequence[Document]) -> str:
    """One row an answer, in Markdown. A prediction is what adding up the layers gives, with how far off it is."""
    rows = []
    for one in documents:
        full, chosen = one["full"], one["chosen"]
        rows.append(
            (
                name_of(one),
                one["precision"],
                one["batch_size"],
                units.ratio(one["original"]["macs"] / full["macs"]),
                _speedup(full),
                _prediction(full),
                f"{len(chosen['replaced']) if chosen else 0} of {len(full['replaced'])}",
                _speedup(chosen) if chosen else "",
                _prediction(chosen) if chosen else "",
            )
        )
    return tables.markdown(HEADER, rows, left=HEADER[:2], padded=False)


def _speedup(side: Document) -> str:
    return units.ratio_interval(side["speedup"], side["speedup_low"], side["speedup_high"])


def _prediction(side: Document) -> str:
    off = side["predicted_time"] / side["measured_time"] - 1
    return f"{units.seconds(side['predicted_time'])} ({100 * off:+.0f} %)"


def draw(documents: Sequence[Document]) -> Figure:
    """A point for each layer, promised against measured; the line is where both agree, and below 1 it is slower."""
    from mnv1.report.plots.style import DARK, GREY, log_axes, new_figure

    figure, (axes,) = new_figure(1, 6.5, 4.5)
    names = list(dict.fromkeys(map(name_of, documents)))
    most = 1.0
    for document in documents:
        layers = document["layers"]
        number = names.index(name_of(document))
        x, y = ([one[name] for one in layers] for name in ("macs_ratio", "speedup"))
        error = [[one["speedup"] - one["low"] for one in layers], [one["high"] - one["speedup"] for one in layers]]
        most = max(most, *x, *y)
        first = document is next(one for one in documents if name_of(one) == names[number])
        axes.errorbar(
            x,
            y,
            yerr=error,
            fmt="o",
            markersize=4,
            elinewidth=1,
            color=COLOURS[number % len(COLOURS)],
            label=names[number] if first else None,
        )
    ends = [0.5, 1.3 * most]
    axes.plot(ends, ends, color=DARK, linewidth=1, label="as promised")
    axes.axhline(1, color=GREY, linewidth=1, linestyle=":")
    log_axes(axes, "fewer operations, as counted (×)", "faster, as measured (×)")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure
