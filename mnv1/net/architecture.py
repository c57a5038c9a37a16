"""MobileNetV1's architecture as data: one table, the width rule, and the layers that follow from both.

Nothing here needs torch. The model, the closed-form counts and the benchmark cases are all derived from this table,
so they cannot disagree.

Source: Howard et al. 2017, arXiv 1704.04861, Table 1. The table prints stride 2 for the last depthwise layer; its
input and output sides, its count of 569 M multiply-adds and every published implementation need stride 1 there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Op = Literal["standard", "depthwise", "pointwise", "pool", "linear"]
BlockKind = Literal["standard", "depthwise", "pointwise", "separable"]
Between = Literal["bn-relu", "none"]
"""What stands between the depthwise and the pointwise convolution: BatchNorm and ReLU, as in the paper, or nothing."""

NetworkKind = Literal["standard", "separable", "shallow"]

IMAGE_CHANNELS = 3
STEM_CHANNELS = 32
STEM_STRIDE = 2

ROWS: tuple[tuple[int, int], ...] = (
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    (512, 1),
    (512, 1),
    (512, 1),
    (512, 1),
    (512, 1),
    (1024, 2),
    (1024, 1),
)
"""The 13 blocks after the stem: (output channels at alpha 1, stride)."""

SHALLOW_ROWS = ROWS[:6] + ROWS[11:]
"""The paper's "shallow" variant (Table 5): without the five stride-1 blocks of 512 channels."""

MIN_SIDE = 32
"""Smallest input side that is supported: five strides of 2 leave one pixel."""


def scale_channels(channels: int, alpha: float) -> int:
    """Width rule: `channels * alpha`, rounded down to a multiple of 8, at least 8.

    Raises `ValueError` when `alpha` is not a positive finite number.
    """
    if not (math.isfinite(alpha) and alpha > 0):
        raise ValueError(f"alpha must be a positive number, got {alpha}")
    return max(8, int(channels * alpha) // 8 * 8)


def rows_of(kind: NetworkKind) -> tuple[tuple[int, int], ...]:
    """The (output channels, stride) rows of a network kind."""
    return SHALLOW_ROWS if kind == "shallow" else ROWS


def widths_of(kind: NetworkKind = "separable", alpha: float = 1.0) -> tuple[int, ...]:
    """Output channels of the stem and of each block. Raises `ValueError` for an `alpha` that is not positive."""
    return tuple(scale_channels(base, alpha) for base in (STEM_CHANNELS, *(base for base, _ in rows_of(kind))))


def kind_of(widths: Sequence[int], is_standard: bool = False) -> NetworkKind:
    """The kind of network that has so many widths, those of the stem and of each block.

    Raises `ValueError` when there is none, or a width is no positive whole number.
    """
    if not all(isinstance(width, int) and width > 0 for width in widths):
        raise ValueError(f"widths must be positive whole numbers, got {list(widths)}")
    kinds: tuple[NetworkKind, ...] = ("standard",) if is_standard else ("separable", "shallow")
    for kind in kinds:
        if len(widths) == 1 + len(rows_of(kind)):
            return kind
    raise ValueError(f"no network has {len(widths)} widths: 1 of the stem and {len(ROWS)} of blocks are needed")


@dataclass(frozen=True)
class Layer:
    """One convolution (with its BatchNorm and ReLU), pooling or fully connected layer.

    `side` is the input side in pixels; feature maps are square.
    """

    name: str
    op: Op
    in_channels: int
    out_channels: int
    kernel: int
    stride: int
    side: int

    @property
    def out_side(self) -> int:
        """Output side in pixels: 3x3 and 1x1 convolutions here keep `ceil(side / stride)`."""
        if self.op in ("pool", "linear"):
            return 1
        return -(-self.side // self.stride)

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Output shape without the batch dimension."""
        if self.op == "linear":
            return (self.out_channels,)
        return (self.out_channels, self.out_side, self.out_side)


def block_layers(
    kind: BlockKind, in_channels: int, out_channels: int, stride: int, side: int, name: str = "block"
) -> tuple[Layer, ...]:
    """The layers of one block of the given kind, for an input of `side` x `side` pixels.

    `depthwise` and `pointwise` are the two halves of the separable block of the same shape: the depthwise half keeps
    `in_channels` and carries the stride, the pointwise half works on the depthwise half's output.
    """
    depthwise = Layer(f"{name}.depthwise", "depthwise", in_channels, in_channels, 3, stride, side)
    pointwise = Layer(f"{name}.pointwise", "pointwise", in_channels, out_channels, 1, 1, depthwise.out_side)
    match kind:
        case "standard":
            return (Layer(f"{name}.standard", "standard", in_channels, out_channels, 3, stride, side),)
        case "depthwise":
            return (depthwise,)
        case "pointwise":
            return (pointwise,)
        case "separable":
            return (depthwise, pointwise)
    raise ValueError(f"unknown block kind {kind!r}")


def network_layers(
    kind: NetworkKind = "separable",
    alpha: float = 1.0,
    resolution: int = 224,
    num_classes: int = 1000,
    widths: Sequence[int] | None = None,
) -> tuple[Layer, ...]:
    """Every layer of a network, from the stem to the fully connected layer.

    `widths` replaces the output channels of the stem and of each block, which otherwise follow from `alpha`. Raises
    `ValueError` for an `alpha` that is not positive, a `resolution` below 32 px or widths of another number of blocks.
    """
    if resolution < MIN_SIDE:
        raise ValueError(f"resolution must be at least {MIN_SIDE} px, got {resolution}")
    channels, *rest = widths or widths_of(kind, alpha)
    layers = [Layer("stem", "standard", IMAGE_CHANNELS, channels, 3, STEM_STRIDE, resolution)]
    for number, (out_channels, (_, stride)) in enumerate(zip(rest, rows_of(kind), strict=True), start=1):
        block: BlockKind = "standard" if kind == "standard" else "separable"
        layers += block_layers(block, channels, out_channels, stride, layers[-1].out_side, f"block{number}")
        channels = out_channels
    layers.append(Layer("pool", "pool", channels, channels, layers[-1].out_side, 1, layers[-1].out_side))
    layers.append(Layer("classifier", "linear", channels, num_classes, 1, 1, 1))
    return tuple(layers)
