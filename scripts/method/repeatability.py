"""How well speedups repeat over stored runs: `python scripts/method/repeatability.py RUN RUN [RUN ...]`.

To measure it, store the same sweep several times on an otherwise idle machine, each in a process of its own:
`for i in 1 2 3 4 5 6; do pytest benchmarks --benchmark-autosave; done`
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mnv1.base import console
from mnv1.measure.estimates import with_speedups_again
from mnv1.report.output import tell
from mnv1.report.repeatability import case_table, repeatability, summary, time_table
from mnv1.store.runs import load, load_times


@console.command()
def main(argv: list[str] | None = None) -> int:
    """Command line: Markdown on standard output. Returns 1 when the runs cannot be compared."""
    parser = argparse.ArgumentParser(description="Table of how well speedups repeat over several stored runs.")
    parser.add_argument("runs", nargs="+", type=Path, help="stored runs of one machine, two or more")
    parser.add_argument("--out", type=Path, help="also write it to this file")
    args = parser.parse_args(argv)
    table = repeatability(with_speedups_again(load(args.runs), args.runs))
    times = time_table(load_times(args.runs))
    tell(f"{summary(table)}\n\n{case_table(table)}\n\n{times}", args.out)
    return 0


if __name__ == "__main__":
    console.run(main)
