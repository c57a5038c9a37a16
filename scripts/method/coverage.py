"""Whether intervals hold for the next run: `python scripts/method/coverage.py RUN RUN RUN [RUN ...]`.

To measure it, store the same sweep several times on an otherwise idle machine:
`for i in 1 2 3 4 5 6 7 8; do pytest benchmarks --benchmark-autosave; done`
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mnv1.base import console
from mnv1.report.coverage import FEWEST_RUNS, coverage, coverage_table
from mnv1.report.output import tell
from mnv1.store.figures import load_figures
from mnv1.store.runs import ResultError, load


@console.command()
def main(argv: list[str] | None = None) -> int:
    """Command line: Markdown on standard output. Returns 1 when the runs cannot be compared."""
    parser = argparse.ArgumentParser(
        description="CV between runs, and share of intervals that hold the mean of the other runs, by kind and state."
    )
    parser.add_argument("runs", nargs="+", type=Path, help=f"stored runs of one machine, {FEWEST_RUNS} or more")
    parser.add_argument("--fewest", type=int, default=FEWEST_RUNS, help="runs that must have a figure (%(default)s)")
    parser.add_argument("--out", type=Path, help="also write it to this file")
    args = parser.parse_args(argv)
    if load(args.runs)["environment"].nunique() > 1:
        raise ResultError("these runs come from unlike environments: reproducibility is a matter of one")
    tell(coverage_table(coverage(load_figures(args.runs), args.fewest)), args.out)
    return 0


if __name__ == "__main__":
    console.run(main)
