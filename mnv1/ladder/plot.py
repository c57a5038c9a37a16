"""The ladder: every way to run a network, the fastest on top, the network and its twin side by side."""

from __future__ import annotations

from matplotlib.figure import Figure

from mnv1.ladder.rungs import BASELINE
from mnv1.report.plots.modes import bar_panels, with_every_label
from mnv1.report.plots.style import GREY, with_legend
from mnv1.report.rows import Rows


def ladder(rows: Rows) -> Figure:
    """A panel for each network with more than one rung; in each a bar for every way, its latency behind its whisker.

    The dashed line is timm's MobileNetV1 in eager fp32, where it was measured.
    """
    counts = rows["kind"].value_counts()
    kinds = [kind for kind in dict.fromkeys(rows["kind"]) if counts[kind] > 1 and kind != BASELINE] or [rows["kind"][0]]
    kinds.sort(key=lambda kind: -counts[kind])
    figure, panels = bar_panels([(str(kind), rows[rows["kind"] == kind]) for kind in kinds])
    timm = rows[(rows["kind"] == BASELINE) & (rows["mode"] == "eager") & (rows["precision"] == "fp32")]
    for axes in panels:
        axes.set_xlabel("latency (ms a call), and speedup over eager fp32")
        for state, style in (("controlled", "--"), ("as-is", ":")):
            for value in timm[timm["state"] == state]["latency"]:
                end = ", allocator as it comes" if state == "as-is" else ""
                axes.axvline(1e3 * value, color=GREY, linestyle=style, linewidth=1, label=f"timm, eager fp32{end}")
    return with_legend(figure, with_every_label(panels), 4)
