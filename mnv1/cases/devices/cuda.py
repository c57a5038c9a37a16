"""CUDA devices, and AMD's under the same name: events on the stream, the caching allocator, NVML."""

from __future__ import annotations

import time
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from mnv1.base.facts import Facts
from mnv1.cases.devices import nvml
from mnv1.cases.devices.clock import Call, Clock, Elapsed, Laps
from mnv1.cases.devices.device import Device
from mnv1.cases.devices.graphs import recorded
from mnv1.cases.devices.kernels import Kernel
from mnv1.cases.devices.profiled import CALL, kernels_of

QUEUED = 10
"""Calls that are queued while the clocks are read."""

ENERGY_TIME = 2.0
"""Seconds over which joules are counted: the counter moves every 20 to 100 ms."""

BUSY_CALLS = 10
"""Calls over which the kernels' time is averaged."""


class CudaClock:
    """Wall clock and CUDA events around a round of calls, synchronised before and after the round only."""

    def __init__(self) -> None:
        import torch

        self._cuda = torch.cuda
        self._start = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        self._end = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]

    def time(self, call: Call, calls: int) -> Elapsed:
        """See `Clock.time`; the device's time includes gaps in which it waits for the host."""
        self._cuda.synchronize()
        start = time.perf_counter()
        self._start.record()
        for _ in range(calls):
            call()
        self._end.record()
        self._end.synchronize()
        wall = time.perf_counter() - start
        return Elapsed(wall, self._start.elapsed_time(self._end) / 1e3)  # events count milliseconds


class CudaLaps:
    """An event on the stream at each mark, so that the host need not wait; synchronised once, when all are set."""

    def __init__(self) -> None:
        import torch

        self._event = torch.cuda.Event
        self._events: list[Any] = []

    def mark(self) -> None:
        """See `Laps.mark`."""
        event = self._event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record()
        self._events.append(event)

    def seconds(self) -> list[float]:
        """See `Laps.seconds`; gaps in which the device waits for the host belong to the part that they are in."""
        self._events[-1].synchronize()
        return [before.elapsed_time(after) / 1e3 for before, after in pairwise(self._events)]  # milliseconds


