"""Measure again what a stored run measured, and say what is reproduced: `python scripts/reproduce.py RUN`."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mnv1.base import console
from mnv1.base.errors import UserError
from mnv1.report.reproduction import (
    WITHIN,
    Compared,
    compared,
    missing,
    status,
    summary,
    table,
    unlike,
    unlike_text,
)
from mnv1.store.documents import read
from mnv1.store.figures import load_figures
from mnv1.store.runs import load

ROOT = Path(__file__).parent.parent

MOST_NAMED = 40
"""Cases that are measured a second time by themselves; of more the whole run is."""


class ReproductionError(UserError):
    """Nothing could be measured again, or nothing that was measured can be compared."""


@console.command(failed=2)
def main(argv: list[str] | None = None) -> int:
    """Command line. Returns 0 reproduced, 1 something differs, 3 cannot tell; 2 when nothing can be compared."""
    parser = argparse.ArgumentParser(
        description="Measure again what a stored run measured, with its options, and compare figure by figure. Exit "
        "status: 0 reproduced, 1 something differs (in a second measurement too), 3 cannot tell, 2 nothing to compare."
    )
    parser.add_argument("run", type=Path, help="a stored run, such as one below results/published/")
    parser.add_argument(
        "--with",
        dest="others",
        type=Path,
        action="append",
        default=[],
        metavar="RUN",
        help="compare with this stored run instead of measuring; named twice, the second one confirms differences",
    )
    parser.add_argument(
        "--within",
        type=float,
        default=100 * WITHIN,
        metavar="PERCENT",
        help="figures are reproduced when their ratio is this near to 1 (default: %(default)g)",
    )
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep what is measured in this folder")
    args = parser.parse_args(argv)
    before = read(args.run)
    if args.keep:
        args.keep.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="mnv1-reproduce-") as folder:
        place = args.keep or Path(folder)
        after = args.others[0] if args.others else _measured(place / "0001_again.json", options_of(before))
        why = why_unlike(args.run, after)
        if why:
            print(f"{why}: compared is what does not depend on that")
            print(unlike_text(unlike(load([args.run]), load([after]))))
            return 3
        results = _compared(args.run, after, args.within)
        differing = [one for one in results if one.word == "differs"]
        if differing and args.others[1:]:
            results = confirmed(results, _compared(args.run, args.others[1], args.within))
        elif differing and args.others:
            print(f"{len(differing)} figures differ, which one run alone cannot tell: name a second --with RUN")
            results = confirmed(results, [])
        elif differing:
            print(f"{len(differing)} figures differ: they are measured once more")
            ids = list(dict.fromkeys(one.id for one in differing))
            again = _measured(place / "0002_again.json", [*options_of(before), *_only(ids)])
            results = confirmed(results, _compared(args.run, again, args.within))
        print(table(results))
        for state, number in missing(load_figures([args.run]), load_figures([after])).items():
            print(f"{number} figures of the state “{state or 'not read'}” were not met again, or are not measured here")
        print(summary(results))
        return status(results)


def options_of(document: dict[str, Any]) -> list[str]:
    """The options of `pytest benchmarks` that a stored run was measured with."""
    machine = document["machine_info"]["mnv1"]
    options = machine.get("options")
    if options is None:  # a run of a revision that did not store them
        options = {name: machine[name] for name in ("profile", "threads", "machine_state") if name in machine}
    flags = {"keyword": "-k", "markexpr": "-m"}
    return [
        part for name, value in options.items() for part in (flags.get(name, f"--{name.replace('_', '-')}"), str(value))
    ]


def _only(ids: Sequence[str]) -> list[str]:
    return ["-k", " or ".join(ids)] if len(ids) <= MOST_NAMED else []


def _measured(path: Path, options: Sequence[str]) -> Path:
    command = [sys.executable, "-m", "pytest", str(ROOT / "benchmarks"), *options, "--benchmark-json", str(path)]
    done = subprocess.run(command, cwd=ROOT, check=False)
    if not path.exists():
        raise ReproductionError(f"nothing was measured: pytest benchmarks ended with status {done.returncode}")
    return path


def why_unlike(one: Path, other: Path) -> str:
    """Why figures of two runs may not be compared, if they may not."""
    for path in (one, other):
        if not any("states" in case["extra_info"] for case in read(path)["benchmarks"]):
            return (
                f"{path} was made before states of the machine were read, so that its intervals hold for no other run"
            )
    first, second = (load([path])["environment"].iloc[0] for path in (one, other))
    return "" if first == second else "another kind of machine, or other versions or settings"


def _compared(before: Path, after: Path, within: float) -> list[Compared]:
    results = compared(load_figures([before]), load_figures([after]), within / 100)
    if not results:
        raise ReproductionError(f"{before} and {after} have no figure in common that was measured in the same state")
    return results


def confirmed(first: Sequence[Compared], second: Sequence[Compared]) -> list[Compared]:
    """The first results, where a figure differs only if it did in the second measurement as well, to the same side."""
    again = {(one.id, one.state, one.figure): one for one in second if one.word == "differs"}

    def holds(one: Compared) -> bool:
        other = again.get((one.id, one.state, one.figure))
        return other is not None and (other.ratio > 1) == (one.ratio > 1)

    return [replace(one, word="cannot tell") if one.word == "differs" and not holds(one) else one for one in first]


if __name__ == "__main__":
    console.run(main)
