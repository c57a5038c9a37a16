"""What torch's allocator on the CPU did during a call."""

from __future__ import annotations

from torch.profiler import ProfilerActivity, profile

from mnv1.cases.devices.clock import Call


def peak_of(call: Call) -> int:
    """Bytes allocated at the worst moment of a call, above what was allocated before it."""
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
