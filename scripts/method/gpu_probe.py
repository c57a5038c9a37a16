"""What cannot be known of a GPU without one, in processes of their own: `python scripts/method/gpu_probe.py`

Whether a replayed graph outlives a garbage collection, whether a profiler slows later launches, what compiles in TF32,
how a copy within the cache is best timed, what the first block after an emptied cache costs, and when clocks are read.
`--device cpu` runs what exists there.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from mnv1.base import console
from mnv1.base.files import write_whole

Found = dict[str, Any]

CALLS = 50


def graph_after_collection(_: str) -> Found:
    """Whether a recorded graph still computes the same after a garbage collection and an emptied cache."""
    import gc

    import torch

    from mnv1.cases import MODES
    from mnv1.net.model import MobileNetV1

    module, images = MobileNetV1(10, 0.25).eval().cuda(), torch.randn(2, 3, 64, 64, device="cuda")
    with torch.inference_mode():
        made = MODES["graph"].make("cuda", "fp32", module, images)
        before = made.call().clone()
        del module
        gc.collect()
        torch.cuda.empty_cache()
        fillers = [torch.full((2**20,), 7.0, device="cuda") for _ in range(64)]  # where freed weights would have been
        after = made.call()
        return {"same": bool(torch.equal(before, after)), "fillers": len(fillers)}


def launches_after_profiling(device: str) -> Found:
    """Seconds of a launch before and after the first profile of a process."""
    import torch
    from torch.profiler import profile

    one, wait = torch.ones(1, device=device), _wait(device)

    def launch() -> float:
        return _seconds(lambda: one.add_(1), wait, 2000)

    launch()
    before = median(launch() for _ in range(7))
    with profile():
        one.add_(1)
        wait()
    return {"before": before, "after": median(launch() for _ in range(7))}


def compiles_in_tf32(device: str) -> Found:
    """Which precisions torch.compile takes, and what it says where it does not."""
    from mnv1.cases import Case, Conditions, Network
    from mnv1.cases.precisions import fp32_computed_in
    from mnv1.measure.execution import execute
    from mnv1.measure.modules import module_and_images

    found: Found = {}
    for precision in ("tf32", "bf16") if device == "cuda" else ("fp32",):
        case = Case(Network("separable", 0.25, 64), Conditions(2, device, precision, "compiled"))
        try:
            with fp32_computed_in(precision):
                module, (images,) = module_and_images(case)
                found[precision] = execute(case.conditions, module, images).facts["output_error"]
        except Exception as error:
            found[precision] = f"{type(error).__name__}: {error}".splitlines()[0]
    return found


def copies_within_the_cache(device: str) -> Found:
    """Bytes a second of a copy that fits the cache: by single calls, and by a recorded graph of many."""
    import torch

    from mnv1.cases import device_named
    from mnv1.measure.ceilings import COPIES

    on, wait = device_named(device), _wait(device)
    moved = (on.last_level_cache() or 2**23) // 4
    source = torch.ones(moved // 2, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)

    def copy() -> object:
        return target.copy_(source)

    with torch.inference_mode():
        replay, number = on.replayed(copy, COPIES)
        single, together = _seconds(copy, wait, 200), _seconds(replay, wait, 5) / number
    return {"bytes": moved, "single": moved / single, "replayed": moved / together, "copies": number}


def first_block_after_an_emptied_cache(device: str) -> Found:
    """Seconds of the first call after the allocator's cache was emptied, and of later ones."""
    from mnv1.cases import Case, Conditions, Network, device_named
    from mnv1.measure.modules import prepare

    on, wait = device_named(device), _wait(device)
    call = prepare(
        Case(Network("separable", 1.0, 224), Conditions(256 if device == "cuda" else 1, device, "fp32"))
    ).call
    for _ in range(3):
        call()
    first, later = [], []
    for _ in range(3):
        wait()
        on.forget()
        first.append(_seconds(call, wait, 1))
        later.append(_seconds(call, wait, 3))
    return {"first": median(first), "later": median(later)}


