"""Events of torch's profiler, told apart by what their operators do. Needs no torch itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from mnv1.cases.devices.kernels import Kernel

CALL = "mnv1 call"
"""The name under which a call is recorded."""

CASTS = {"aten::to", "aten::_to_copy"}

_BY_NAME = {
    "aten::linear": "linear",
    "aten::addmm": "linear",
    "aten::batch_norm": "batch_norm",
    "aten::relu": "activation",
    "aten::relu_": "activation",
    "aten::relu6": "activation",
    "aten::hardtanh": "activation",
    "aten::hardtanh_": "activation",
}

_CONVERSION = re.compile(r"nchwToNhwc|nhwcToNchw|tensorTransform|convertTensor", re.IGNORECASE)
"""Kernels of cuDNN that copy from one memory layout to another."""


def operator_type(event: Any) -> str:
    """What type of operator an event is, by its name and the shapes of its inputs."""
    if event.name in CASTS:
        return "cast"
    if event.name in ("aten::conv2d", "aten::convolution"):
        weight = event.input_shapes[1]
        if weight[2:] == [1, 1]:
            return "pointwise"
        return "depthwise" if weight[1] == 1 else "standard"
    return _BY_NAME.get(event.name, "other")


def kernels_of(call: Any) -> list[Kernel]:
    """The device's kernels of a recorded call, each of the type of the operator that launched it."""
    return [kernel for event in call.cpu_children for kernel in _within(event, operator_type(event))]


def _within(event: Any, kind: str) -> Iterator[Kernel]:
    kind = "cast" if event.name in CASTS else kind
    for one in event.kernels:
        of_images = _CONVERSION.search(one.name)
        yield Kernel("images" if of_images else kind, one.name, "", "", one.duration / 1e6)  # microseconds
    for child in event.cpu_children:
        yield from _within(child, kind)
