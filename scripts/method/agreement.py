"""Do this suite's latencies agree with torch.utils.benchmark? `python scripts/method/agreement.py`

Both time the same callable in turns, in the same process and state, so that a disturbance of the machine meets both. On
a GPU triton.testing.do_bench_cudagraph is compared as well. Run nothing else meanwhile.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from mnv1.base import console
from mnv1.measure.state import prepare as prepare_state

STATE = prepare_state("controlled")  # before torch is imported

# isort: split
import torch
from torch.utils.benchmark import Timer

from mnv1.cases import Block, Case, Conditions, Network, device_named
from mnv1.measure.lock import machine_lock
from mnv1.measure.modules import prepare
from mnv1.measure.quota import Quotas, verdict
from mnv1.measure.timing import Policy, visit
from mnv1.measure.turns import turned
from mnv1.report.agreement import Comparison, agreement_table

Measure = Callable[[], float]

SLICE = 0.06
"""Seconds that each side samples before it is the other's turn, or the few calls that it takes at least."""

MIN_TURNS = 6


def cases(device: str) -> list[Case]:
    """Layers and networks from about 0.1 ms to about 1 s on two cores."""
    small, medium, large = (Conditions(batch, device, "fp32") for batch in (1, 8, 32))
    return [
        Case(Block("depthwise", 512, 512, 1, 14), small),
        Case(Block("depthwise", 256, 256, 1, 28), small),
        Case(Block("separable", 64, 128, 2, 112), small),
        Case(Block("standard", 64, 128, 2, 112), small),
        Case(Network("separable", 1.0, 224), small),
        Case(Network("standard", 1.0, 224), small),
        Case(Network("separable", 1.0, 224), medium),
        Case(Network("standard", 0.5, 224), large),
        Case(Network("standard", 1.0, 224), medium),
    ]


def ours(call: Callable[[], object], device: str, round_time: float) -> Measure:
    """Median seconds per call, by this suite's sampling in rounds of at least so many seconds."""
    policy = Policy(visit_time=SLICE, max_time=SLICE, precision=0.0, warmup_time=0.01, round_time=round_time)

    def measure() -> float:
        return median(visit(call, device_named(device).clock(), policy).sides[0])

    return measure


def torchs(call: Callable[[], object]) -> tuple[Measure, float]:
    """Median seconds per call, by torch.utils.benchmark, whose own default is one thread; and seconds of its blocks.

    Times are skewed, so that the median of short blocks lies below that of long ones: both sides must average alike.
    """
    timer = Timer("call()", globals={"call": call}, num_threads=torch.get_num_threads())
    found = timer.blocked_autorange(min_run_time=SLICE)
    return lambda: float(timer.blocked_autorange(min_run_time=SLICE).median), found.number_per_run * found.median


def tritons(call: Callable[[], object]) -> Measure:
    """Median seconds per call, by triton.testing.do_bench_cudagraph.

    `do_bench` empties the device's cache before each call, and this suite times a hot loop.
    """
    from triton.testing import do_bench_cudagraph

    return lambda: float(do_bench_cudagraph(call, rep=1000 * SLICE, return_mode="median")) / 1e3


def compare(case: Case, other: str, seconds: float) -> Comparison:
    """Time one case by both, in turns: ours first and second alternately."""
    device = case.conditions.device
    call = prepare(case).call
    theirs, block_time = torchs(call) if other == "torch.utils.benchmark" else (tritons(call), Policy.round_time)
    sides = [ours(call, device, block_time), theirs]
    for side in sides:
        side()
    pairs: list[tuple[float, float]] = []
    start = time.monotonic()
    while len(pairs) < MIN_TURNS or time.monotonic() - start < seconds:
        times = [0.0, 0.0]
        for place in turned((0, 1), len(pairs)):
            times[place] = sides[place]()
        pairs.append((times[0], times[1]))
    return Comparison(case.id, other, tuple(pairs))


def main(argv: list[str] | None = None) -> int:
    """Command line: Markdown on standard output. Returns 1 when a case does not agree."""
    parser = argparse.ArgumentParser(description="Table of how this suite's latencies agree with other timers.")
    parser.add_argument("--seconds", type=float, default=40.0, help="seconds for each case (default: 40)")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--out", type=Path, help="also write the table to this file")
    args = parser.parse_args(argv)
    if not device_named(args.device).is_available():
        parser.error(f"--device: there is no {args.device} device here")
    others = ["torch.utils.benchmark"] + (["triton.testing.do_bench_cudagraph"] if args.device == "cuda" else [])
    comparisons = []
    quotas = Quotas()
    counted = quotas.counts()
    with machine_lock():
        for other in others:
            for case in cases(args.device):
                comparisons.append(compare(case, other, args.seconds))
                print(f"{comparisons[-1].case}: {comparisons[-1].ratio[0]:.4f}", file=sys.stderr)
    if throttled := verdict(quotas.since(counted), torch.get_num_threads()):
        print(f"warning: {throttled}", file=sys.stderr)
    table = agreement_table(comparisons)
    print(table)
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(table + "\n", encoding="utf8")
    return 0 if all(one.agrees for one in comparisons) else 1


if __name__ == "__main__":
    console.run(main)
