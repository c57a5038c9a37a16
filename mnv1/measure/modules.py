"""From a case to something that can be called: module, input, precision and checks."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import nn

from mnv1.blocks import Block as BlockFunction
from mnv1.blocks import conv_depthwise, conv_dw, conv_pointwise, conv_standard
from mnv1.cases import NUM_CLASSES, Block, Case, Conditions, Device, Workload
from mnv1.measure.clock import Call
from mnv1.model import MobileNetV1

AMP_DTYPES: dict[Device, torch.dtype] = {"cpu": torch.bfloat16, "cuda": torch.float16}
"""What autocast computes in under precision `amp`: torch's own default of each device."""

SEED = 0

_BLOCKS: dict[str, BlockFunction] = {
    "standard": conv_standard,
    "separable": conv_dw,
    "depthwise": conv_depthwise,
    "pointwise": conv_pointwise,
}


class WrongOutputError(Exception):
    """A workload gave an output that is not finite or not of the right shape, so timing it would say nothing."""


@dataclass(frozen=True)
class Prepared:
    """A case that is ready to be timed: its output was checked."""

    call: Call
    module: nn.Module


def why_unavailable(conditions: Conditions) -> str | None:
    """Why a case under these conditions cannot run on this machine, or None when it can."""
    if conditions.device == "cuda" and not torch.cuda.is_available():
        return "no CUDA device: torch.cuda.is_available() is false here"
    return None


def build(workload: Workload) -> nn.Module:
    """The module of a workload, in evaluation mode, with seeded weights."""
    torch.manual_seed(SEED)
    if isinstance(workload, Block):
        module: nn.Module = _BLOCKS[workload.kind](workload.in_channels, workload.out_channels, workload.stride)
    else:
        block = conv_standard if workload.kind == "standard" else conv_dw
        module = MobileNetV1(NUM_CLASSES, workload.alpha, block, shallow=workload.kind == "shallow")
    return module.eval()


def prepare(case: Case) -> Prepared:
    """Build a case's module and input, and check its output once.

    Raises `WrongOutputError` when the output is not finite or has the wrong shape.
    """
    device = case.conditions.device
    module = build(case.workload).to(device)
    images = torch.randn(case.input_shape, generator=torch.Generator().manual_seed(SEED)).to(device)

    def call() -> torch.Tensor:
        with torch.inference_mode(), precision_context(case.conditions):
            output: torch.Tensor = module(images)
        return output

    output = call()
    if tuple(output.shape) != case.output_shape:
        raise WrongOutputError(f"{case.id}: output has shape {tuple(output.shape)}, expected {case.output_shape}")
    if not bool(torch.isfinite(output).all()):
        raise WrongOutputError(f"{case.id}: output is not finite")
    return Prepared(call, module)


def precision_context(conditions: Conditions) -> AbstractContextManager[object]:
    """What a call under a precision runs in.

    `amp` enters autocast anew for every call, as a program does that wraps its forward pass, so the cast of the
    weights is part of the time.
    """
    if conditions.precision == "amp":
        return torch.autocast(conditions.device, AMP_DTYPES[conditions.device])
    if conditions.precision == "tf32":
        return _Tf32()
    return nullcontext()


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
