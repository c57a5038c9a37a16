"""Networks that the paper compares MobileNetV1 with, as layers: enough to count their operations and parameters.

Sources: AlexNet, Krizhevsky et al. 2012, Figure 2 (its two halves are groups); VGG16, Simonyan and Zisserman 2015,
Table 1 D; GoogLeNet, Szegedy et al. 2015, Table 1, without the auxiliary classifiers; SqueezeNet, Iandola et al. 2016,
Table 1 (version 1.0). Convolutions and fully connected layers have a bias each and no BatchNorm.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True)
class Plain:
    """A convolution, or with `linear` a fully connected layer; `side` is that of its output, in pixels."""

    in_channels: int
    out_channels: int
    kernel: int
    side: int
    groups: int = 1
    linear: bool = False

    @property
    def weights(self) -> int:
        """Elements of its weight."""
        return self.kernel**2 * self.in_channels // self.groups * self.out_channels

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one image."""
        return self.side**2 * self.weights

    @property
    def params(self) -> int:
        """Weight and bias."""
        return self.weights + self.out_channels


def _linear(*sizes: int) -> list[Plain]:
    return [Plain(size, following, 1, 1, linear=True) for size, following in pairwise(sizes)]


def _fire(side: int, in_channels: int, squeeze: int, expand: int) -> list[Plain]:
    return [
        Plain(in_channels, squeeze, 1, side),
        Plain(squeeze, expand, 1, side),
        Plain(squeeze, expand, 3, side),
    ]


def _inception(side: int, in_channels: int, *widths: int) -> list[Plain]:
    one, reduce3, three, reduce5, five, projection = widths
    return [
        Plain(in_channels, one, 1, side),
        Plain(in_channels, reduce3, 1, side),
        Plain(reduce3, three, 3, side),
        Plain(in_channels, reduce5, 1, side),
        Plain(reduce5, five, 5, side),
        Plain(in_channels, projection, 1, side),
    ]


def _sum(parts: Iterable[list[Plain]]) -> tuple[Plain, ...]:
    return tuple(layer for part in parts for layer in part)


_VGG16 = ((64, 224), (64, 224), (128, 112), (128, 112), *((256, 56),) * 3, *((512, 28),) * 3, *((512, 14),) * 3)

OTHERS: dict[str, tuple[Plain, ...]] = {
    "AlexNet": (
        Plain(3, 96, 11, 55),
        Plain(96, 256, 5, 27, groups=2),
        Plain(256, 384, 3, 13),
        Plain(384, 384, 3, 13, groups=2),
        Plain(384, 256, 3, 13, groups=2),
        *_linear(9216, 4096, 4096, 1000),
    ),
    "VGG16": (
        *(
            Plain(before, channels, 3, side)
            for before, (channels, side) in zip((3, *(c for c, _ in _VGG16)), _VGG16, strict=False)
        ),
        *_linear(25088, 4096, 4096, 1000),
    ),
    "GoogLeNet": (
        Plain(3, 64, 7, 112),
        Plain(64, 64, 1, 56),
        Plain(64, 192, 3, 56),
        *_sum(
            [
                _inception(28, 192, 64, 96, 128, 16, 32, 32),
                _inception(28, 256, 128, 128, 192, 32, 96, 64),
                _inception(14, 480, 192, 96, 208, 16, 48, 64),
                _inception(14, 512, 160, 112, 224, 24, 64, 64),
                _inception(14, 512, 128, 128, 256, 24, 64, 64),
                _inception(14, 512, 112, 144, 288, 32, 64, 64),
                _inception(14, 528, 256, 160, 320, 32, 128, 128),
                _inception(7, 832, 256, 160, 320, 32, 128, 128),
                _inception(7, 832, 384, 192, 384, 48, 128, 128),
            ]
        ),
        *_linear(1024, 1000),
    ),
    "SqueezeNet": (
        Plain(3, 96, 7, 111),
        *_sum(
            [
                _fire(55, 96, 16, 64),
                _fire(55, 128, 16, 64),
                _fire(55, 128, 32, 128),
                _fire(27, 256, 32, 128),
                _fire(27, 256, 48, 192),
                _fire(27, 384, 48, 192),
                _fire(27, 384, 64, 256),
                _fire(13, 512, 64, 256),
            ]
        ),
        Plain(512, 1000, 1, 13),
    ),
}
"""Layers by the network's name as the paper has it."""
