"""What torch.compile needs so that every network is compiled, and each by itself."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from types import FunctionType
from typing import Any

import torch

RECOMPILE_LIMITS = dict.fromkeys(("recompile_limit", "accumulated_recompile_limit"), 10_000)
"""Settings of torch._dynamo.config while something is compiled: torch gives a function up after 8 modules, and then
runs it eagerly without a word; a sweep has more."""

_numbers = itertools.count()


def own_function(module: Callable[[torch.Tensor], Any]) -> Callable[[torch.Tensor], Any]:
    """A function that calls a module, with code that no other function has.

    torch keeps what it compiled by code, and looks through all of it at every call: another network of the same class
    would count towards this one's limit, and another mode of the same network would be what was compiled first.
    """

    def run(images: torch.Tensor) -> Any:
        return module(images)

    code = run.__code__.replace(co_name=f"run_{next(_numbers)}")
    return FunctionType(code, run.__globals__, closure=run.__closure__)
