"""How much faster is MobileNetV1 than its standard-convolution twin?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from mnv1.report import units
from mnv1.report.plots.bars import speedup_bars
from mnv1.report.plots.style import batch, new_figure, with_legend
from mnv1.report.rows import Rows, verdict
from mnv1.report.sentences import LIMITS, faster_or_slower, several, span
from mnv1.report.view import SAMPLING, View

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def finding(rows: Rows) -> str:
    """Theory in a paragraph, then ideal, measurement and what limits it in one for each precision."""
    first = rows.iloc[0]
    paragraphs = [
        f"MobileNetV1 (α {first['alpha']:g}, {first['resolution']:g} px) needs {units.ratio(first['macs_ratio'])} "
        "fewer multiply-accumulates than its standard-convolution twin."
    ]
    for precision, group in rows.groupby("precision", sort=False):
        sentence = f"In {precision} it is {faster_or_slower(group)}."
        ideals = group["ideal_folded"].dropna() if "ideal_folded" in group else pd.Series(dtype=float)
        if not ideals.empty:
            span = " to ".join(dict.fromkeys(map(units.ratio, (ideals.min(), ideals.max()))))
            sentence += f" This machine's ceilings would allow {span}."
        paragraphs.append(sentence + _elsewhere(group) + _limits(group) + _advice(group))
    return "\n\n".join(paragraphs)


def _elsewhere(rows: Rows) -> str:
    """The same of the machine's other state, where that was met for long enough."""
    known = rows[rows["other_speedup"].notna()] if "other_speedup" in rows else rows.iloc[:0]
    sentences = []
    for state, group in known.groupby("other_state", sort=False):
        there = group.assign(**{name: group[f"other_{name}"] for name in ("speedup", "speedup_low", "speedup_high")})
        sentences.append(f" While the machine's state is “{state}”, it is {faster_or_slower(there)}.")
    return "".join(sentences)


def _limits(rows: Rows) -> str:
    known = rows[rows["limited_by"].notna()] if "limited_by" in rows else rows.iloc[:0]
    if known.empty:
        return ""
    parts = []
    for cause, group in known.groupby("limited_by", sort=False):
        share = group.get(f"cause_{cause}")
        batches = several([f"{size:g}" for size in group["batch_size"]])
        how_much = "" if share is None else f": {span(share)} of the time beyond theory"
        parts.append(f"{LIMITS[str(cause)]} (batch {batches}{how_much})")
    return f" {_sentence('; '.join(parts))}"


def _advice(rows: Rows) -> str:
    """What helps, at the batch size at which it helps most."""
    known = rows[rows["best_gain"].notna()].sort_values("best_gain")
    return f" {known['advice'].iloc[-1]}" if not known.empty else ""


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."


def draw(rows: Rows) -> Figure:
    """Speedups of the largest network by batch size and precision, below the ratio of MACs."""
    from matplotlib.patches import Rectangle

    figure, (axes,) = new_figure(1, 7, 3.2)
    speedup_bars(axes, rows.assign(place=[batch(size) for size in rows["batch_size"]]))
    for bar in (patch for patch in axes.patches if isinstance(patch, Rectangle)):
        # At the foot of each bar, where no whisker crosses it.
        box = {"facecolor": bar.get_facecolor(), "edgecolor": "none", "pad": 1.5}
        middle, text = bar.get_x() + bar.get_width() / 2, units.ratio(bar.get_height())
        axes.text(middle, 0.15, text, ha="center", va="bottom", color="white", weight="bold", bbox=box)
    axes.set_ylabel("speedup, standard / separable (×)")
    return with_legend(figure, axes)


VIEW = View(
    __name__,
    place=10,
    title="How much faster is MobileNetV1 than its standard-convolution twin?",
    reading=(
        "Standard and separable run in alternating blocks in one process, in many short visits spread over the sweep. "
        "The speedup is a geometric mean over rounds, with a 95 % interval over the visits; the times are means of "
        "the same rounds. The MAC ratio is what counting operations promises. The ideal is how much of it this machine "
        "allows: the speedup if every kernel reached the ceilings measured with this run."
    ),
    needs="a standard/separable pair of a network",
    select=verdict,
    finding=finding,
    draw=draw,
    columns=(
        *("precision", "batch", "standard", "separable", "MAC ratio", "ideal, BN folded"),
        *("measured speedup [95 %]", "limited by", *SAMPLING),
    ),
    narrow=("precision", "batch", "standard", "separable", "speedup [95 %]", "limited by"),
)
