"""Render stored runs into plots, tables and a page: `python scripts/plot_results.py`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mnv1.base import console
from mnv1.claims.report import appendix
from mnv1.report import headline
from mnv1.report.page import Beside
from mnv1.report.render import FORMATS, provenance, render, update_readme
from mnv1.report.summary import summary
from mnv1.store.choice import by_environment, choose, others, places, published
from mnv1.store.documents import PUBLISHED
from mnv1.store.runs import ResultError, load_results
from mnv1.store.shards import lacking

ROOT = Path(__file__).parent.parent


@console.command()
def main(argv: list[str] | None = None) -> int:
    """Command line. Returns 0, 1 when something could not be rendered, 2 for wrong usage."""
    parser = argparse.ArgumentParser(
        description="Render stored runs into plots (one format or several), tables (Markdown, CSV, LaTeX) and one page."
    )
    parser.add_argument(
        "runs",
        nargs="*",
        type=Path,
        help="stored runs: shards of a sweep, or of several machines (default: the newest below --results)",
    )
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
    parser.add_argument(
        "--beside",
        type=Path,
        help="a run of another machine or setting, shown in the page too (default: the published machine)",
    )
    parser.add_argument("--readme", type=Path, help="also update the rendered part of this README")
    parser.add_argument("--summary", action="store_true", help="only print a summary in Markdown, for a CI job's page")
    parser.add_argument("--verbose", action="store_true", help="name every file, and every view that is left out")
    args = parser.parse_args(argv)

    formats = tuple(args.formats.split(","))
    unknown = sorted(set(formats) - set(FORMATS))
    if unknown:
        parser.error(f"--formats: unknown value {', '.join(map(repr, unknown))}; valid values: {', '.join(FORMATS)}")

    chosen, complaints = choose(args.runs, args.results)
    for complaint in complaints:
        print(f"error: {complaint}", file=sys.stderr)
    if not chosen:
        return 1
    here, *elsewhere = by_environment(chosen)
    results = load_results(here, others=others(args.results))
    if args.summary:
        for some in (results, *map(load_results, elsewhere)):
            print(summary(some, provenance(some)), end="")
        return 1 if complaints else 0
    warnings = [one.line for one in lacking(chosen)]
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
    known, title = elsewhere, "Other machines or settings, beside this one"
    if args.beside:
        known, title = [[args.beside], *elsewhere], "Another run"
    elif not elsewhere:
        known, title = [published(args.results, chosen)], "The published machine, beside this one"
    beside = Beside(title, tuple(load_results(some) for some in known if some))
    usual, page_folder = places(here[-1], bool(args.runs), args.results, str(results.cases["machine"].iloc[0]))
    out = args.out or usual
    page = args.page or (args.out or page_folder) / "report.html"
    if any(path.resolve().is_relative_to(ROOT / "results" / PUBLISHED) for path in (out, page)):
        raise ResultError(f"{out}: scripts/publish.py alone writes there; name another folder with --out")
    print(f"rendering {', '.join(map(str, chosen))}\n  into {out} and {page}", flush=True)
    rendered = render(results, out, formats, page, beside, appendix(results), warnings)
    if args.readme:
        update_readme(args.readme, results, Path(out).resolve().relative_to(args.readme.resolve().parent))
    if args.verbose:
        for line in rendered.left_out:
            print(f"left out: {line}")
        for path in rendered.written:
            print(f"wrote {path}")
    elif rendered.left_out:
        print(f"left out: {len(rendered.left_out)} views for which nothing was measured (--verbose names them)")
    print(f"\n{headline.text(results)}\n\nThe page: {page}")
    return 1 if complaints else 0


if __name__ == "__main__":
    console.run(main)
