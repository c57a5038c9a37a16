"""Writes what is rendered from results: plots, tables, an overview, and the page."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from mnv1.base.errors import UserError
from mnv1.report import units
from mnv1.report.cells import csv_table, latex_table, text_table
from mnv1.report.page import Appendix, Beside, page
from mnv1.report.plots import without_title
from mnv1.report.sections import Section, sections
from mnv1.report.summary import machine_note
from mnv1.report.views import BY_NAME
from mnv1.store.runs import Results

FORMATS = ("png", "svg", "pdf")

BEGIN, END = "<!-- rendered: begin -->", "<!-- rendered: end -->"
"""Marks between which `update_readme` writes."""


class RenderError(UserError):
    """Something could not be written."""


@dataclass
class Rendered:
    """What was written, and what was not and why."""

    written: list[Path] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def render(
    results: Results,
    out: Path,
    formats: Iterable[str],
    report: Path | None = None,
    beside: Beside | None = None,
    appendix: Appendix | None = None,
    warnings: Sequence[str] = (),
) -> Rendered:
    """Write every view of the results below `out`: `NAME-DEVICE` as plot, Markdown, CSV and LaTeX, and an overview.

    `report` is where the page goes, if anywhere; it shows what is `beside`, an `appendix` and `warnings`, too.
    Raises `RenderError` when something cannot be written.
    """
    formats = tuple(formats)
    rendered = Rendered()
    drawn: list[Section] = []
    images: dict[str, bytes] = {}
    at = out
    try:
        out.mkdir(parents=True, exist_ok=True)
        for section in sections(results):
            if isinstance(section, str):
                rendered.left_out.append(section)
                continue
            drawn.append(section)
            for ending in dict.fromkeys((*formats, *(["svg"] if report else []))):
                image = section.image(ending)
                if report and ending == "svg":
                    images[section.stem] = without_title(section.figure, image)
                if ending in formats:
                    rendered.written.append(_write(out / f"{section.stem}.{ending}", image))
            tex = latex_table(section.table, section.view.columns, section.view.every_cell)
            rendered.written += [
                _write(out / f"{section.stem}.md", section.markdown + "\n"),
                _write(out / f"{section.stem}.csv", csv_table(section.rows)),
                _write(
                    out / f"{section.stem}.tex",
                    tex + "\n",
                ),
            ]
        rendered.written.append(_write(out / "README.md", overview(results, drawn, formats[0])))
        if report:
            at = report
            links = Path(os.path.relpath(out, report.parent)).as_posix()
            about = provenance(results).replace("`", "")
            html = page(results, drawn, about, images, links, beside, appendix, warnings)
            report.parent.mkdir(parents=True, exist_ok=True)
            rendered.written.append(_write(report, html))
    except OSError as error:
        raise RenderError(f"{at}: cannot be written: {error.strerror or error}") from None
    return rendered


def overview(results: Results, drawn: Iterable[Section], ending: str) -> str:
    """All sections in one Markdown page, with their plots by reference."""
    parts = [f"# Results of {results.cases['machine'].iloc[0]}", provenance(results), machine_note(results)]
    parts += [f"{section.markdown}\n\n![{section.view.title}]({section.stem}.{ending})" for section in drawn]
    return "\n\n".join(filter(None, parts)) + "\n"


def provenance(results: Results) -> str:
    """Where the figures come from: runs, revisions and environment, in one Markdown paragraph."""
    runs = results.cases[["run", "time", "commit"]].drop_duplicates().sort_values("time")
    listed = ", ".join(f"`{row.run}` (revision {row.commit})" for row in runs.itertuples())
    return f"Measured by {listed}; {results.cases['environment'].iloc[0]}."


def update_readme(readme: Path, results: Results, folder: Path) -> None:
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


def readme_part(results: Results, folder: Path) -> str:
    """The README's sentences, table and picture for each device; `folder` is where plots are, relative to the README.

    In short: everything else that was rendered is what README links to.
    """
    columns = ("precision", "batch", "standard", "separable", "MAC ratio", "measured speedup [95 %]")
    parts = []
    for device in sorted(results.cases["device"].unique()):
        part = results.of_device(device)
        rows = BY_NAME["verdict"].select(part)
        training = BY_NAME["training_speedup"].select(part)
        sentences = [
            _in_short("MobileNetV1", rows, "its standard-convolution twin"),
            _in_short("A training step of MobileNetV1", training, "a step of its twin"),
        ]
        parts.append(" ".join(filter(None, sentences)))
        parts += [] if rows.empty else [text_table(rows, columns)]
        why = BY_NAME["why"]
        if not why.select(part).empty:
            parts.append(f"![{why.title} ({device})]({(folder / f'{why.name}-{device}.svg').as_posix()})")
    return "\n\n".join(filter(None, [*parts, machine_note(results), provenance(results)]))


def _in_short(subject: str, rows: pd.DataFrame, twin: str) -> str:
    """The largest network among speedups in one sentence: counted, and the range that was measured."""
    if rows.empty:
        return ""
    first = rows.iloc[0]
    speedups = rows[rows["shape"] == first["shape"]]["speedup"]
    measured = " to ".join(dict.fromkeys(map(units.ratio, (speedups.min(), speedups.max()))))
    return (
        f"{subject} (α {first['alpha']:g}, {first['resolution']:g} px) needs {units.ratio(first['macs_ratio'])} fewer "
        f"multiply-accumulates than {twin}, and runs {measured} as fast."
    )


def _write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode("utf8") if isinstance(content, str) else content)
    return path
