"""Render stored runs into plots, tables and a page: `python scripts/plot_results.py`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from mnv1 import console
from mnv1.columns import TRAINING, TRAINING_SPEEDUP
from mnv1.report import headline
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
    parser.add_argument(
        "--out",
        type=Path,
        help="where to write (default: rendered/ beside a run that is named, or the machine's runs in --results)",
    )
    parser.add_argument("--formats", default="svg", help=f"comma-separated: {', '.join(FORMATS)} (default: svg)")
    parser.add_argument(
        "--page", type=Path, help="the page (default: report.html in --out, beside a named run, or in --results)"
    )
    parser.add_argument("--beside", type=Path, help="a run of another machine or setting, shown in the page too")
    parser.add_argument("--readme", type=Path, help="also update the rendered part of this README")
    parser.add_argument("--summary", action="store_true", help="only print a summary in Markdown, for a CI job's page")
    parser.add_argument("--verbose", action="store_true", help="name every file, and every view that is left out")
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
        out, page = _places(args, chosen[-1], str(results.cases["machine"].iloc[0]))
        print(f"rendering {', '.join(map(str, chosen))}\n  into {out} and {page}", flush=True)
        rendered = render(results, out, formats, page, beside)
        if args.readme:
            update_readme(args.readme, results, Path(out).resolve().relative_to(args.readme.resolve().parent))
    except (ResultError, RenderError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if args.verbose:
        for line in rendered.left_out:
            print(f"left out: {line}")
        for path in rendered.written:
            print(f"wrote {path}")
    elif rendered.left_out:
        print(f"left out: {len(rendered.left_out)} views for which nothing was measured (--verbose names them)")
    print(f"\n{headline.text(results)}\n\nThe page: {page}")
    return 1 if complaints else 0


def _places(args: argparse.Namespace, run: Path, machine: str) -> tuple[Path, Path]:
    """The folder and the page to write, as the options say or where a reader of this run will look.

    A run below a folder of its machine's name is in the suite's storage: what is rendered of it goes there, too. Of
    any other run that was named nothing is written above its own folder.
    """
    out, page = _beside(run), args.results
    if args.runs and (out.parent.name != machine or run.resolve().parent == out.parent):
        out = run.resolve().parent / "rendered"
        page = out.parent
    elif args.runs:
        page = out.parent.parent
    return args.out or out, args.page or (args.out or page) / "report.html"


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
