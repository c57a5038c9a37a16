"""Render stored runs into plots, tables and a page: `python scripts/plot_results.py`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mnv1.report.choice import choose, machine_folder, others, published
from mnv1.report.render import FORMATS, RenderError, provenance, render, update_readme
from mnv1.report.summary import summary
from mnv1.results import ResultError, load_results

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
    parser.add_argument(
        "--beside",
        type=Path,
        help="a run of another machine or setting, shown in the page too (default: the published machine)",
    )
    parser.add_argument("--readme", type=Path, help="also update the rendered part of this README")
    parser.add_argument("--summary", action="store_true", help="only print a summary in Markdown, for a CI job's page")
    args = parser.parse_args(argv)

    formats = tuple(args.formats.split(","))
    unknown = sorted(set(formats) - set(FORMATS))
    if unknown:
        parser.error(f"--formats: unknown value {', '.join(map(repr, unknown))}; valid values: {', '.join(FORMATS)}")

    try:
        chosen, complaints = choose(args.runs, args.results)
        for complaint in complaints:
            print(f"error: {complaint}", file=sys.stderr)
        if not chosen:
            return 1
        results = load_results(chosen, others=others(args.results))
        if args.summary:
            print(summary(results, provenance(results)), end="")
            return 1 if complaints else 0
        known = [args.beside] if args.beside else published(args.results, chosen)
        beside = load_results(known) if known else None
        out = args.out or machine_folder(chosen[-1]) / "rendered"
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


if __name__ == "__main__":
    sys.exit(main())
