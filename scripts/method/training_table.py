"""Table of training runs: `python scripts/method/training_table.py FOLDER [FOLDER ...] [--out FILE]`."""

from __future__ import annotations

import argparse
from pathlib import Path

from mnv1.base import console
from mnv1.report.output import tell
from mnv1.training.report import find_training, read_training, training_table


@console.command()
def main(argv: list[str] | None = None) -> int:
    """Command line: Markdown on standard output. Returns 1 when runs cannot be read or are of unlike machines."""
    parser = argparse.ArgumentParser(description="Table of training runs, one row for each setting over its seeds.")
    parser.add_argument("folders", nargs="+", type=Path, help="folders with training runs, at any depth")
    parser.add_argument("--out", type=Path, help="also write it to this file")
    args = parser.parse_args(argv)
    runs = [read_training(run) for folder in args.folders for run in find_training(folder)]
    tell(training_table(runs), args.out)
    return 0


if __name__ == "__main__":
    console.run(main)