class Cuda(Device):
    """torch's CUDA device 0."""

    place = 20
    by_default = True
    precisions = ("fp32", "tf32", "amp", "bf16", "fp16")
    distributed = "nccl"

    def is_available(self) -> bool:
        """See `Device.is_available`."""
        import torch

        return torch.cuda.is_available()

    def why_not_here(self, environment: Mapping[str, object]) -> str | None:
        """See `Device.why_not_here`."""
        return None if "gpu" in environment else "no CUDA device: torch.cuda.is_available() is false here"

    def describe(self) -> Facts:
        """See `Device.describe`; what NVML does not give is left out."""
        import torch

        device = torch.cuda.get_device_properties(0)
        return {
            "gpu": device.name,
            "gpu_memory": device.total_memory,
            "gpu_capability": f"{device.major}.{device.minor}",
            "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
            **nvml.describe(),
        }

    def warnings(self) -> list[str]:
        """See `Device.warnings`."""
        found, now = [], nvml.throttling()
        if now.get("throttled"):
            found.append(f"the GPU is held back by its {now['throttled']}: let it cool down, or raise its limits")
        if nvml.describe().get("gpu_persistence") is False:
            found.append("the GPU's persistence mode is off: run `nvidia-smi -pm 1` as root")
        return found

    def machine_name(self) -> str:
        """See `Device.machine_name`."""
        import torch

        return str(torch.cuda.get_device_properties(0).name)

    def wait(self) -> None:
        """See `Device.wait`."""
        import torch

        torch.cuda.synchronize()

    def clock(self) -> Clock:
        """See `Device.clock`."""
        return CudaClock()

    def laps(self) -> Laps:
        """See `Device.laps`."""
        return CudaLaps()

    def peak_memory(self, call: Call) -> Facts:
        """See `Device.peak_memory`; `peak_reserved` is what the allocator took from the device, above what it held."""
        import torch

        torch.cuda.synchronize()
        torch.cuda.empty_cache()  # or memory that other cases left in the cache would hide what this one needs
        allocated, reserved = torch.cuda.memory_allocated(), torch.cuda.memory_reserved()
        torch.cuda.reset_peak_memory_stats()
        call()
        torch.cuda.synchronize()
        return {
            "peak_memory": torch.cuda.max_memory_allocated() - allocated,
            "peak_reserved": torch.cuda.max_memory_reserved() - reserved,
        }

    def reserved(self) -> int:
        """See `Device.reserved`."""
        import torch

        return int(torch.cuda.memory_reserved())

    def replayed(self, call: Call, number: int) -> tuple[Call, int]:
        """See `Device.replayed`: a CUDA graph. Kernels of a few microseconds would wait for their launches."""
        import torch

        graph, _ = recorded(torch.cuda, call, number)

        def replay(_held: Call = call) -> object:  # the graph reads its tensors, which must not be freed
            return graph.replay()

        return replay, number

    def forget(self) -> None:
        """See `Device.forget`."""
        import torch

        torch.cuda.empty_cache()

    def busy(self, call: Call) -> Facts:
        """See `Device.busy`; all of a case's kernels run on one stream, so their durations add up.

        Nothing where the profiler saw no kernel: it needs rights that containers may lack.
        """
        import torch
        from torch.autograd import DeviceType  # type: ignore[attr-defined]
        from torch.profiler import ProfilerActivity, profile

        with profile(activities=[ProfilerActivity.CUDA]) as profiler:
            for _ in range(BUSY_CALLS):
                call()
            torch.cuda.synchronize()
        recorder = profiler.profiler
        if recorder is None or recorder.kineto_results is None:
            raise RuntimeError("torch's profiler recorded nothing, so the device's busy time is not known")
        on_device = [event for event in recorder.kineto_results.events() if event.device_type() == DeviceType.CUDA]
        if not on_device:
            return {}
        return {
            "device_busy": sum(event.duration_ns() for event in on_device) / 1e9 / BUSY_CALLS,
            "device_kernels": len(on_device) / BUSY_CALLS,
        }

    def now(self, call: Call) -> Facts:
        """See `Device.now`: `gpu_clock` (Hz) and `throttled`. Clocks recover as soon as the work is over."""
        for _ in range(QUEUED):
            call()
        found = nvml.throttling()
        self.wait()
        return found

    def last_level_cache(self) -> int | None:
        """See `Device.last_level_cache`."""
        import torch

        return int(torch.cuda.get_device_properties(0).L2_cache_size)

    def energy(self, call: Call) -> Facts:
        """See `Device.energy`: by NVML's counter, what the device takes while idle included."""
        call()
        self.wait()
        before, end, calls = nvml.energy(), time.perf_counter() + ENERGY_TIME, 0
        if before is None:
            return {}
        while not calls or time.perf_counter() < end:
            for _ in range(QUEUED):
                call()
            self.wait()
            calls += QUEUED
        after = nvml.energy()
        return {} if after is None else {"energy": (after - before) / calls}

    def activities(self) -> list[Any]:
        """See `Device.activities`."""
        from torch.profiler import ProfilerActivity

        return [ProfilerActivity.CPU, ProfilerActivity.CUDA]

    def seconds_of(self, event: Any) -> float:
        """See `Device.seconds_of`: seconds of the event's kernels."""
        return float(event.device_time_total) / 1e6

    def kernels(self, call: Call, calls: int) -> list[list[Kernel]]:
        """See `Device.kernels`: from torch's profiler, in the order of the operators that launched them."""
        import torch
        from torch.profiler import profile, record_function

        with profile(activities=self.activities(), record_shapes=True) as profiler:
            for _ in range(calls):
                with record_function(CALL):
                    call()
            torch.cuda.synchronize()
        return [kernels_of(event) for event in profiler.events() or [] if event.name == CALL and event.cpu_children]

    def tells_gaps(self) -> bool:
        """See `Device.tells_gaps`: between operators the host works, and the device may not wait for it."""
        return False

    def overheads(self, case: Mapping[str, Any], shares: Mapping[str, float], time: float) -> dict[str, float]:
        """See `Device.overheads`: what launching takes beyond the time in which kernels run."""
        busy = case.get("device_busy")
        if busy is None or busy != busy:  # a missing figure is not equal to itself
            return {}
        return {"launch": max(0.0, 1 - busy / case["latency_p50"]) * time}


DEVICES = (Cuda("cuda"),)
