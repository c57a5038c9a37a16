"""Writes what is rendered from one table of results: a plot and a table for each view that the run holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from mnv1.report import plots
from mnv1.report.tables import VIEWS, View, csv_table, text_table

FORMATS = ("png", "svg", "pdf")

BEGIN, END = "<!-- rendered: begin -->", "<!-- rendered: end -->"
"""Marks between which `update_readme` writes."""


class RenderError(Exception):
    """Something could not be written; the message is one line for the user."""


@dataclass
class Rendered:
    """What was written, and what was not and why."""

    written: list[Path] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def render(results: pd.DataFrame, out: Path, formats: tuple[str, ...]) -> Rendered:
    """Write every view of the results below `out`: `NAME-DEVICE` as plot, Markdown and CSV, and an overview page.

    `results` is one row a case from comparable runs (`mnv1.results.combine`). Raises `RenderError` when `out` cannot
    be written.
    """
    rendered = Rendered()
    sections = [f"# Results of {results['machine'].iloc[0]}", provenance(results)]
    try:
        out.mkdir(parents=True, exist_ok=True)
        for device, rows in results.groupby("device"):
            for view in VIEWS:
                selected = view.select(rows)
                stem = f"{view.name}-{device}"
                if selected.empty:
                    rendered.left_out.append(f"{stem}: this run has no rows for it (it needs {view.needs})")
                    continue
                figure = plots.plot(view.name, selected, view.title)
                with plots.style():
                    for ending in formats:
                        figure.savefig(out / f"{stem}.{ending}", metadata=_without_date(ending))
                        rendered.written.append(out / f"{stem}.{ending}")
                section = section_text(view, selected, str(device))
                rendered.written.append(_write(out / f"{stem}.md", section + "\n"))
                rendered.written.append(_write(out / f"{stem}.csv", csv_table(selected)))
                sections.append(f"{section}\n\n![{view.title}]({stem}.{formats[0]})")
        rendered.written.append(_write(out / "README.md", "\n\n".join(sections) + "\n"))
    except OSError as error:
        raise RenderError(f"{out}: cannot be written: {error.strerror or error}") from None
    return rendered


def section_text(view: View, rows: pd.DataFrame, device: str) -> str:
    """A view's heading, how to read it, and its table, in Markdown."""
    return f"## {view.title} ({device})\n\n{view.reading}\n\n{text_table(rows, view.columns)}"


def provenance(results: pd.DataFrame) -> str:
    """Where the figures come from: runs, revisions and environment, in one Markdown paragraph."""
    runs = results[["run", "time", "commit"]].drop_duplicates().sort_values("time")
    listed = ", ".join(f"`{row.run}` (revision {row.commit})" for row in runs.itertuples())
    return f"Measured by {listed}; {results['environment'].iloc[0]}."


def update_readme(readme: Path, results: pd.DataFrame, folder: Path) -> None:
    """Rewrite the part of a README between the marks: the verdict's plot and table, by reference to `folder`.

    Raises `RenderError` when the file lacks the marks or cannot be written.
    """
    try:
        text = readme.read_text(encoding="utf8")
        before, rest = text.split(BEGIN)
        _, after = rest.split(END)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else f"it needs the lines {BEGIN} and {END} once"
        raise RenderError(f"{readme}: cannot be updated: {why}") from None
    try:
        _write(readme, f"{before}{BEGIN}\n{readme_part(results, folder)}\n{END}{after}")
    except OSError as error:
        raise RenderError(f"{readme}: cannot be written: {error.strerror}") from None


def readme_part(results: pd.DataFrame, folder: Path) -> str:
    """The README's plot and table; `folder` is where the plots are, relative to the README."""
    by_name = {view.name: view for view in VIEWS}
    parts = []
    for device, rows in results.groupby("device"):
        # A run of before ceilings were measured has no reasons to give.
        headline = by_name["verdict" if by_name["why"].select(rows).empty else "why"]
        parts += [
            f"![{view.title} ({device})]({(folder / f'{view.name}-{device}.svg').as_posix()})"
            for view in (headline, by_name["layer_speedup"])
            if not view.select(rows).empty
        ]
        selected = headline.select(rows)
        if not selected.empty:
            parts.append(text_table(selected, headline.columns))
    return "\n\n".join([*parts, provenance(results)])


def _write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf8")
    return path


def _without_date(ending: str) -> dict[str, None]:
    """Metadata that keeps a plot's file the same as long as its rows are."""
    return {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(ending, {})
