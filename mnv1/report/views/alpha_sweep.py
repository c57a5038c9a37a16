"""Width multiplier: latency and throughput against operations."""

from __future__ import annotations

from mnv1.report.plots.curves import draw_sweep
from mnv1.report.rows import along
from mnv1.report.sentences import sweep
from mnv1.report.view import MODEL_COLUMNS, View

VIEW = View(
    __name__,
    place=100,
    title="Width multiplier: latency and throughput against operations",
    reading=(
        "On the dotted line time is proportional to MACs. Where a curve is flatter, a smaller α saves less time than "
        "counting operations promises. The dashed grey lines are what ShuffleNetV2's authors published for "
        "MobileNetV1 on a GPU and an ARM core of 2018 (arXiv 1807.11164, Table 8), moved to meet the curve at α 1: "
        "only their slope matters. On an accelerator a finely dotted curve is the time in which kernels run; where it "
        "lies below its curve, the device waits for the host."
    ),
    needs="networks of at least two values of alpha",
    select=along("alpha", "resolution"),
    finding=sweep("alpha"),
    draw=draw_sweep("alpha", lambda value: f"α {value:g}"),
    columns=MODEL_COLUMNS,
)
