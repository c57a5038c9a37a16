"""What a view is: one question about the results, answered with a plot, a table, and a sentence on what they say.

A view is a pure function of the results; its plot draws the same rows that its table shows. Views are found in the
folder `views/`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mnv1.report.cells import CELLS, Cell
from mnv1.report.rows import Rows, Select

if TYPE_CHECKING:
    from matplotlib.figure import Figure  # loaded by what draws, not by what only counts or tells


def _nothing(_: Rows) -> str:
    return ""


def _same(rows: Rows) -> Rows:
    return rows


@dataclass(frozen=True)
class View:
    """One question, the rows that answer it, and how a table shows them."""

    module: str
    """`__name__` of the module that it is in, which names the view and its files."""
    place: int
    """Where it stands on the page: after all views of a smaller number."""
    title: str
    reading: str
    """How to read it, in a sentence or two."""
    needs: str
    """What a run must hold for this view."""
    select: Select
    """The rows, in order; empty when the run lacks them."""
    draw: Callable[[Rows], Figure]
    """The plot of the rows, which are not empty."""
    columns: tuple[str, ...]
    """Columns of the table for people, by their names in `CELLS` and `cells`."""
    finding: Callable[[Rows], str] = _nothing
    """What the rows say."""
    table: Callable[[Rows], Rows] = _same
    """The rows of the table for people, where they are a summary of the others."""
    narrow: tuple[str, ...] = ()
    """Columns of the table in a terminal of 80 characters, where it is shown there."""
    cells: Mapping[str, Cell] = field(default_factory=dict)
    """Columns that no other view has."""

    @property
    def name(self) -> str:
        """File name without its ending."""
        return self.module.rpartition(".")[2]

    @property
    def every_cell(self) -> Mapping[str, Cell]:
        """The columns that all views have, and its own."""
        return {**CELLS, **self.cells}


SAMPLING = ("in another state", "visits", "rounds", "stopped", "note")
MODEL_COLUMNS = (
    *("kind", "α", "px", "precision", "batch", "MACs", "latency", "kernels", "p90", "p99", "images/s", "mJ/image"),
    *("rounds", "stopped", "note"),
)
