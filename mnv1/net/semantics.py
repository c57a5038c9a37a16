"""What implementations of one network differ in besides the names of their weights, so that outputs agree or do not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import nn
from torch.nn import functional

Padding = Literal["symmetric", "same", "keras"]
Activation = Literal["relu", "relu6"]


@dataclass(frozen=True)
class Semantics:
    """How weights are meant to be used: `eps` is BatchNorm's.

    `padding` is that of convolutions with a stride. `symmetric` pads all sides alike; `same` as TensorFlow does, which
    for an even side means bottom and right only; `keras` does so in the stem, but pads depthwise convolutions at bottom
    and right whatever the side, so that an odd side of D pixels becomes (D - 1) / 2. With stride 1 they are the same.

    Raises `ValueError` for what is not known here.
    """

    padding: Padding = "symmetric"
    activation: Activation = "relu"
    eps: float = 1e-5

    def __post_init__(self) -> None:
        for name, known in (("padding", get_args(Padding)), ("activation", get_args(Activation))):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} {getattr(self, name)!r} is not known; valid values: {', '.join(known)}")
        if not (isinstance(self.eps, int | float) and 0 < self.eps < 1):
            raise ValueError(f"eps must be a number between 0 and 1, got {self.eps!r}")


PAPER = Semantics()
"""ReLU as in the paper, with torch's padding and eps: what this suite measures."""

TIMM = Semantics(activation="relu6")
"""timm's `mobilenetv1_*`, as trained from scratch in PyTorch."""

TENSORFLOW = Semantics("same", "relu6", 1e-3)
"""TensorFlow's checkpoints of 2018, and transformers, which carries them."""

KERAS = Semantics("keras", "relu6", 1e-3)
"""`keras.applications.MobileNet`: the same outputs as `TENSORFLOW` as long as the sides of feature maps are even."""


class SameConv2d(nn.Conv2d):
    """A convolution with TensorFlow's SAME padding: `ceil(side / stride)` outputs, an odd pixel at bottom and right.

    Input `(N, in_channels, H, W)`; state-dict keys are those of `nn.Conv2d`.
    """

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Input `(N, in_channels, H, W)` to `(N, out_channels, ceil(H / stride), ceil(W / stride))`."""
        top, bottom = same_padding(input.shape[-2], self.kernel_size[0], self.stride[0])
        left, right = same_padding(input.shape[-1], self.kernel_size[1], self.stride[1])
        return super().forward(functional.pad(input, (left, right, top, bottom)))


class BottomRightConv2d(nn.Conv2d):
    """A convolution that pads one pixel at the bottom and one at the right, as Keras's strided depthwise ones do.

    Input `(N, in_channels, H, W)`; state-dict keys are those of `nn.Conv2d`.
    """

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Input `(N, in_channels, H, W)` to `(N, out_channels, H // 2, W // 2)`, for kernel 3 and stride 2."""
        return super().forward(functional.pad(input, (0, 1, 0, 1)))


def same_padding(side: int, kernel: int, stride: int) -> tuple[int, int]:
    """Pixels before and after a side of so many pixels, by TensorFlow's rule for SAME padding."""
    outputs = -(-side // stride)
    total = max((outputs - 1) * stride + kernel - side, 0)
    return total // 2, total - total // 2


def apply_semantics(module: nn.Module, semantics: Semantics) -> None:
    """Make a module of convolutions, BatchNorm and ReLU mean what `semantics` says, in place; weights stay.

    `PAPER` leaves everything as it was built.
    """
    if semantics == PAPER:
        return
    for parent in list(module.modules()):
        for name, part in parent.named_children():
            if isinstance(part, nn.BatchNorm2d):
                part.eps = semantics.eps
            elif semantics.activation == "relu6" and isinstance(part, nn.ReLU):
                setattr(parent, name, nn.ReLU6(inplace=part.inplace))
            elif semantics.padding != "symmetric" and isinstance(part, nn.Conv2d) and max(part.stride) > 1:
                setattr(parent, name, _padded(part, semantics))


def _padded(convolution: nn.Conv2d, semantics: Semantics) -> nn.Conv2d:
    """A convolution that pads by itself, with the weights of the given one."""
    by_keras = semantics.padding == "keras" and convolution.groups > 1
    new = (BottomRightConv2d if by_keras else SameConv2d)(
        convolution.in_channels,
        convolution.out_channels,
        convolution.kernel_size,  # type: ignore[arg-type]  # torch types it as of any length
        convolution.stride,  # type: ignore[arg-type]
        groups=convolution.groups,
        bias=convolution.bias is not None,
    )
    new.weight, new.bias = convolution.weight, convolution.bias
    return new
