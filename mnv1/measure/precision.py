"""What a call under a precision runs in, and what it computes on."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

from mnv1.cases.case import Conditions, Device, Precision
from mnv1.measure.facts import AMP_DTYPES


def precision_context(conditions: Conditions) -> AbstractContextManager[object]:
    """What a call under a precision runs in.

    `amp` enters autocast anew for every call, as a program does that wraps its forward pass, so the cast of the
    weights is part of the time.
    """
    if conditions.precision == "amp":
        # A graph replays reads of what the cache held when it was recorded, which is then freed.
        return torch.autocast(
            conditions.device, amp_dtype(conditions.device), cache_enabled=conditions.mode != "cuda-graph"
        )
    if conditions.precision == "tf32":
        return _Tf32()
    return nullcontext()


def amp_dtype(device: Device) -> torch.dtype:
    """What autocast computes in on a device."""
    dtype: torch.dtype = getattr(torch, AMP_DTYPES[device])
    return dtype


def operand_dtype(device: Device, precision: Precision) -> torch.dtype:
    """What a matrix product's operands are under a precision."""
    if precision == "bf16":
        return torch.bfloat16
    return amp_dtype(device) if precision == "amp" else torch.float32


class _Tf32:
    """Within it, CUDA's fp32 convolutions and matrix products may use TF32."""

    def __enter__(self) -> None:
        self._set("tf32")

    def __exit__(self, *exception: object) -> None:
        self._set("ieee")

    @staticmethod
    def _set(precision: str) -> None:
        torch.backends.cuda.matmul.fp32_precision = precision
        torch.backends.cudnn.conv.fp32_precision = precision  # type: ignore[attr-defined]
