"""Networks by where they come from: `package.module:callable`, or `FILE.py:callable`."""

from __future__ import annotations

import importlib
import warnings
from pathlib import Path
from types import ModuleType

import torch
from torch import nn

from mnv1.base.errors import UserError
from mnv1.base.own_files import in_a_line, module_of
from mnv1.cases.workloads.called import first_tensor


class SourceError(UserError):
    """A network that cannot be had."""


def made_by(source: str) -> nn.Module:
    """What a callable makes, in evaluation mode. Raises `SourceError`."""
    place, _, name = source.rpartition(":")
    if not (place and name):
        raise SourceError(f"{source}: name a callable: package.module:callable or FILE.py:callable")
    module = module_of(Path(place)) if place.endswith(".py") else _imported(place)
    make = module
    for part in name.split("."):
        make = getattr(make, part, None)  # type: ignore[assignment]
    if not callable(make):
        raise SourceError(f"{source}: {place} has no callable {name!r}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made = make()
    except Exception as error:
        raise SourceError(
            f"{source}: cannot be called without arguments ({in_a_line(error)}): name a function of a FILE.py that "
            "gives them"
        ) from None
    if not isinstance(made, nn.Module):
        raise SourceError(f"{source}: returns {type(made).__name__}, which is no torch.nn.Module")
    return made.eval()


def _imported(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise SourceError(f"{name}: cannot be imported: {error}") from None
    except Exception as error:
        raise SourceError(f"{name}: raises when it is imported: {in_a_line(error)}") from None


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
