"""A network whose output is one tensor, whatever its own output is."""

from __future__ import annotations

import torch
from torch import nn

from mnv1.cases.workloads.called import first_tensor
from mnv1.net.source import SourceError


class OneTensor(nn.Module):
    """A network whose output is the first tensor of what the given one returns: tuples and dicts are searched."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """What the network makes of the images, as one tensor. Raises `SourceError` where there is none."""
        found = first_tensor(self.network(images))
        if not isinstance(found, torch.Tensor):
            raise SourceError("the network returns no tensor, nor a tuple or dict of tensors")
        return found
