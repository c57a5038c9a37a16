"""What this machine can do at best, measured in the same session and state as the cases: its ceilings.

For each precision a GEMM of square matrices and a 3x3 convolution (multiply-accumulates per second; which is faster
depends on the library behind either), and a copy (bytes per second, read and written together) of buffers far beyond
the last-level cache and well within it. A ceiling is what the fastest tenth of the rounds reach: on a shared machine
the median round is one of a machine that does something else too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import torch

from mnv1.base.facts import Facts
from mnv1.base.statistics import quantile
from mnv1.cases.devices import Device, device_named
from mnv1.cases.devices.clock import Call
from mnv1.cases.precisions import fp32_computed_in, operand_dtype
from mnv1.measure.timing import Policy, visit
from mnv1.net.roofline import BEYOND_CACHE, WITHIN_CACHE

CONVOLUTION = (256, 28)
"""Channels and side of the convolution."""

FASTEST = 0.1
"""Share of the rounds that are as fast as a ceiling."""

COPIES = 100
"""Copies that are launched together where the device can: one takes as long as its launch."""

UNKNOWN_CACHE = 32 * 2**20


def ceilings(name: str, precisions: Iterable[str], policy: Policy) -> list[Facts]:
    """The ceilings of a device by its name, as facts in SI units.

    `ceiling` is `gemm` or `convolution` (value in MACs per second), `copy beyond cache` or `copy within cache` (bytes
    per second); the value is what the fastest tenth of the rounds reach, with its 95 % interval.
    """
    found, device = [], device_named(name)
    for precision in precisions:
        for ceiling, make in (("gemm", _gemm), ("convolution", _convolution)):
            call, macs, size = make(device, precision)
            with fp32_computed_in(precision):
                about = {"ceiling": ceiling, "device": name, "precision": precision, "size": size}
                found.append(about | _rate(call, macs, device, policy))
    cache = device.last_level_cache() or UNKNOWN_CACHE
    for ceiling, share in (("copy beyond cache", BEYOND_CACHE), ("copy within cache", WITHIN_CACHE)):
        call, moved = _copy(device, int(cache * share))
        call, number = device.replayed(call, COPIES)
        about = {"ceiling": ceiling, "device": name, "precision": "", "size": moved}
        found.append(about | _rate(call, number * moved, device, policy))
    return found


def _gemm(device: Device, precision: str) -> tuple[Call, int, int]:
    """A product, its MACs, and the side of its matrices."""
    side = device.gemm_side
    generator = torch.Generator().manual_seed(0)
    dtype = operand_dtype(device.name, precision)
    left, right = (torch.randn(side, side, generator=generator).to(device.name, dtype) for _ in range(2))
    out = torch.empty_like(left)
    return lambda: torch.mm(left, right, out=out), side**3, side


def _convolution(device: Device, precision: str) -> tuple[Call, int, int]:
    """A 3x3 convolution that keeps the size, its MACs, and its channels."""
    channels, side = CONVOLUTION
    batch_size, dtype = device.convolution_batch, operand_dtype(device.name, precision)
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(batch_size, channels, side, side, generator=generator).to(device.name, dtype)
    weight = torch.randn(channels, channels, 3, 3, generator=generator).to(device.name, dtype)
    macs = batch_size * side**2 * channels**2 * 9
    return lambda: torch.nn.functional.conv2d(images, weight, padding=1), macs, channels


def _copy(device: Device, moved: int) -> tuple[Call, int]:
    """A copy that reads and writes `moved` bytes in all."""
    source = torch.ones(moved // 2, dtype=torch.uint8, device=device.name)
    target = torch.empty_like(source)
    return lambda: target.copy_(source), 2 * source.numel()


def _rate(call: Call, amount: int, device: Device, policy: Policy) -> Facts:
    with torch.inference_mode():
        # Of long rounds, so that the one synchronisation of each does not matter.
        visited = visit(call, device.clock(), replace(policy, round_time=max(policy.round_time, device.round_time)))
    samples = visited.device or visited.sides[0]
    fastest, low, high = quantile(samples, FASTEST)
    return {
        "value": amount / fastest,
        "low": amount / high,
        "high": amount / low,
        "rounds": len(samples),
    }
