"""Where calls run: what a device is asked for, and plain answers that serve any accelerator which torch knows.

torch is imported only where a device is used: the process that plans a sweep imports this module without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mnv1.base.facts import Facts
from mnv1.cases.devices.clock import Call, Clock, Laps, WallClock, WallLaps
from mnv1.cases.devices.kernels import Kernel

UNKNOWN_CACHE = 2**26
"""Bytes that are taken for the size of a last-level cache that nobody tells."""


@dataclass(frozen=True)
class Batches:
    """Batch sizes that tell something on a device; the throughput batch is where images/s no longer grows much."""

    small: tuple[int, ...]
    every: tuple[int, ...]
    throughput: tuple[int, ...]
    training: tuple[int, ...]
    narrow_training: tuple[int, ...]
    """Of networks with fewer channels, where a large batch tells little that a small one does not."""


class Device:
    """A device by torch's name for it. Subclasses say what is special; a module of this folder lists its `DEVICES`."""

    place = 100
    """Order among the devices."""
    is_host = False
    """Whether calls run on the CPU: controls of the machine then tell about their rounds."""
    by_default = False
    """Whether the profiles have cases for it without being asked; others are named in `--devices`."""
    precisions: tuple[str, ...] = ("fp32", "amp", "bf16")
    """What its kernels compute in."""
    amp_dtype = "float16"
    """What autocast computes in: the name of torch's own default for the device."""
    batches = Batches((1, 8, 256), (1, 8, 32, 256), (256,), (32, 256), (32, 256))
    round_time = 5e-3
    """Shortest round, in seconds: the one synchronisation a round, some 10 µs, must not matter."""
    gemm_side = 8192
    """Side of the matrices whose product is a ceiling: large enough for the peak rate, short enough for a round."""
    convolution_batch = 256
    """Images of the convolution that is a ceiling."""
    usual_rate = 1e13
    """Multiply-accumulates a second for planning alone: every machine must plan alike."""
    distributed = "gloo"
    """torch.distributed's backend between processes that train on it."""

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def place_in_code(self) -> str:
        """What follows a module or tensor in a line of Python that puts it there."""
        return "" if self.is_host else f'.to("{self.name}")'

    def is_available(self) -> bool:
        """Whether torch finds it here."""
        import torch

        current = torch.accelerator.current_accelerator(check_available=True)
        return current is not None and current.type == self.name

    def why_not_here(self, environment: Mapping[str, object]) -> str | None:
        """Why nothing runs on it on the machine of an environment (`describe`), or None."""
        if environment.get("accelerator") == self.name:
            return None
        return f"no {self.name} device: torch.accelerator finds none here"

    def why_too_slow(self, precision: str, environment: Mapping[str, object]) -> str | None:
        """Why a precision is measured there only by name, or None."""
        return None

    def describe(self) -> Facts:
        """Facts about it, for the environment of a run; only asked where it is available."""
        return {"accelerator": self.name}

    def warnings(self) -> list[str]:
        """What makes its figures less trustworthy now, each with what to do about it."""
        return []

    def machine_name(self) -> str:
        """What it adds to the name of the machine: nothing, unless it is measured without being asked for."""
        return ""

    def wait(self) -> None:
        """Return when everything that was called on it is done."""
        import torch

        torch.accelerator.synchronize()

    def clock(self) -> Clock:
        """What times rounds of calls on it."""
        return WallClock(self.wait)

    def laps(self) -> Laps:
        """What times the parts of a call on it."""
        return WallLaps(self.wait)

    def peak_memory(self, call: Call) -> Facts:
        """Bytes allocated at the worst moment of one warm call, above what was allocated before it: `peak_memory`.

        So weights and inputs are not counted; activations, and copies of weights that the call makes, are. Nothing
        where torch's allocator for the device does not count.
        """
        import torch

        counts: Any = torch.accelerator
        try:
            counts.memory.empty_cache()
            before = counts.memory.memory_allocated()
            counts.memory.reset_peak_memory_stats()
        except (AttributeError, NotImplementedError, RuntimeError):
            return {}
        call()
        self.wait()
        return {"peak_memory": int(counts.memory.max_memory_allocated() - before)}

    def reserved(self) -> int:
        """Bytes that torch's allocator holds of it; 0 where it does not tell."""
        return 0

    def replayed(self, call: Call, number: int) -> tuple[Call, int]:  # of devices with graphs
        """A call that does the work of so many without the host, and how many they are: the call itself, and 1."""
        return call, 1

    def forget(self) -> None:
        """Hand back memory that torch keeps for later, where something did not fit."""
        import torch

        memory: Any = getattr(torch.accelerator, "memory", None)
        if memory is not None:
            memory.empty_cache()

    def busy(self, call: Call) -> Facts:
        """Seconds a call in which kernels run (`device_busy`) and how many (`device_kernels`), where the device tells.

        A profiler may slow what comes later in its process, so nothing is timed for a figure there.
        """
        return {}

    def now(self, call: Call) -> Facts:
        """What its clocks are and what holds them back while it works on some calls, where the device tells."""
        return {}

    def last_level_cache(self) -> int | None:
        """Bytes of the last-level cache, or None when the system does not tell."""
        return None

    def emptying(self) -> Call:
        """A call after which caches hold nothing of what they held: it reads and writes memory twice their size.

        Writing alone would not do: large stores pass the caches by.
        """
        import torch

        numbers = 2 * (self.last_level_cache() or UNKNOWN_CACHE) // 4
        memory = torch.zeros(numbers, dtype=torch.int32, device=self.name)

        def empty() -> object:
            return memory.add_(1)

        return empty

    def energy(self, call: Call) -> Facts:
        """Joules a call (`energy`), where the device counts them."""
        return {}

    def activities(self) -> list[Any]:
        """What torch's profiler records of it."""
        from torch.profiler import ProfilerActivity

        return [ProfilerActivity.CPU]

    def seconds_of(self, event: Any) -> float:
        """Seconds of a profiled event there."""
        return float(event.cpu_time_total) / 1e6

    def kernels(self, call: Call, calls: int) -> list[list[Kernel]]:
        """The kernels that ran in each of some calls, in their order; nothing where nobody tells."""
        return []

    def tells_gaps(self) -> bool:
        """Whether the time between profiled operators is the device's time too."""
        return True

    def overheads(self, case: Mapping[str, Any], shares: Mapping[str, float], time: float) -> dict[str, float]:
        """Seconds by cause that a call of `time` seconds takes beside its kernels.

        `case` holds the facts of a latency, `shares` the shares of its time by type of operator.
        """
        return {}
