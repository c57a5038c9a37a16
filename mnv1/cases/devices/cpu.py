"""The CPU: calls finish before they return, and the machine's controls tell about them."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mnv1.base.facts import Facts
from mnv1.cases.devices.clock import Call, Clock, Laps, WallClock, WallLaps
from mnv1.cases.devices.device import Batches, Device
from mnv1.cases.devices.kernels import Kernel

CACHES = Path("/sys/devices/system/cpu/cpu0/cache")


def cache_size(level: int) -> int | None:
    """Bytes of this CPU's cache of a level, or None when the system does not tell."""
    for folder in CACHES.glob("index*"):
        with contextlib.suppress(OSError, ValueError):
            if int((folder / "level").read_text()) == level and (folder / "type").read_text().strip() != "Instruction":
                found = re.fullmatch(r"(\d+)([KM])", (folder / "size").read_text().strip())
                return int(found[1]) * {"K": 2**10, "M": 2**20}[found[2]] if found else None
    return None


class Cpu(Device):
    """The CPU."""

    place = 10
    is_host = True
    by_default = True
    amp_dtype = "bfloat16"
    # Batch 1 is latency, 8 a small server batch. A training step of the largest network at batch 32 takes some five
    # seconds, so that narrower ones are left out there.
    batches = Batches((1, 8), (1, 8, 32), (32,), (1, 8, 32), (1, 8))
    round_time = 0.0
    gemm_side = 1024
    convolution_batch = 4
    usual_rate = 1e11

    def is_available(self) -> bool:
        """See `Device.is_available`."""
        return True

    def why_not_here(self, environment: Mapping[str, object]) -> str | None:
        """See `Device.why_not_here`."""
        return None

    def why_too_slow(self, precision: str, environment: Mapping[str, object]) -> str | None:
        """See `Device.why_too_slow`."""
        if precision not in ("amp", "bf16") or environment["bf16_instructions"]:
            return None
        return (
            f"this CPU has no bf16 instructions, so that {precision} takes up to 100 times as long as fp32: "
            "name it in --precisions to measure it all the same"
        )

    def describe(self) -> Facts:
        """See `Device.describe`; the CPU is described with the machine (`mnv1.measure.environment`)."""
        return {}

    def wait(self) -> None:
        """See `Device.wait`."""

    def clock(self) -> Clock:
        """See `Device.clock`."""
        return WallClock()

    def laps(self) -> Laps:
        """See `Device.laps`."""
        return WallLaps()

    def peak_memory(self, call: Call) -> Facts:
        """See `Device.peak_memory`: from the events of torch's allocator, it repeats to the byte.

        Scratch memory that libraries allocate by themselves is not seen.
        """
        from mnv1.cases.allocations import peak_of

        return {"peak_memory": peak_of(call)}

    def forget(self) -> None:
        """See `Device.forget`."""

    def last_level_cache(self) -> int | None:
        """See `Device.last_level_cache`."""
        return cache_size(3) or cache_size(2)

    def kernels(self, call: Call, calls: int) -> list[list[Kernel]]:
        """See `Device.kernels`: from oneDNN's trace, where torch was built with it."""
        from mnv1.cases.devices import onednn

        return onednn.trace(call, calls) if onednn.is_traceable() else []

    def overheads(self, case: Mapping[str, Any], shares: Mapping[str, float], time: float) -> dict[str, float]:
        """See `Device.overheads`: what Python and dispatch take between operators, and what the kernel does."""
        parts = {"dispatch": float(shares.get("between", 0.0)) * time}
        worked = case.get("system_time")
        if worked is not None and worked == worked:  # a missing figure is not equal to itself
            threads = case.get("threads")
            threads = 1 if threads is None or threads != threads else int(threads)
            parts["allocator"] = min(1.0, worked / threads / case["latency_p50"]) * time
        return parts


DEVICES = (Cpu("cpu"),)
