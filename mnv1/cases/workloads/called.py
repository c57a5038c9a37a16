"""A callable and its input as a module, so that both are copied, counted and moved as those of any other workload."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn


class Called(nn.Module):
    """Calls something with its input. Tensors of the input are buffers: they move and are copied with the module."""

    def __init__(self, called: Callable[..., object], given: tuple[object, ...]) -> None:
        super().__init__()
        self.called = called
        self._given = given
        for number, one in enumerate(given):
            if isinstance(one, torch.Tensor):
                self.register_buffer(f"given{number}", one, persistent=False)

    def forward(self) -> Any:
        """What it makes of its input: the first tensor of that, if there is one."""
        given = [getattr(self, f"given{number}", one) for number, one in enumerate(self._given)]
        return first_tensor(self.called(*given))


def first_tensor(output: object) -> object:
    """The first tensor of tuples, lists and dicts; anything else as it is."""
    if isinstance(output, dict):
        output = list(output.values())
    if isinstance(output, list | tuple):
        found = [first_tensor(one) for one in output]
        return next((one for one in found if isinstance(one, torch.Tensor)), None)
    return output
