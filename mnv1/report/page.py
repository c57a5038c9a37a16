"""The report as one page that needs nothing else: no network, no other file."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from mnv1.report.headline import NO_PAIR, headlines
from mnv1.report.sections import HtmlCell, Section, html_rows
from mnv1.report.summary import machine_note
from mnv1.report.views import BY_NAME
from mnv1.store.runs import Results


@dataclass(frozen=True)
class Beside:
    """Other runs that a page shows, those of each machine or setting by itself, and the title over them."""

    title: str
    results: tuple[Results, ...]


@dataclass(frozen=True)
class Appendix:
    """A section below the views that is made of something else than rows of results, such as judged claims."""

    id: str
    title: str
    sentence: str
    reading: str
    header: tuple[str, ...]
    groups: Sequence[tuple[str, Sequence[Sequence[HtmlCell]]]]
    """Names and rows of its tables."""


@dataclass(frozen=True)
class EnvironmentRow:
    """One fact about the machine; with other runs beside it, their facts too, and whether any differs."""

    name: str
    here: str
    there: tuple[str, ...]
    differs: bool


def page(
    results: Results,
    sections: Sequence[Section],
    provenance: str,
    images: Mapping[str, bytes],
    links: str,
    beside: Beside | None = None,
    appendix: Appendix | None = None,
    warnings: Sequence[str] = (),
) -> str:
    """The page's HTML; everything that comes from stored runs is escaped.

    `images` are the sections' SVGs without titles, by stem; `links` is where the CSV files are, seen from the page.
    """
    others = beside.results if beside else ()
    templates = Environment(
        loader=PackageLoader("mnv1.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return templates.get_template("page.html.j2").render(
        machine=results.cases["machine"].iloc[0],
        there=[_name(one) for one in others],
        beside_title=beside.title if beside else None,
        here=_name(results),
        provenance=provenance,
        note=machine_note(results),
        warnings=warnings,
        headlines=headlines(results),
        nothing=NO_PAIR,
        sections=[(section, *html_rows(section.table, section.view)) for section in sections],
        image=lambda section: _data_uri(images[section.stem]),
        links=links,
        appendix=appendix,
        environment=environment_rows(results.environment, [one.environment for one in others]),
        beside=_speedups((results, *others)) if others else [],
        css=_asset("page.css"),
        script=_asset("page.js"),
    )


def environment_rows(here: Mapping[str, object], there: Sequence[Mapping[str, object]] = ()) -> list[EnvironmentRow]:
    """What is known of one machine or several, by name; what only one run knows differs too."""
    rows = []
    for name in dict.fromkeys(name for one in (here, *there) for name in one):
        mine, *others = (_text(one.get(name, "")) for one in (here, *there))
        rows.append(EnvironmentRow(name, mine, tuple(others), any(other != mine for other in others)))
    return rows


def _speedups(several: Sequence[Results]) -> list[tuple[str, tuple[str, ...], list[list[HtmlCell]]]]:
    """The verdict of each of several runs: side by side, never divided by each other."""
    tables = []
    for results in several:
        for device in sorted(results.cases["device"].unique()):
            view = BY_NAME["verdict"]
            rows = view.select(results.of_device(device))
            if not rows.empty:
                tables.append((f"{_name(results)}, {device}", *html_rows(rows, view)))
    return tables


def _name(results: Results) -> str:
    newest = results.cases.sort_values("time").iloc[-1]
    return f"{newest['machine']} ({newest['time']:%Y-%m-%d %H:%M})"


def _text(value: object) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _data_uri(svg: bytes) -> Markup:
    return Markup("data:image/svg+xml;base64,") + base64.b64encode(svg).decode("ascii")


@cache
def _asset(name: str) -> Markup:
    """A stylesheet or script of this package, which goes into the page as it is."""
    return Markup((files("mnv1.report") / "templates" / name).read_text(encoding="utf8"))
