"""Peak memory of a call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mnv1.report.plots.bars import memory_bars
from mnv1.report.rows import Rows, cases_of, largest_network, ordered
from mnv1.report.sentences import memory
from mnv1.report.view import View
from mnv1.store.runs import Results

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def select(results: Results) -> Rows:
    """The largest network's memory."""
    return ordered(largest_network(cases_of(results, "model", "latency")))


def draw(rows: Rows) -> Figure:
    """Peak memory of the largest network by batch size, with the floor as a mark."""
    return memory_bars(rows, "memory_floor", "floor")


VIEW = View(
    __name__,
    place=170,
    title="Peak memory of a call",
    reading=(
        "Bytes that torch allocates above weights and input at the worst moment of a forward pass. Process: growth of "
        "a fresh process during that pass, libraries' scratch memory included. Floor (dark mark): the largest layer's "
        "input and output, which any evaluation layer by layer needs."
    ),
    needs="a network",
    select=select,
    finding=memory,
    draw=draw,
    columns=("kind", "α", "px", "precision", "batch", "peak memory", "process", "reserved", "floor"),
)
