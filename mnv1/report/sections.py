"""Every view of some results, drawn once: what the files, the overview and the page are written from."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import pandas as pd
from matplotlib.figure import Figure

from mnv1.report import plots
from mnv1.report.cells import Cell, cells_of, text_table
from mnv1.report.view import View
from mnv1.report.views import VIEWS
from mnv1.store.runs import Results


@dataclass(frozen=True)
class Section:
    """One view of what was measured on one device."""

    view: View
    device: str
    rows: pd.DataFrame
    figure: Figure

    @property
    def stem(self) -> str:
        """File name without its ending."""
        return f"{self.view.name}-{self.device}"

    @cached_property
    def finding(self) -> str:
        """What the rows say."""
        return self.view.finding(self.rows)

    @cached_property
    def table(self) -> pd.DataFrame:
        """The rows of the table for people."""
        return self.view.table(self.rows)

    def image(self, ending: str) -> bytes:
        """The plot as a file of this format: the same rows give the same bytes."""
        buffer = io.BytesIO()
        with plots.style():
            self.figure.savefig(buffer, format=ending, metadata=_without_date(ending))
        return buffer.getvalue()

    @cached_property
    def markdown(self) -> str:
        """Heading, how to read it, what it says, and the table."""
        parts = [f"## {self.view.title} ({self.device})", self.view.reading, self.finding]
        return "\n\n".join([*filter(None, parts), text_table(self.table, self.view.columns, self.view.every_cell)])


def sections(results: Results) -> Iterator[Section | str]:
    """Every view of every device; where the results lack its rows, a line that says so."""
    for device in sorted(results.cases["device"].unique()):
        part = results.of_device(device)
        for view in VIEWS:
            rows = view.select(part)
            if rows.empty:
                yield f"{view.name}-{device}: this run has no rows for it (it needs {view.needs})"
            else:
                yield Section(view, str(device), rows, plots.plot(view, rows))


@dataclass(frozen=True)
class HtmlCell:
    """A cell's text, and the number that it is sorted by, empty for none."""

    text: str
    key: str


def html_rows(rows: pd.DataFrame, view: View) -> tuple[tuple[str, ...], list[list[HtmlCell]]]:
    """Headers and cells of a view's table, which a page sorts."""
    cells = view.every_cell
    shown, written = cells_of(rows, view.columns, cells)
    table = []
    for (_, row), texts in zip(rows.iterrows(), written, strict=True):
        table.append([HtmlCell(text, _key(row, cells[column])) for column, text in zip(shown, texts, strict=True)])
    return shown, table


def _key(row: pd.Series, cell: Cell) -> str:
    value = row.get(cell.key) if cell.key else None
    return "" if value is None or isinstance(value, str) or pd.isna(value) else repr(float(value))


def _without_date(ending: str) -> dict[str, None]:
    """Metadata that keeps a plot's file the same as long as its rows are."""
    return {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(ending, {})
