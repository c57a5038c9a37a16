"""Kernels that are recorded once and launched together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from mnv1.cases.devices import Device
from mnv1.cases.devices.clock import Call
from mnv1.cases.devices.graphs import recorded
from mnv1.cases.modes.mode import Made, OnCuda

if TYPE_CHECKING:
    import torch
    from torch import nn


@dataclass(frozen=True)
class CudaGraph(OnCuda):
    """A CUDA graph of a whole call."""

    # A graph replays reads of what autocast's cache held when it was recorded, which is then freed.
    keeps_casts: ClassVar[bool] = False
    leaves_trace: ClassVar[bool] = False

    def replays(self, device: Device) -> bool:
        """See `Mode.replays`."""
        return not device.is_host

    def make(self, device: str, precision: str, module: nn.Module, images: torch.Tensor) -> Made:
        """See `Mode.make`."""
        import torch

        from mnv1.cases.making import state_size, transformed

        module, images = transformed(self, precision, module, images)
        return Made(self.recorded(device, precision, module, images, torch.cuda), state_size(module))

    def recorded(self, device: str, precision: str, module: nn.Module, images: torch.Tensor, cuda: Any) -> Call:
        """A call that copies the images to where the recorded kernels read them, and launches all of these together.

        `cuda` is `torch.cuda`, or what a test puts in its place. The output is overwritten by the next call.
        """
        from mnv1.cases.making import called

        static = images.clone()
        call = called(self, device, precision, module, static)
        graph, output = recorded(cuda, call)

        def replay(_held: Call = call) -> object:  # the graph reads the weights' memory, which must not be freed
            static.copy_(images)
            graph.replay()
            return output

        return replay

    def lines(self, device: Device, precision: str, batch_size: int) -> Iterator[str]:
        """See `Mode.lines`."""
        yield from self.made_ready(precision, batch_size)
        yield f"with {', '.join(self._contexts(device, precision))}:"
        yield "    side = torch.cuda.Stream()"
        yield "    side.wait_stream(torch.cuda.current_stream())"
        yield "    with torch.cuda.stream(side):"
        yield "        for _ in range(3):  # kernels are chosen in first calls, which cannot be recorded"
        yield "            model(images)"
        yield "    torch.cuda.current_stream().wait_stream(side)"
        yield "    graph = torch.cuda.CUDAGraph()"
        yield "    with torch.cuda.graph(graph):"
        yield "        logits = model(images)"
        yield "    # For each batch: images.copy_(batch), then"
        yield "    graph.replay()  # writes logits"


MODES = (
    CudaGraph("graph", 75, "a call's kernels are recorded once and launched together", sought=()),
    CudaGraph(
        "cuda-graph",
        80,
        "BatchNorm folded, channels innermost; a call's kernels are recorded once and launched together",
        folds=True,
        channels_last=True,
        sought=("fp32", "tf32", "amp", "bf16"),
        compared=("fp32", "tf32", "amp", "bf16"),
    ),
)
