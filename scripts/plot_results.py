"""Render stored runs into plots and tables: `python scripts/plot_results.py`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mnv1.report.render import FORMATS, RenderError, render, update_readme
from mnv1.results import ResultError, combine, find_runs, load

ROOT = Path(__file__).parent.parent


def main(argv: list[str] | None = None) -> int:
    """Command line. Returns 0, 1 when something could not be rendered, 2 for wrong usage."""
    parser = argparse.ArgumentParser(description="Render stored runs into plots (one format or several) and tables.")
    parser.add_argument("runs", nargs="*", type=Path, help="stored runs (default: the newest one below --results)")
    parser.add_argument("--results", type=Path, default=ROOT / "results", help="where runs are stored")
    parser.add_argument("--out", type=Path, help="where to write (default: rendered/ beside the machine's runs)")
    parser.add_argument("--formats", default="svg", help=f"comma-separated: {', '.join(FORMATS)} (default: svg)")
    parser.add_argument("--readme", type=Path, help="also update the rendered part of this README")
    args = parser.parse_args(argv)

    formats = tuple(args.formats.split(","))
    unknown = sorted(set(formats) - set(FORMATS))
    if unknown:
        parser.error(f"--formats: unknown value {', '.join(map(repr, unknown))}; valid values: {', '.join(FORMATS)}")

    try:
        paths = args.runs or find_runs(args.results)
        tables, complaints = [], []
        for path in paths:
            try:
                tables.append((path, load([path])))
            except ResultError as error:
                complaints.append(str(error))
                print(f"error: {error}", file=sys.stderr)
        if not tables:
            return 1
        if not args.runs:  # the newest by its own date, not by the file system's
            tables = [max(tables, key=lambda run: run[1]["time"].iloc[0])]
        results = combine([table for _, table in tables])
        out = args.out or _beside(tables[-1][0])
        rendered = render(results, out, formats)
        if args.readme:
            update_readme(args.readme, results, Path(out).resolve().relative_to(args.readme.resolve().parent))
    except (ResultError, RenderError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for line in rendered.left_out:
        print(f"left out: {line}")
    print(f"rendered {', '.join(str(path) for path, _ in tables)}")
    for path in rendered.written:
        print(f"wrote {path}")
    return 1 if complaints else 0


def _beside(run: Path) -> Path:
    """`rendered/` in the machine's folder: pytest-benchmark keeps a folder for each Python below it."""
    folder = run.resolve().parent
    return (folder.parent if "CPython" in folder.name or "PyPy" in folder.name else folder) / "rendered"


if __name__ == "__main__":
    sys.exit(main())