def clocks_while_busy_and_after(device: str) -> Found:
    """What NVML says while products are queued, and after they are done."""
    import torch

    from mnv1.cases import device_named
    from mnv1.cases.devices import nvml

    side = 8192 if device == "cuda" else 256
    dtype = torch.float16 if device == "cuda" else torch.float32
    left = torch.randn(side, side, device=device, dtype=dtype)
    wait, on = _wait(device), device_named(device)
    end = time.monotonic() + 1.0
    while time.monotonic() < end:
        torch.mm(left, left)
        wait()
    busy = on.now(lambda: torch.mm(left, left))
    return {"busy": busy, "after": nvml.throttling() if device == "cuda" else {}}


def kernels_of_a_pair(device: str) -> Found:
    """Seconds of standard and separable by batch, layout and mode, with the kernels that took longest."""
    from mnv1.cases import Case, Conditions, Network, device_named
    from mnv1.cases.precisions import fp32_computed_in
    from mnv1.measure.modules import prepare

    on, found = device_named(device), {}
    wait = _wait(device)
    modes = ("eager", "channels_last", "graph", "cudnn-benchmark") if device == "cuda" else ("eager", "channels_last")
    for precision in ("fp32", "tf32", "bf16", "fp16") if device == "cuda" else ("fp32",):
        for batch_size in (1, 256) if device == "cuda" else (1,):
            for mode in modes:
                for kind in ("standard", "separable"):
                    case = Case(Network(kind, 1.0, 224), Conditions(batch_size, device, precision, mode))
                    with fp32_computed_in(precision):
                        call = prepare(case).call
                        found[case.id] = {"seconds": _seconds(call, wait, 5)}
    for kind in ("standard", "separable"):  # profiled last: it may slow what comes after
        case = Case(Network(kind, 1.0, 224), Conditions(256 if device == "cuda" else 1, device, "fp32"))
        ((*kernels,),) = on.kernels(prepare(case).call, 1) or ([],)
        longest = sorted(kernels, key=lambda one: -one.seconds)[:5]
        found[case.id]["kernels"] = [[one.implementation, one.kernel, one.seconds] for one in longest]
    return found


PROBES: dict[str, Callable[[str], Found]] = {
    one.__name__.replace("_", "-"): one
    for one in (
        graph_after_collection,
        launches_after_profiling,
        compiles_in_tf32,
        copies_within_the_cache,
        first_block_after_an_emptied_cache,
        clocks_while_busy_and_after,
        kernels_of_a_pair,
    )
}
NEEDS_CUDA = ("graph-after-collection",)


def _wait(device: str) -> Callable[[], object]:
    from mnv1.cases import device_named

    return device_named(device).wait


def _seconds(call: Callable[[], object], wait: Callable[[], object], calls: int) -> float:
    """Seconds a call, over some calls after one that is not timed."""
    call()
    wait()
    start = time.perf_counter()
    for _ in range(calls):
        call()
    wait()
    return (time.perf_counter() - start) / calls


@console.command()
def main(argv: list[str] | None = None) -> int:
    """Command line. Each probe is asked in a process of its own; one that fails or hangs is told as such."""
    parser = argparse.ArgumentParser(description="What cannot be known of a GPU without one.")
    parser.add_argument("--out", type=Path, help="write the answers here, after each probe")
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--seconds", type=float, default=60.0, help="that each probe may take (default: %(default)g)")
    parser.add_argument("--probe", choices=PROBES, help="only this one, in this process")
    args = parser.parse_args(argv)
    if args.probe:
        print(json.dumps(PROBES[args.probe](args.device)))
        return 0
    found: Found = {}
    for name in PROBES:
        if args.device != "cuda" and name in NEEDS_CUDA:
            continue
        found[name] = _asked(name, args.device, args.seconds)
        print(f"{name}: {json.dumps(found[name])}", flush=True)
        if args.out:
            text = json.dumps(found, indent=1) + "\n"
            write_whole(args.out, lambda file, held=text: file.write(held.encode()))  # type: ignore[misc]
    return 0


def _asked(name: str, device: str, seconds: float) -> Found:
    command = [sys.executable, __file__, "--probe", name, "--device", device]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        return {"failed": f"no answer within {seconds:g} s"}
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        return {"failed": last}
    answer: Found = json.loads(lines[-1])
    return answer


if __name__ == "__main__":
    console.run(main)
