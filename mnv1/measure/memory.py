"""Peak memory of one call, in a pass of its own: never while anything is timed."""

from __future__ import annotations

import torch
from torch.profiler import ProfilerActivity, profile

from mnv1.cases import Device
from mnv1.measure.clock import Call


def peak_memory(call: Call, device: Device) -> int:
    """Bytes allocated at the worst moment of one warm call, above what was allocated before it.

    So weights and inputs are not counted; activations, and copies of weights that the call makes, are. On the CPU the
    figure comes from the events of torch's allocator and repeats to the byte; scratch memory that libraries allocate
    by themselves is not seen. On CUDA it is the caching allocator's peak of allocated bytes.
    """
    return _peak_cuda(call) if device == "cuda" else _peak_cpu(call)


def _peak_cuda(call: Call) -> int:
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    call()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before


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
