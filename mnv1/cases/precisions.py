"""What a network computes in. torch is imported only where something runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mnv1.cases.devices import device_named

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Precision:
    """A precision, its bytes per element, and how far outputs of a mode may be off in it."""

    name: str
    element_size: int
    """Bytes per element that it computes on; the minimum bytes count with it."""
    tolerance: float
    """Largest error of an output with which a mode counts as right. Beyond it a mode is wrong; what is allowed, a user
    says."""
    weights: str = ""
    """Torch's name for the data type of weights and activations, where that is not fp32."""


PRECISIONS: dict[str, Precision] = {
    one.name: one
    for one in (
        Precision("fp32", 4, 1e-4),  # another order of additions
        Precision("tf32", 4, 1e-2),  # 10 bits of mantissa, rounded once a layer; of 16 bits 8 to 11
        Precision("amp", 2, 3e-2),
        Precision("bf16", 2, 3e-2, "bfloat16"),
        Precision("fp16", 2, 1e-2, "float16"),
        # 8 bits of each tensor's range, 1 to 3 % with random weights, where a lost scale or bias gives more than this.
        Precision("int8", 1, 1e-1),
    )
}


def precision_context(device: str, precision: str, keeps_casts: bool = True) -> AbstractContextManager[object]:
    """What a call under a precision runs in.

    `amp` enters autocast anew for every call, as a program does that wraps its forward pass, so the cast of the
    weights is part of the time. `keeps_casts`: whether autocast keeps weights that it has cast, within a call.
    TF32 is a setting of the process: `fp32_computed_in`.
    """
    if precision == "amp":
        import torch

        return torch.autocast(device, amp_dtype(device), cache_enabled=keeps_casts)
    return nullcontext()


def amp_dtype(device: str) -> torch.dtype:
    """What autocast computes in on a device."""
    import torch

    dtype: torch.dtype = getattr(torch, device_named(device).amp_dtype)
    return dtype


def operand_dtype(device: str, precision: str) -> torch.dtype:
    """What a matrix product's operands are under a precision."""
    import torch

    dtype: torch.dtype = getattr(torch, PRECISIONS[precision].weights or "float32")
    return amp_dtype(device) if precision == "amp" else dtype


@contextmanager
def fp32_computed_in(precision: str) -> Iterator[None]:
    """Meanwhile CUDA's fp32 convolutions and matrix products may use TF32, where the precision is `tf32`.

    Set around many calls: setting it takes microseconds, which would be part of each.
    """
    if precision != "tf32":
        yield
        return
    _allow_tf32(True)
    try:
        yield
    finally:
        _allow_tf32(False)


def _allow_tf32(allowed: bool) -> None:
    """By torch's older switches first: set by the newer ones alone, the older ones raise where they are read.

    Inductor reads them in torch 2.9 and 2.10, and convolution templates of 2.15 read `cudnn.fp32_precision`.
    """
    import torch

    cudnn: Any = torch.backends.cudnn
    torch.backends.cuda.matmul.allow_tf32 = cudnn.allow_tf32 = allowed
    precision = "tf32" if allowed else "ieee"
    torch.backends.cuda.matmul.fp32_precision = cudnn.fp32_precision = cudnn.conv.fp32_precision = precision
