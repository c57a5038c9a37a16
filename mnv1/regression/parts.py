"""What a call consists of: what is exact about it, and by which operators or functions its time goes.

The file runs by itself, with Python alone: a process under test loads it beside whatever code it tests. torch is
imported where a case computes with it.
"""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

Call = Callable[[], Any]

LOOK_EVERY = 0.001
"""Seconds of CPU time between two looks of the sampling profiler at what runs."""


def torch_facts(call: Call, device: str, module: Any) -> dict[str, int]:
    """What is deterministic about a call that computes with torch: MACs, operators, and the most memory at once.

    Beside them the parameters of what is called, where that is a `module`.
    """
    import torch
    from torch.profiler import ProfilerActivity, profile
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        call()
    on_host, accelerator = device == "cpu", getattr(torch, device)
    before = 0 if on_host else accelerator.memory_allocated()
    if not on_host:
        accelerator.reset_peak_memory_stats()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        call()
    facts = {
        "macs": counter.get_total_flops() // 2,
        "peak_memory": _peak(profiler) if on_host else accelerator.max_memory_allocated() - before,
        "operators": sum(one.cpu_parent is None and one.name != "[memory]" for one in profiler.events()),
    }
    if module is not None:
        facts["params"] = sum(weight.numel() for weight in module.parameters())
    return facts


def _peak(profiler: Any) -> int:
    """The most bytes that were allocated at once, from the events of torch's CPU allocator."""
    events = profiler.profiler.kineto_results.events()
    allocated = peak = 0
    for event in sorted((one for one in events if one.name() == "[memory]"), key=lambda one: one.start_ns()):
        allocated += event.nbytes()
        peak = max(peak, allocated)
    return peak


def operators(call: Call, device: str, wait: Call, calls: int) -> dict[str, list[float]]:
    """By torch's operator, or by kernel on an accelerator: how often it ran and its own seconds."""
    from torch.profiler import ProfilerActivity, profile

    on_host = device == "cpu"
    activities = [ProfilerActivity.CPU] if on_host else [ProfilerActivity.CPU, ProfilerActivity.CUDA]
    with profile(activities=activities) as profiler:
        for _ in range(calls):
            call()
        wait()
    parts: dict[str, list[float]] = {}
    for one in profiler.key_averages():
        microseconds = one.self_cpu_time_total if on_host else one.self_device_time_total
        if microseconds > 0:
            parts[one.key] = [one.count, 1e-6 * microseconds]
    return parts


def functions(call: Call, calls: int, root: Path) -> Counter[str]:
    """By Python function: in how many looks it was the innermost one that runs, of the code under test if any is."""
    looks: Counter[str] = Counter()
    if not hasattr(signal, "setitimer"):  # not on every system
        return looks

    def look(_: int, frame: FrameType | None) -> None:
        innermost, one = frame, frame
        while one is not None and not Path(one.f_code.co_filename).is_relative_to(root):
            one = one.f_back
        found = one or innermost
        if found is not None:
            code = found.f_code
            file = Path(code.co_filename)
            place = file.relative_to(root) if file.is_relative_to(root) else Path(file.name)
            looks[f"{getattr(code, 'co_qualname', code.co_name)} ({place.as_posix()})"] += 1

    before = signal.signal(signal.SIGPROF, look)
    signal.setitimer(signal.ITIMER_PROF, LOOK_EVERY, LOOK_EVERY)
    try:
        for _ in range(calls):
            call()
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
    return looks
