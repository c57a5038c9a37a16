"""Where the stored runs of a machine change: `python scripts/track_history.py`.

It nominates changes and says which comparison would confirm each. Exit status: 0 also when something is nominated, 1
only with --fail-on-change; 2 for wrong usage or a run that cannot be read, 3 for too few runs to say anything.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from mnv1.base import console
from mnv1.regression.history.changes import Change, Rules, nominate
from mnv1.regression.history.report import picture, text
from mnv1.regression.history.series import EXACT, series_of
from mnv1.store.runs import ResultError, find_runs, load

ROOT = Path(__file__).parent.parent


@console.command(failed=2)
def main(argv: list[str] | None = None) -> int:
    """Command line."""
    rules = Rules()
    parser = argparse.ArgumentParser(description="Nominate changes in the stored runs of one machine.")
    parser.add_argument("runs", nargs="*", type=Path, help="stored runs (default: all below --results)")
    parser.add_argument("--results", type=Path, default=ROOT / "results", help="where runs are stored")
    parser.add_argument("--machine", help="only the runs of this machine")
    parser.add_argument("--every-machine", action="store_true", help="one report for each machine, never mixed")
    parser.add_argument(
        "--min-change",
        type=float,
        default=100 * rules.min_change,
        metavar="PERCENT",
        help="smallest change that is nominated (default: %(default)g)",
    )
    parser.add_argument("--summary", type=Path, help="append the report in Markdown to this file")
    parser.add_argument("--plot", type=Path, metavar="FOLDER", help="draw each environment into this folder")
    parser.add_argument("--fail-on-change", action="store_true", help="exit status 1 when a change is nominated")
    args = parser.parse_args(argv)
    if not 0 < args.min_change < 100:
        parser.error(f"--min-change: {args.min_change:g} is no percentage between 0 and 100")
    rules = Rules(min_change=args.min_change / 100)

    table, damaged = _table(args.runs or find_runs(args.results))
    if table is not None:
        table = _of_machines(table, args.machine, args.every_machine)
    for line in damaged:
        print(f"error: left out: {line}", file=sys.stderr)
    if table is None:
        return 2

    enough, nominated, markdown, pictures = _reports(table, rules, args.plot)
    if args.summary:
        args.summary.parent.mkdir(parents=True, exist_ok=True)
        with args.summary.open("a", encoding="utf8") as file:
            file.write(markdown)
    for path in pictures:
        print(f"wrote {path}")
    if damaged:
        return 2
    if nominated:
        return 1 if args.fail_on_change else 0
    return 0 if enough else 3


def _table(paths: Sequence[Path]) -> tuple[pd.DataFrame | None, list[str]]:
    """All runs that can be read, and a line for each that cannot."""
    tables, damaged = [], []
    for path in paths:
        try:
            tables.append(load([path]))
        except ResultError as error:
            damaged.append(str(error))
    return (pd.concat(tables, ignore_index=True) if tables else None), damaged


def _of_machines(table: pd.DataFrame, chosen: str | None, every: bool) -> pd.DataFrame:
    """The rows of the machine that was chosen. Raises `ResultError` when that is unclear."""
    machines = sorted(set(table["machine"]))
    if chosen is not None:
        if chosen not in machines:
            raise ResultError(f"--machine: no run of {chosen!r} here; there are runs of {', '.join(machines)}")
        return table[table["machine"] == chosen]
    if len(machines) > 1 and not every:
        raise ResultError(
            f"these are runs of {len(machines)} machines ({', '.join(machines)}): choose one by --machine NAME, or "
            "--every-machine for a report of each"
        )
    return table


def _reports(table: pd.DataFrame, rules: Rules, plots: Path | None) -> tuple[bool, list[Change], str, list[Path]]:
    """Prints every environment's report. Returns whether any had enough runs, what is nominated, and what was made."""
    enough, nominated, markdown, pictures = False, list[Change](), "", list[Path]()
    for (machine, environment), rows in table.groupby(["machine", "environment"], sort=True):
        series = series_of(rows)
        if not series:
            print(f"{environment}\n\nno figure of one state of the machine", end="\n\n")
            continue
        changes = nominate(series, rules)
        enough |= any(len(one.runs) >= rules.min_runs for one in series if one.measure not in EXACT)
        print(text(environment, series, changes, False, rules), end="\n\n")
        markdown += text(environment, series, changes, True, rules) + "\n\n"
        nominated += changes
        if plots:
            plots.mkdir(parents=True, exist_ok=True)
            path = plots / f"{machine}-{len(pictures) + 1}.svg"
            picture(f"History of {machine}", series, changes).savefig(path, metadata={"Date": None})
            pictures.append(path)
    return enough, nominated, markdown, pictures


if __name__ == "__main__":
    console.run(main)
