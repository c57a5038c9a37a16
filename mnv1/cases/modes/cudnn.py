"""cuDNN's own search for the fastest kernels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mnv1.cases.modes.mode import Made, OnCuda

if TYPE_CHECKING:
    import torch
    from torch import nn


@dataclass(frozen=True)
class CudnnBenchmark(OnCuda):
    """At the first call with a shape cuDNN times its kernels, and keeps the fastest."""

    def make(self, device: str, precision: str, module: nn.Module, images: torch.Tensor) -> Made:
        """See `Mode.make`; the switch belongs to the process, so it is on within calls alone."""
        import torch

        made, cudnn = super().make(device, precision, module, images), torch.backends.cudnn

        def call() -> object:
            cudnn.benchmark = True
            try:
                return made.call()
            finally:
                cudnn.benchmark = False

        return replace(made, call=call)

    def made_ready(self, precision: str, batch_size: int) -> Iterator[str]:
        """See `Mode.made_ready`."""
        yield from super().made_ready(precision, batch_size)
        yield "torch.backends.cudnn.benchmark = True  # kernels are timed at the first call with a shape"


MODES = (
    CudnnBenchmark("cudnn-benchmark", 15, "cuDNN times its kernels for each shape and keeps the fastest", sought=()),
)
