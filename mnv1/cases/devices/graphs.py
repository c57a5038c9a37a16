"""CUDA graphs: calls that are recorded once, and whose kernels are then launched together."""

from __future__ import annotations

from typing import Any

from mnv1.cases.devices.clock import Call

FIRST_CALLS = 3
"""Libraries choose kernels and allocate in first calls, which cannot be recorded."""


def recorded(cuda: Any, call: Call, number: int = 1) -> tuple[Any, object]:
    """A graph of so many calls, and what the last one returned, which every replay overwrites.

    `cuda` is `torch.cuda`, or what a test puts in its place. Whatever the kernels read must be kept by whoever replays.
    """
    side = cuda.Stream()
    side.wait_stream(cuda.current_stream())
    with cuda.stream(side):
        for _ in range(FIRST_CALLS):
            call()
    cuda.current_stream().wait_stream(side)
    graph = cuda.CUDAGraph()
    with cuda.graph(graph):
        for _ in range(number):
            output = call()
    return graph, output
