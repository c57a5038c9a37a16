"""Networks whose every constant matters, and the network of the article in code of its own."""

from __future__ import annotations

import torch
from torch import nn

from mnv1.net.model import MobileNetV1
from mnv1.net.semantics import PAPER

ALPHA_1 = (32, 64, 128, 128, 256, 256, *[512] * 6, 1024, 1024)
STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)
TINY = tuple(max(4, width // 64) for width in ALPHA_1)
"""Widths of a network of some thousands of weights, which loads in no time."""


class Article(nn.Module):
    """The article's network for 224 px: `model` from the first convolution to the pooling, and `fc`."""

    def __init__(self, num_classes: int = 1000, widths: tuple[int, ...] = ALPHA_1) -> None:
        super().__init__()

        def step(channels: int, out: int, kernel: int, stride: int, groups: int) -> tuple[nn.Module, ...]:
            convolution = nn.Conv2d(channels, out, kernel, stride, kernel // 2, groups=groups, bias=False)
            return convolution, nn.BatchNorm2d(out), nn.ReLU(inplace=True)

        parts = [nn.Sequential(*step(3, widths[0], 3, 2, 1))]
        for channels, out, stride in zip(widths, widths[1:], STRIDES, strict=False):
            depthwise = step(channels, channels, 3, stride, channels)
            parts.append(nn.Sequential(*depthwise, *step(channels, out, 1, 1, 1)))
        self.model = nn.Sequential(*parts, nn.AvgPool2d(7))
        self.channels = widths[-1]
        self.fc = nn.Linear(self.channels, num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.fc(self.model(images).view(-1, self.channels))


def shaken(model: nn.Module, seed: int = 0) -> nn.Module:
    """The network in evaluation mode, with statistics that are not the identity and a signal that is kept."""
    torch.manual_seed(seed)
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.weight, 0.5, 2.5)
            nn.init.normal_(part.bias, std=0.5)
            nn.init.normal_(part.running_mean, std=0.5)
            nn.init.uniform_(part.running_var, 0.01, 2)
        elif isinstance(part, nn.Conv2d | nn.Linear):
            nn.init.normal_(part.weight, std=(part.weight[0].numel()) ** -0.5)
            if part.bias is not None:
                nn.init.normal_(part.bias)
    return model.eval()


def tiny(classes: int = 5, semantics=PAPER, **options) -> MobileNetV1:
    return shaken(MobileNetV1(classes, widths=TINY, semantics=semantics, **options))


def outputs(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return model(images)


def images_of(side: int, count: int = 2) -> torch.Tensor:
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(side))


def difference(one: torch.Tensor, other: torch.Tensor) -> float:
    """Largest difference, relative to the largest output."""
    return ((one - other).abs().max() / other.abs().max()).item()


def assert_same(one: MobileNetV1, other: MobileNetV1) -> None:
    mine, theirs = one.state_dict(), other.state_dict()
    assert mine.keys() == theirs.keys()
    for name, value in mine.items():
        assert torch.equal(value, theirs[name]), name
    assert one.semantics == other.semantics
    assert not one.training
