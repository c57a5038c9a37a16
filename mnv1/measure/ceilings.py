"""What this machine can do at best, measured in the same session and state as the cases: its ceilings.

For each precision a GEMM of square matrices and a 3x3 convolution (multiply-accumulates per second; which is faster
depends on the library behind either), and a copy (bytes per second, read and written together) of buffers far beyond
the last-level cache and well within it. A ceiling is what the fastest tenth of the rounds reach: on a shared machine
the median round is one of a machine that does something else too.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch

from mnv1.base.statistics import MIN_SAMPLES, quantile
from mnv1.cases.case import Conditions, Device, Precision
from mnv1.measure.clock import Call, clock_for
from mnv1.measure.facts import Facts
from mnv1.measure.precision import operand_dtype, precision_context
from mnv1.measure.quiet import Watch, cache_size
from mnv1.measure.timing import Policy, visit
from mnv1.net.roofline import BEYOND_CACHE, WITHIN_CACHE

GEMM_SIDE: dict[Device, int] = {"cpu": 1024, "cuda": 8192}
"""Side of the matrices: large enough for the peak rate, small enough for a fraction of a second a round."""

CONVOLUTION_BATCH: dict[Device, int] = {"cpu": 4, "cuda": 256}
CONVOLUTION = (256, 28)
"""Channels and side of the convolution."""

FASTEST = 0.1
"""Share of the rounds that are as fast as a ceiling."""

UNKNOWN_CACHE = 32 * 2**20


def ceilings(device: Device, precisions: Iterable[Precision], policy: Policy, watch: Watch | None) -> list[Facts]:
    """The ceilings of one device, as facts in SI units.

    `ceiling` is `gemm` or `convolution` (value in MACs per second), `copy beyond cache` or `copy within cache` (bytes
    per second); the value is what the fastest tenth of the rounds reach, with its 95 % interval.
    """
    found = []
    for precision in precisions:
        for name, make in (("gemm", _gemm), ("convolution", _convolution)):
            call, macs, size = make(device, precision)
            with precision_context(Conditions(1, device, precision if precision == "tf32" else "fp32")):
                about = {"ceiling": name, "device": device, "precision": precision, "size": size}
                found.append(about | _rate(call, macs, device, policy, watch))
    cache = last_level_cache(device) or UNKNOWN_CACHE
    for name, share in (("copy beyond cache", BEYOND_CACHE), ("copy within cache", WITHIN_CACHE)):
        call, moved = _copy(device, int(cache * share))
        about = {"ceiling": name, "device": device, "precision": "", "size": moved}
        found.append(about | _rate(call, moved, device, policy, watch))
    return found


def last_level_cache(device: Device) -> int | None:
    """Bytes of the last-level cache, or None when the system does not tell."""
    if device == "cuda":
        return int(torch.cuda.get_device_properties(0).L2_cache_size)
    return cache_size(3) or cache_size(2)


def _gemm(device: Device, precision: Precision) -> tuple[Call, int, int]:
    """A product, its MACs, and the side of its matrices."""
    side = GEMM_SIDE[device]
    generator = torch.Generator().manual_seed(0)
    left, right = (
        torch.randn(side, side, generator=generator).to(device, operand_dtype(device, precision)) for _ in range(2)
    )
    out = torch.empty_like(left)
    return lambda: torch.mm(left, right, out=out), side**3, side


def _convolution(device: Device, precision: Precision) -> tuple[Call, int, int]:
    """A 3x3 convolution that keeps the size, its MACs, and its channels."""
    channels, side = CONVOLUTION
    batch_size, dtype = CONVOLUTION_BATCH[device], operand_dtype(device, precision)
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(batch_size, channels, side, side, generator=generator).to(device, dtype)
    weight = torch.randn(channels, channels, 3, 3, generator=generator).to(device, dtype)
    macs = batch_size * side**2 * channels**2 * 9
    return lambda: torch.nn.functional.conv2d(images, weight, padding=1), macs, channels


def _copy(device: Device, moved: int) -> tuple[Call, int]:
    """A copy that reads and writes `moved` bytes in all."""
    source = torch.ones(moved // 2, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return lambda: target.copy_(source), 2 * source.numel()


def _rate(call: Call, amount: int, device: Device, policy: Policy, watch: Watch | None) -> Facts:
    with torch.inference_mode():
        visited = visit(call, clock_for(device), policy, None if device == "cuda" else watch)
    rounds = list(zip(visited.sides[0], visited.disturbed, strict=True))
    quiet = [seconds for seconds, disturbed in rounds if not disturbed]
    samples = quiet if len(quiet) >= MIN_SAMPLES else [seconds for seconds, _ in rounds]
    fastest, low, high = quantile(samples, FASTEST)
    return {
        "value": amount / fastest,
        "low": amount / high,
        "high": amount / low,
        "rounds": len(samples),
        "disturbed_rounds": sum(visited.disturbed),
        "stopped": visited.stopped,
    }
