"""Peak memory of one call, in passes of their own: never while anything is timed."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from mnv1.cases.case import Case, Device
from mnv1.measure.children import ask
from mnv1.measure.clock import Call
from mnv1.measure.facts import Facts
from mnv1.measure.modules import PreparedStep, prepare
from mnv1.measure.state import hand_back_freed_memory

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

RESET = Path("/proc/self/clear_refs")
"""Where Linux lets a process reset its high-water mark."""

KERNEL_WORK_TIME = 0.15
"""Seconds of calls over which the kernel's work is averaged."""


def peak_memory(call: Call, device: Device) -> Facts:
    """Bytes allocated at the worst moment of one warm call, above what was allocated before it: `peak_memory`.

    So weights and inputs are not counted; activations, and copies of weights that the call makes, are. On the CPU the
    figure comes from the events of torch's allocator and repeats to the byte; scratch memory that libraries allocate
    by themselves is not seen (`process_peak` sees it). On CUDA it is the caching allocator's peak of allocated bytes,
    and `peak_reserved` is what the allocator took from the device for it, above what it held.

    A training step must find no gradients: those of the step before, which it frees, would be taken from its peak.
    """
    return _peak_cuda(call) if device == "cuda" else {"peak_memory": _peak_cpu(call)}


def process_peak(case: Case) -> int | None:
    """Bytes by which a process's resident memory grows at the worst moment of one warm call, on the CPU.

    Measured in a fresh process with the allocator as it comes, by the kernel's high-water mark (VmHWM), reset after a
    first call whose memory was handed back. It contains the scratch memory of libraries, in whole pages. None where
    the kernel does not allow to reset the mark, or the allocator is not glibc's, which alone hands memory back.
    """
    return ask(_growth, case) if RESET.exists() else None


def kernel_work(call: Call, seconds: float) -> Facts:
    """What the kernel does for a call on the CPU: `system_time` (seconds, all threads together) and `page_faults`.

    Mostly that is mapping and clearing fresh pages for memory that the allocator had handed back. A call takes about
    `seconds`; calls are repeated for `KERNEL_WORK_TIME`, because the system counts in ticks of some milliseconds.
    Nothing where the system does not count for a process (Windows).
    """
    if resource is None:
        return {}
    calls = max(2, round(KERNEL_WORK_TIME / seconds))
    call()  # what passes before this one left to the system is mapped anew once, and is not the call's
    before = resource.getrusage(resource.RUSAGE_SELF)
    for _ in range(calls):
        call()
    after = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "system_time": (after.ru_stime - before.ru_stime) / calls,
        "page_faults": (after.ru_minflt - before.ru_minflt) / calls,
    }


def _growth(case: Case) -> int | None:
    prepared = prepare(case)  # and called once
    if isinstance(prepared, PreparedStep):
        prepared.step.forget_gradients()
    if not hand_back_freed_memory():
        return None
    try:
        RESET.write_text("5")  # resets VmHWM to what is resident now
    except OSError:
        return None
    before = _resident()
    prepared.call()
    return _high_water_mark() - before


def _resident() -> int:
    return _status("VmRSS")


def _high_water_mark() -> int:
    return _status("VmHWM")


def _status(name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    if found is None:
        raise RuntimeError(f"/proc/self/status has no {name}")
    return 1024 * int(found[1])


def _peak_cuda(call: Call) -> Facts:
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


def _peak_cpu(call: Call) -> int:
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        call()
    recorder = profiler.profiler
    if recorder is None or recorder.kineto_results is None:
        raise RuntimeError("torch's profiler recorded nothing, so peak memory is not known")
    events = [event for event in recorder.kineto_results.events() if event.name() == "[memory]"]
    events.sort(key=lambda event: event.start_ns())
    allocated = peak = 0
    for event in events:
        allocated += event.nbytes()
        peak = max(peak, allocated)
    return peak
