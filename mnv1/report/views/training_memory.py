"""Peak memory of a training step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mnv1.report import units
from mnv1.report.cells import where_known
from mnv1.report.plots.bars import memory_bars
from mnv1.report.rows import Rows, beside_inference, cases_of, largest_network, ordered
from mnv1.report.sentences import memory
from mnv1.report.view import View
from mnv1.store.columns import TRAINING
from mnv1.store.runs import Results

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def select(results: Results) -> Rows:
    """The largest network's memory in a training step, and in a forward pass where that was measured as well."""
    rows = ordered(largest_network(cases_of(results, "model", TRAINING)))
    return beside_inference(rows, cases_of(results, "model", "latency"), ("peak_memory",))


def draw(rows: Rows) -> Figure:
    """Peak memory of the largest network's step by batch size, with the peak of a forward pass as a mark."""
    return memory_bars(rows, "inference_peak_memory", "a forward pass alone")


VIEW = View(
    __name__,
    place=200,
    title="Peak memory of a training step",
    reading=(
        "Bytes that torch allocates above weights, input and optimizer state at the worst moment of a step: "
        "activations that are kept for the backward pass, and gradients. Process: growth of a fresh process during "
        "that step. The dark mark is the peak of a forward pass alone, where it was measured as well."
    ),
    needs="training steps (--profile training)",
    select=select,
    finding=memory,
    draw=draw,
    columns=("kind", "α", "px", "precision", "batch", "peak memory", "process", "reserved", "in a forward pass"),
    cells={"in a forward pass": where_known("inference_peak_memory", units.bytes_, optional=True)},
)
