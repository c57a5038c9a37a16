"""Execution modes as data: what each does to a network, where it exists, what it needs, how far outputs may be off.

The error of an output is its relative L2 difference from that of plain eager fp32 code with the same weights and
images, ‖output − eager‖ / ‖eager‖ over the whole batch (Frobenius' norm): one wrong class among a thousand counts with
its weight, and a single element that is nearly zero cannot make it infinite. Needs no torch.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec

from mnv1.cases.case import DEVICES, MODES, PRECISIONS, Conditions, Device, Mode, Precision

TOLERANCE: dict[Precision, float] = {"fp32": 1e-4, "tf32": 1e-2, "amp": 3e-2, "bf16": 3e-2, "int8": 1e-1}
"""Largest error of an output with which a mode counts as right. fp32: another order of additions. tf32 and 16 bits:
10 and 8 to 11 bits of mantissa, rounded once a layer. int8: 8 bits of each tensor's range, 1 to 3 % with random
weights, where a lost scale or bias gives more than this. Beyond it a mode is wrong; what is allowed, a user says."""


@dataclass(frozen=True)
class ExecutionMode:
    """What a mode does, in a sentence, and where it exists.

    `precisions` names those in which it exists, by device. `package` is what it needs beside torch, and `extra` this
    project's extra that brings it. `compiles`: whether it needs a C++ compiler on the CPU, and triton on CUDA.
    """

    what: str
    precisions: Mapping[Device, tuple[Precision, ...]]
    package: str | None = None
    extra: str | None = None
    compiles: bool = False


_IN_TORCH: dict[Device, tuple[Precision, ...]] = {
    "cpu": ("fp32", "amp", "bf16"),
    "cuda": ("fp32", "tf32", "amp", "bf16"),
}
_QUANTIZED: dict[Device, tuple[Precision, ...]] = {"cpu": (*_IN_TORCH["cpu"], "int8"), "cuda": _IN_TORCH["cuda"]}

EXECUTION_MODES: dict[Mode, ExecutionMode] = {
    "eager": ExecutionMode("the module is called as it is", _IN_TORCH),
    "channels_last": ExecutionMode("weights and images have their channels innermost in memory", _IN_TORCH),
    "folded": ExecutionMode("each BatchNorm is folded into the convolution before it", _IN_TORCH),
    "folded+channels_last": ExecutionMode("BatchNorm folded, channels innermost", _IN_TORCH),
    "compiled": ExecutionMode("torch.compile as it comes", _IN_TORCH, compiles=True),
    "compiled+freezing": ExecutionMode(
        "torch.compile that may take weights for constants: it folds, reorders and packs them",
        _QUANTIZED,
        compiles=True,
    ),
    "max-autotune": ExecutionMode(
        "the same, and torch.compile times several kernels for each matrix product and keeps the fastest",
        _QUANTIZED,
        compiles=True,
    ),
    "cuda-graph": ExecutionMode(
        "BatchNorm folded, channels innermost; a call's kernels are recorded once and launched together",
        {"cuda": _IN_TORCH["cuda"]},
    ),
    "onnxruntime": ExecutionMode("exported to ONNX, run by ONNX Runtime", {"cpu": ("fp32",)}, "onnxruntime", "onnx"),
    "openvino": ExecutionMode(
        "exported to ONNX, run by OpenVINO, which can compute in bf16",
        {"cpu": ("fp32", "bf16")},
        "openvino",
        "openvino",
    ),
}

OUTSIDE_TORCH: tuple[Mode, ...] = ("onnxruntime", "openvino")
"""Modes whose memory torch's allocator does not see."""


def is_plain(conditions: Conditions) -> bool:
    """Whether the module is called as it is: nothing is transformed, so there is nothing to compare it with."""
    return conditions.mode == "eager" and conditions.precision in ("fp32", "tf32", "amp")


def exists(mode: Mode, precision: Precision, device: Device) -> bool:
    """Whether there is such a mode, on any machine."""
    return precision in EXECUTION_MODES[mode].precisions.get(device, ())


def why_not_here(mode: Mode, precision: Precision, device: Device) -> str | None:
    """Why a mode cannot be run with what is installed here, in a line that says what to do; None when it can.

    Whether there is a CUDA device is not looked at.
    """
    about = EXECUTION_MODES[mode]
    if not exists(mode, precision, device):
        return _where(mode, precision)
    if about.package and find_spec(about.package) is None:
        return f"{about.package} is not installed: pip install -c constraints.txt -e '.[{about.extra}]'"
    if precision == "int8" and find_spec("torchao") is None:
        return "torchao is not installed: pip install -c constraints.txt -e '.[quantize]'"
    compiler = os.environ.get("CXX", "g++")
    if about.compiles and device == "cpu" and shutil.which(compiler) is None:
        return f"{mode} needs a C++ compiler, and {compiler} is not found: install one, or name one in CXX"
    if about.compiles and device == "cuda" and find_spec("triton") is None:
        return f"{mode} needs triton on CUDA: pip install triton"
    return None


def _where(mode: Mode, precision: Precision) -> str:
    precisions = EXECUTION_MODES[mode].precisions
    if "cpu" not in precisions:
        return f"{mode} needs CUDA"
    if not any(precision in some for some in precisions.values()):
        known = [one for one in PRECISIONS if any(one in some for some in precisions.values())]
        return f"{mode} does not exist in {precision}: it does in {', '.join(known)}"
    devices = [device for device in DEVICES if precision in precisions.get(device, ())]
    return f"{mode} in {precision} exists on {' and '.join(devices)} only"


def combinations(device: Device) -> list[tuple[Mode, Precision]]:
    """Every mode and precision that exists on a device, plain ones first."""
    return [(mode, precision) for precision in PRECISIONS for mode in MODES if exists(mode, precision, device)]
