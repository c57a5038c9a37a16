"""Train all that docs/training.md shows: `python scripts/method/fashion_mnist.py --out results/MACHINE/training`.

Separable networks and their standard twins at three widths, three seeds of the narrowest, a student with and without a
teacher, and two longer recipes. About an hour on two cores; finished runs are left out, interrupted runs go on. Run
nothing else meanwhile: the time of every epoch is kept too.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from mnv1.base import console
from mnv1.store.runs import ResultError
from mnv1.training.report import FACTS, read_training

TRAIN = Path(__file__).parents[1] / "train.py"

ALL = ("--data", "fashion-mnist", "--optimizer", "adamw", "--weight-decay", "0.01", "--schedule", "one-cycle")
ALL += ("--batch-size", "128", "--learning-rate", "4e-3", "--channels-last")
SMALL = (*ALL, "--resolution", "32", "--epochs", "3")
LARGE = (*ALL, "--resolution", "64", "--epochs", "10", "--alpha", "0.5")
NARROW = ("--alpha", "0.25")

TEACHER = "separable-a1.00-s0"


def runs(out: Path) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Names and options, in the order in which they are trained: a teacher before its students."""
    seeds = [(seed, ("--seed", str(seed))) for seed in (0, 1, 2)]
    for seed, option in seeds:
        yield f"separable-a0.25-s{seed}", (*SMALL, *NARROW, *option)
    for alpha in (0.5, 1.0):
        yield f"separable-a{alpha:.2f}-s0", (*SMALL, "--alpha", str(alpha))
    teacher = ("--teacher", str(out / TEACHER))
    for seed, option in seeds:
        yield f"separable-a0.25-taught-s{seed}", (*SMALL, *NARROW, *teacher, *option)
    yield "separable-a0.50-r64-s0", LARGE
    yield "standard-a0.25-e9-s0", (*SMALL, "--block", "standard", *NARROW, "--epochs", "9")
    for alpha in (0.25, 0.5, 1.0):
        yield f"standard-a{alpha:.2f}-s0", (*SMALL, "--block", "standard", "--alpha", str(alpha))


def main(argv: list[str] | None = None) -> int:
    """Command line. Returns the status of the first run that fails."""
    parser = argparse.ArgumentParser(description="Train everything that docs/training.md shows.")
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--only", default="", help="only runs whose name contains this")
    parser.add_argument("--data-root", type=Path, default=Path("data"), help="folder of the data set")
    args = parser.parse_args(argv)
    for name, options in runs(args.out):
        folder = args.out / name
        if args.only not in name or is_finished(folder, needs_checkpoint=name == TEACHER):
            continue
        resume = ["--resume"] if (folder / "last.pt").exists() else []
        print(f"== {name}", flush=True)
        command = [sys.executable, TRAIN, *options, "--data-root", args.data_root, "--out", folder, *resume]
        try:
            done = subprocess.run(command, check=False)
        except KeyboardInterrupt:  # the run has said what to do
            return 130
        if done.returncode:
            return done.returncode
    return 0


def is_finished(folder: Path, needs_checkpoint: bool = False) -> bool:
    """Whether a run has all its epochs and pictures, and its weights too, if others need them."""
    wanted = (FACTS, "predictions.png", *(["last.pt"] if needs_checkpoint else []))
    if not all((folder / name).exists() for name in wanted):
        return False
    try:
        facts = read_training(folder)
    except ResultError:
        return False
    return bool(len(facts["epochs"]) == facts["recipe"]["epochs"])


if __name__ == "__main__":
    console.run(main)
