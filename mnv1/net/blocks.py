"""The building blocks of MobileNetV1, all with one signature: `block(in_channels, out_channels, stride)`.

Every convolution is followed by BatchNorm and ReLU and has no bias, as in the paper (Howard et al. 2017,
arXiv 1704.04861, Figure 3). Input `(N, in_channels, D, D)`, output `(N, out_channels, ceil(D / stride), ...)`.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

Block = Callable[[int, int, int], nn.Sequential]


def _conv_bn_relu(in_channels: int, out_channels: int, kernel: int, stride: int, groups: int = 1) -> list[nn.Module]:
    return [
        nn.Conv2d(in_channels, out_channels, kernel, stride, padding=kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    ]


def conv_bn(in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
    """Standard 3x3 convolution + BN + ReLU: the network's first layer."""
    return nn.Sequential(*_conv_bn_relu(in_channels, out_channels, 3, stride))


def conv_standard(in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
    """What a separable block replaces: one standard 3x3 convolution + BN + ReLU (the same module as `conv_bn`)."""
    return conv_bn(in_channels, out_channels, stride)


def conv_depthwise(in_channels: int, out_channels: int, stride: int) -> nn.Sequential:  # noqa: ARG001
    """First half of a separable block, alone: 3x3 convolution per channel + BN + ReLU.

    `out_channels` is the block's and is not used: the half keeps `in_channels`.
    """
    return nn.Sequential(*_conv_bn_relu(in_channels, in_channels, 3, stride, groups=in_channels))


def conv_pointwise(in_channels: int, out_channels: int, stride: int) -> nn.Sequential:  # noqa: ARG001
    """Second half of a separable block, alone: 1x1 convolution + BN + ReLU.

    `stride` is the block's and is not used: the depthwise half carries it.
    """
    return nn.Sequential(*_conv_bn_relu(in_channels, out_channels, 1, 1))


def conv_dw(in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
    """Depthwise-separable convolution: 3x3 depthwise + BN + ReLU, then 1x1 pointwise + BN + ReLU."""
    return nn.Sequential(
        *_conv_bn_relu(in_channels, in_channels, 3, stride, groups=in_channels),
        *_conv_bn_relu(in_channels, out_channels, 1, 1),
    )
