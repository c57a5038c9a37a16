"""What a stored run says of causes: `python scripts/method/causes.py RUN --out FOLDER` writes the views of what ran."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from mnv1.base import console
from mnv1.base.errors import UserError
from mnv1.base.files import write_whole
from mnv1.report import plots
from mnv1.report.cells import text_table
from mnv1.report.sections import Section
from mnv1.report.views import BY_NAME
from mnv1.store.runs import Results, load_results

NAMES = ("why", "causes", "gains", "kernels", "layer_speedup")
"""Views of what ran, and of what follows from it."""


def _sections(results: Results) -> Iterator[Section]:
    for device in sorted(results.cases["device"].unique()):
        part = results.of_device(device)
        for view in map(BY_NAME.__getitem__, NAMES):
            rows = view.select(part)
            if not rows.empty:
                yield Section(view, str(device), rows, plots.plot(view, rows))


@console.command()
def main(argv: Sequence[str] | None = None) -> int:
    """Command line. Returns 1 for a run in which nothing was traced."""
    parser = argparse.ArgumentParser(description="What a stored run says of causes.")
    parser.add_argument("run", type=Path, metavar="RUN", help="a stored run")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where tables and plots go")
    args = parser.parse_args(argv)
    results = load_results([args.run])
    if results.kernels.empty:
        raise UserError(f"{args.run}: nothing was traced in this run; measure with this version")
    for section in _sections(results):
        table = text_table(section.table, section.view.columns, section.view.every_cell)
        text = "\n\n".join(filter(None, [section.finding, table]))
        for ending, content in (("md", f"{text}\n".encode()), ("svg", section.image("svg"))):
            write_whole(args.out / f"{section.stem}.{ending}", lambda file, held=content: file.write(held))  # type: ignore[misc]
    return 0


if __name__ == "__main__":
    console.run(main)
