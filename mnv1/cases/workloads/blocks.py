"""Single blocks: the network's own, by kind and shape. Whoever adds a kind adds a `BlockType` here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from mnv1.cases.workloads.workload import LAYER, Effort, Workload
from mnv1.net.architecture import MIN_SIDE, Layer, block_layers
from mnv1.net.counts import count, memory_floor

if TYPE_CHECKING:
    from torch import nn


EMPTY_CHANNELS, EMPTY_SIDE = 8, 2
"""A block of the same operators that has next to nothing to compute."""


@dataclass(frozen=True)
class BlockType:
    """A kind of block."""

    name: str
    colour: str
    """Of its bars and lines, as matplotlib takes it."""
    layers: Callable[[int, int, int, int], tuple[Layer, ...]]
    """Its layers as data, from input channels, output channels, stride and input side in pixels: counts follow."""
    build: Callable[[int, int, int], nn.Module]
    """Its module, from input channels, output channels and stride. Imports torch."""


def _of(function: str) -> Callable[[int, int, int], nn.Module]:
    """One of `mnv1.net.blocks`, which imports torch, by name."""

    def build(in_channels: int, out_channels: int, stride: int) -> nn.Module:
        from mnv1.net import blocks

        module: nn.Module = getattr(blocks, function)(in_channels, out_channels, stride)
        return module

    return build


# Colours of Okabe and Ito's palette (2008), which stays distinct for the common kinds of colour blindness.
BLOCK_TYPES: dict[str, BlockType] = {
    one.name: one
    for one in (
        BlockType("standard", "#D55E00", partial(block_layers, "standard"), _of("conv_standard")),
        BlockType("depthwise", "#56B4E9", partial(block_layers, "depthwise"), _of("conv_depthwise")),
        BlockType("pointwise", "#009E73", partial(block_layers, "pointwise"), _of("conv_pointwise")),
        BlockType("separable", "#0072B2", partial(block_layers, "separable"), _of("conv_dw")),
    )
}


@dataclass(frozen=True)
class Block(Workload):
    """One block of the network, by its shape: `side` is the input side in pixels."""

    kind: str
    in_channels: int
    out_channels: int
    stride: int
    side: int

    subject: ClassVar[str] = "layer"
    effort: ClassVar[Effort] = LAYER
    is_profiled: ClassVar[bool] = False

    @property
    def shape_id(self) -> str:
        """See `Workload.shape_id`: `64x128-s2-d112`."""
        return f"{self.in_channels}x{self.out_channels}-s{self.stride}-d{self.side}"

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers that it is made of."""
        return BLOCK_TYPES[self.kind].layers(self.in_channels, self.out_channels, self.stride, self.side)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """See `Workload.input_shape`."""
        first = self.layers[0]
        return (first.in_channels, first.side, first.side)

    @property
    def output_shape(self) -> tuple[int, ...]:
        """See `Workload.output_shape`."""
        return self.layers[-1].output_shape

    def columns(self) -> dict[str, object]:
        """See `Workload.columns`."""
        return {
            "in_channels": self.in_channels,
            "out_channels": self.out_channels,
            "stride": self.stride,
            "side": self.side,
        }

    def build(self) -> nn.Module:
        """See `Workload.build`."""
        return BLOCK_TYPES[self.kind].build(self.in_channels, self.out_channels, self.stride)

    @property
    def smallest(self) -> Block:
        """See `Workload.smallest`."""
        return replace(self, side=MIN_SIDE)

    @property
    def emptied(self) -> Block:
        """See `Workload.emptied`."""
        return replace(self, in_channels=EMPTY_CHANNELS, out_channels=EMPTY_CHANNELS, side=EMPTY_SIDE)

    @property
    def twin(self) -> Block | None:
        """See `Workload.twin`: the standard convolution of a separable block's shape."""
        return replace(self, kind="standard") if self.kind == "separable" else None

    def counts(self, batch_size: int, element_size: int) -> Mapping[str, int]:
        """See `Workload.counts`."""
        return closed_forms(self.layers, batch_size, element_size)

    def expected_macs(self, batch_size: int) -> float:
        """See `Workload.expected_macs`."""
        return count(self.layers, batch_size).macs


def closed_forms(layers: tuple[Layer, ...], batch_size: int, element_size: int) -> dict[str, int]:
    """Counts of a forward pass through layers."""
    counts = count(layers, batch_size, element_size)
    floor = memory_floor(layers, batch_size, element_size)
    return {"macs": counts.macs, "params": counts.params, "min_bytes": counts.min_bytes, "memory_floor": floor}
