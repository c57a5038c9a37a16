"""Render stored runs into plots, tables and a page: `python scripts/plot_results.py`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from mnv1 import console
from mnv1.columns import TRAINING, TRAINING_SPEEDUP
from mnv1.report.render import FORMATS, RenderError, provenance, render, update_readme
from mnv1.report.summary import summary
from mnv1.results import ResultError, find_runs, load, load_results

ROOT = Path(__file__).parent.parent


def main(argv: list[str] | None = None) -> int:
    """Command line. Returns 0, 1 when something could not be rendered, 2 for wrong usage."""
    parser = argparse.ArgumentParser(
        description="Render stored runs into plots (one format or several), tables (Markdown, CSV, LaTeX) and one page."
    )
    parser.add_argument("runs", nargs="*", type=Path, help="stored runs (default: the newest below --results)")
    parser.add_argument("--results", type=Path, default=ROOT / "results", help="where runs are stored")
    parser.add_argument("--out", type=Path, help="where to write (default: rendered/ beside the machine's runs)")
    parser.add_argument("--formats", default="svg", help=f"comma-separated: {', '.join(FORMATS)} (default: svg)")
    parser.add_argument("--page", type=Path, help="the page (default: report.html in --out, or else in --results)")
    parser.add_argument("--beside", type=Path, help="a run of another machine or setting, shown in the page too")
    parser.add_argument("--readme", type=Path, help="also update the rendered part of this README")
    parser.add_argument("--summary", action="store_true", help="only print a summary in Markdown, for a CI job's page")
    args = parser.parse_args(argv)

    formats = tuple(args.formats.split(","))
    unknown = sorted(set(formats) - set(FORMATS))
    if unknown:
        parser.error(f"--formats: unknown value {', '.join(map(repr, unknown))}; valid values: {', '.join(FORMATS)}")

    try:
        chosen, complaints = _choose(args.runs, args.results)
        for complaint in complaints:
            print(f"error: {complaint}", file=sys.stderr)
        if not chosen:
            return 1
        results = load_results(chosen, others=_others(args.results))
        if args.summary:
            print(summary(results, provenance(results)), end="")
            return 1 if complaints else 0
        beside = load_results([args.beside]) if args.beside else None
        out = args.out or _beside(chosen[-1])
        page = args.page or (args.out or out.parent.parent) / "report.html"
        rendered = render(results, out, formats, page, beside)
        if args.readme:
            update_readme(args.readme, results, Path(out).resolve().relative_to(args.readme.resolve().parent))
    except (ResultError, RenderError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for line in rendered.left_out:
        print(f"left out: {line}")
    print(f"rendered {', '.join(map(str, chosen))}")
    for path in rendered.written:
        print(f"wrote {path}")
    return 1 if complaints else 0


def _choose(given: Sequence[Path], results: Path) -> tuple[list[Path], list[str]]:
    """The runs to render, and a line for each that cannot be used: those given, or the newest by their own dates.

    Inference and training have profiles of their own. Where the newest run has one alone, the newest of its environment
    that has the other belongs to it.
    """
    tables: dict[Path, pd.DataFrame] = {}
    complaints = []
    for path in given or find_runs(results):
        try:
            tables[path] = load([path])
        except ResultError as error:
            complaints.append(str(error))
    if given or not tables:
        return list(tables), complaints
    ranked = sorted(tables, key=lambda path: tables[path]["time"].iloc[0], reverse=True)
    here = tables[ranked[0]]["environment"].iloc[0]
    alike = [path for path in ranked if tables[path]["environment"].iloc[0] == here]
    newest = (next((path for path in alike if _trains(tables[path]).eq(one).any()), None) for one in (False, True))
    return sorted({ranked[0], *filter(None, newest)}, key=ranked.index, reverse=True), complaints


def _trains(cases: pd.DataFrame) -> pd.Series:
    """Which cases are training steps."""
    return cases["measures"].isin((TRAINING, TRAINING_SPEEDUP))


def _others(results: Path) -> list[Path]:
    """Every stored run, for the history."""
    try:
        return find_runs(results)
    except ResultError:
        return []


def _beside(run: Path) -> Path:
    """`rendered/` in the machine's folder: pytest-benchmark keeps a folder for each Python below it."""
    folder = run.resolve().parent
    return (folder.parent if "CPython" in folder.name or "PyPy" in folder.name else folder) / "rendered"


if __name__ == "__main__":
    console.run(main)
