"""Tables of compressed networks: `python scripts/method/compression_table.py FOLDER [FOLDER ...] [--out FILE]`."""

from __future__ import annotations

import argparse
from pathlib import Path

from mnv1.base import console
from mnv1.compression.report import against_table, compression_table, find_compressed, read_compressed
from mnv1.report.output import tell


@console.command()
def main(argv: list[str] | None = None) -> int:
    """Command line: Markdown on standard output. Returns 1 when results cannot be read or are of unlike machines."""
    parser = argparse.ArgumentParser(description="Tables of the networks that scripts/compress.py made.")
    parser.add_argument("folders", nargs="+", type=Path, help="folders with results, at any depth")
    parser.add_argument("--out", type=Path, help="also write it to this file")
    args = parser.parse_args(argv)
    results = [read_compressed(path) for folder in args.folders for path in find_compressed(folder)]
    text = "\n\n".join(filter(None, (compression_table(results), against_table(results))))
    tell(text, args.out)
    return 0


if __name__ == "__main__":
    console.run(main)
