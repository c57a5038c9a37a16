"""Compress a trained network: `python scripts/compress.py CHECKPOINT --method ptq --data fashion-mnist --out DIR`.

Methods: `ptq` (int8 after training), `qat` (int8 learnt in some more epochs), `prune-unstructured` (the smallest
weights become zero) and `prune-channels` (whole channels are removed, then some more epochs). CHECKPOINT is a
checkpoint of `scripts/train.py`. The compressed network is kept in DIR, with `compressed.json`: accuracy, outputs,
counts, file sizes and latency, before and after.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any, cast, get_args

from mnv1.base import console
from mnv1.base.errors import UserError
from mnv1.compression.layout import COMPRESSED, METHODS, SPREADS
from mnv1.measure.state import CPUS, STATES, prepare
from mnv1.net.errors import CompressError
from mnv1.training.recipe import DataName

LEARNING_RATES = {"qat": 2e-4, "prune-channels": 2e-3}
"""Highest learning rate of training on: rounding is a small change, missing channels are a large one."""


def main(argv: list[str] | None = None) -> int:
    """Command line. Returns 2 for what the user can put right, 130 after Ctrl-C."""
    args = parser().parse_args(argv)
    try:
        _check(args)
        _compress(args)
    except UserError as error:
        print(f"error: {str(error).strip().splitlines()[-1]}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted: nothing is kept of it; run it again with another --out", file=sys.stderr)
        return 130
    return 0


def parser() -> argparse.ArgumentParser:
    """The options."""
    made = argparse.ArgumentParser(description="Compress a trained network, and say what that costs and brings.")
    made.add_argument("checkpoint", type=Path, help="a checkpoint of scripts/train.py, or its folder")
    made.add_argument("--method", choices=METHODS, required=True)
    made.add_argument("--data", choices=get_args(DataName), help="data set (default: the checkpoint's)")
    made.add_argument("--data-root", type=Path, default=Path("data"), help="folder of the data set (default: data)")
    made.add_argument("--out", type=Path, required=True, help="folder for everything that is written")
    how = made.add_argument_group("how")
    how.add_argument("--calibration", type=int, default=512, help="ptq: training images that show the ranges (512)")
    how.add_argument(
        "--keep-float", default="", metavar="NAMES", help="ptq: modules that stay fp32, such as features.0,classifier"
    )
    how.add_argument("--amount", type=float, default=0.2, help="prune-unstructured: share of weights to zero (0.2)")
    how.add_argument("--keep", type=float, default=0.5, help="prune-channels: share of channels that stay (0.5)")
    how.add_argument(
        "--spread",
        choices=SPREADS,
        default="layer",
        help="prune-channels: keep this share of each layer, or of the whole network",
    )
    how.add_argument("--epochs", type=int, default=2, help="qat, prune-channels: further epochs of training (2)")
    how.add_argument(
        "--learning-rate",
        type=float,
        help=f"highest learning rate of these epochs (default: {_rates()})",
    )
    what = made.add_argument_group("what is measured")
    what.add_argument("--against", type=Path, metavar="CHECKPOINT", help="another network to time the result against")
    what.add_argument("--batch-sizes", default="1,8", help="batch sizes that are timed; empty: none (1,8)")
    what.add_argument("--limit-train", type=int, metavar="N", help="train on the first N images only")
    what.add_argument("--limit-test", type=int, metavar="N", help="test on the first N images only")
    what.add_argument("--workers", type=int, default=max(0, min(4, len(CPUS) - 2)), help="processes that load pictures")
    what.add_argument("--threads", type=int, help="torch's threads; its own choice when left out")
    what.add_argument("--machine-state", default="controlled", choices=STATES, help="as for pytest benchmarks")
    return made


def _rates() -> str:
    return ", ".join(f"{rate:g} for {method}" for method, rate in LEARNING_RATES.items())


def _check(args: argparse.Namespace) -> None:
    for name, least in (("calibration", 1), ("epochs", 0), ("workers", 0)):
        if getattr(args, name) < least:
            raise CompressError(f"--{name}: {getattr(args, name)} is not valid; valid values: from {least} up")
    if args.threads is not None and args.threads < 1:
        raise CompressError(f"--threads: {args.threads} is not valid; valid values: whole numbers from 1 up")
    sizes = [one for one in args.batch_sizes.split(",") if one]
    if not all(one.isdecimal() and int(one) > 0 for one in sizes):
        raise CompressError(f"--batch-sizes: {args.batch_sizes!r} is not valid; valid values: such as 1,8")
    args.batch_sizes = [int(one) for one in sizes]
    if (args.out / COMPRESSED).exists():
        raise CompressError(f"{args.out}: holds a result already; name another --out")


def _compress(args: argparse.Namespace) -> None:
    os.environ.setdefault("OMP_PROC_BIND", "false")  # or processes that load pictures would be bound to one CPU, too
    settings = prepare(next(state for state in STATES if state == args.machine_state), args.threads)
    for one in cast("list[str]", settings["left_out"]):
        print(f"warning: controlled leaves out {one}", file=sys.stderr)

    from dataclasses import replace

    from mnv1.compression.facts import check_alike, compare, keep
    from mnv1.compression.methods import Compressor, Settings, Trained
    from mnv1.measure import environment
    from mnv1.training.data import load_data
    from mnv1.training.progress import epoch_line

    source = Trained.load(args.checkpoint)
    changes = {name: getattr(args, name) for name in ("data", "limit_train", "limit_test") if getattr(args, name)}
    source = replace(source, recipe=replace(source.recipe, **changes))
    recipe = source.recipe
    data = load_data(recipe, args.data_root)
    chosen = Settings(
        calibration=args.calibration,
        keep_float=tuple(one for one in args.keep_float.split(",") if one),
        amount=args.amount,
        keep=args.keep,
        spread=args.spread,
        epochs=args.epochs,
        learning_rate=args.learning_rate or LEARNING_RATES.get(args.method, recipe.learning_rate),
    )
    against = Trained.load(args.against) if args.against else None
    check_alike(source, against)
    print(f"{args.method}: {recipe.block}, α {recipe.alpha:g}, {recipe.resolution} px on {recipe.data}", flush=True)

    def on_epoch(row: dict[str, Any], epochs: int) -> None:
        print(epoch_line(row, epochs), flush=True)

    compressor = Compressor(source, data, args.out, chosen, args.workers, on_epoch)
    made = compressor.run(args.method)
    facts = compare(compressor, args.method, made, against, args.batch_sizes)
    keep(args.out, {**facts, "environment": {**environment.describe(), **settings}})
    _say(facts, args.out)


def _say(facts: dict[str, Any], out: Path) -> None:
    for name in ("before", "after", "against"):
        if name in facts:
            one = facts[name]
            print(
                f"{name + ':':8} {one['accuracy']:.2%} [{100 * one['low']:.2f}, {100 * one['high']:.2f}] of "
                f"{one['images']:,} test images; {one['params']:,} parameters, {one['macs'] / 1e6:,.1f} M MACs, "
                f"{one['file_size']:,} bytes"
            )
    print(f"outputs: {facts['after']['output_error']:.2%} off, {facts['after']['agreement']:.2%} of images seen alike")
    for name, rows in facts["latency"].items():
        for row in rows:
            print(
                f"batch {row['batch_size']}: {1e3 * row['before']:.2f} ms {name} → {1e3 * row['after']:.2f} ms after, "
                f"{row['speedup']:.2f}× [{row['low']:.2f}, {row['high']:.2f}]"
            )
    print(f"kept in {out}: {COMPRESSED}")


if __name__ == "__main__":
    console.run(main)
