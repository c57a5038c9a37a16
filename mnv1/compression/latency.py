"""How much faster a compressed network is than the one that it was made of: both compiled, timed in turns."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
from torch import nn

from mnv1.base.statistics import grouped_midmean
from mnv1.cases.devices.clock import Call, WallClock
from mnv1.measure.by_state import SPEEDUP, every_state
from mnv1.measure.lock import machine_lock
from mnv1.measure.timing import Policy, Visit, visit_pair
from mnv1.measure.watch import QuotaWatch
from mnv1.net.quantize import Int8Network, frozen, int8_kernels

VISITS = 8
"""Visits to the two, of half a second each. Their mean has Student's interval over the visits."""

POLICY = Policy(visit_time=0.5, max_time=30.0)


def in_turns(before: nn.Module, after: nn.Module, images: torch.Tensor, visits: int = VISITS) -> dict[str, Any]:
    """Latencies of two networks for a batch of images `(N, 3, D, D)`, and the speedup of `after` over `before`.

    Both are compiled with their weights as constants (an `Int8Network` to int8 kernels), and timed in alternating
    blocks. `before` and `after`: median seconds a call; `speedup`: the mean of the middle half of the rounds' ratios,
    with `low` and `high`, its 95 % interval over visits; `log_ratios`: of every round, one list a visit. Rounds in
    which the kernel stopped this process for its quota are left out, unless hardly any is left.
    """
    with machine_lock():
        calls = [_on(images, compiled(network, images)) for network in (before, after)]
        visited: list[Visit] = []
        watch = QuotaWatch()
        for _ in range(visits):
            earlier = visited[-1] if visited else None
            visited.append(visit_pair(calls[0], calls[1], WallClock(), POLICY, watch, earlier))
    rounds = every_state(visited, ()).visits
    ratios = [[SPEEDUP(times) for times in one] for one in rounds]
    speedup, low, high = (math.exp(one) for one in grouped_midmean(ratios))
    times = [median(both[side] for one in rounds for both in one) for side in (0, 1)]
    return {
        "batch_size": len(images),
        "before": times[0],
        "after": times[1],
        "speedup": speedup,
        "low": low,
        "high": high,
        "log_ratios": ratios,
    }


def compiled(network: nn.Module, images: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    """A network compiled for images of this shape: its weights as constants, int8 kernels where it is quantized."""
    return int8_kernels(network, images) if isinstance(network, Int8Network) else frozen(network, images)


def _on(images: torch.Tensor, call: Callable[[torch.Tensor], torch.Tensor]) -> Call:
    return lambda: call(images)
