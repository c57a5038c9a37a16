"""Resolution: latency and throughput against operations."""

from __future__ import annotations

from mnv1.report.plots.curves import draw_sweep
from mnv1.report.rows import along
from mnv1.report.sentences import sweep
from mnv1.report.view import MODEL_COLUMNS, View

VIEW = View(
    __name__,
    place=110,
    title="Resolution: latency and throughput against operations",
    reading=(
        "On the dotted line time is proportional to MACs, which grow with the square of the input side. On an "
        "accelerator a finely dotted curve is the time in which kernels run; where it lies below its curve, the device "
        "waits for the host."
    ),
    needs="networks of at least two resolutions",
    select=along("resolution", "alpha"),
    finding=sweep("resolution"),
    draw=draw_sweep("resolution", lambda value: f"{value:g} px"),
    columns=MODEL_COLUMNS,
)
