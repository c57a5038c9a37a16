"""What modes are made of: modules in other weights, data types and layouts, calls of them, and exported files."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from mnv1.base.packages import require
from mnv1.cases.devices.clock import Call
from mnv1.cases.modes.mode import Mode
from mnv1.cases.precisions import PRECISIONS, precision_context
from mnv1.net.compiling import RECOMPILE_LIMITS
from mnv1.net.folding import folded

CALIBRATION_IMAGES = 32
"""Random images, in four batches or more, from which int8 quantization learns the range of activations."""


def transformed(mode: Mode, precision: str, module: nn.Module, images: torch.Tensor) -> tuple[nn.Module, torch.Tensor]:
    """Module and images in the weights, data type and memory layout of a mode and precision."""
    if mode.folds:
        module = folded(module)
    if weights := PRECISIONS[precision].weights:
        dtype = getattr(torch, weights)
        module, images = module.to(dtype), images.to(dtype)
    if precision == "int8":
        quantize = require("mnv1.net.quantize", "quantize")
        module = quantize.post_training_quantized(module, calibration_images(images))
    if mode.channels_last:
        images = images.to(memory_format=torch.channels_last)
        return module.to(memory_format=torch.channels_last), images
    return module, images


def calibration_images(images: torch.Tensor) -> list[torch.Tensor]:
    """Random batches like the images, but other ones."""
    generator = torch.Generator().manual_seed(1)
    batches = max(4, CALIBRATION_IMAGES // len(images))
    return [torch.randn(images.shape, generator=generator).to(images.device) for _ in range(batches)]


def called(
    mode: Mode, device: str, precision: str, module: Callable[[torch.Tensor], object], images: torch.Tensor
) -> Call:
    """A call of a module with some images, as a program makes it that only wants outputs."""

    def call() -> object:
        with torch.inference_mode(), precision_context(device, precision, mode.keeps_casts):
            return module(images)

    return call


def state_size(module: nn.Module) -> int:
    """Bytes of a module's weights and buffers."""
    return sum(
        one.numel() * one.element_size() for one in module.state_dict().values() if isinstance(one, torch.Tensor)
    )


@contextmanager
def exported(module: nn.Module, images: torch.Tensor) -> Iterator[Path]:
    """A module as an ONNX file, which is gone afterwards."""
    from mnv1.net.export import write_onnx

    with tempfile.TemporaryDirectory(prefix="mnv1-onnx-") as folder, torch.no_grad():
        path = Path(folder) / "network.onnx"
        write_onnx(module, images, False, path)
        yield path


@contextmanager
def compiler_settings(preset: str, freezes: bool) -> Iterator[None]:
    """torch.compile's settings for its first call, which is when it compiles."""
    import torch._dynamo.config as dynamo
    import torch._inductor as inductor
    import torch._inductor.config as settings

    chosen = inductor.list_mode_options(preset) if preset else {}
    if freezes:
        chosen |= {"freezing": True}
    with settings.patch(chosen), dynamo.patch(RECOMPILE_LIMITS):
        yield
