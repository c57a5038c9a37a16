"""MobileNetV1 from scratch: the separable network, its standard-convolution twin and the shallow variant."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from mnv1.net.architecture import IMAGE_CHANNELS, STEM_STRIDE, kind_of, rows_of, widths_of
from mnv1.net.blocks import Block, conv_bn, conv_dw
from mnv1.net.semantics import PAPER, Semantics, apply_semantics

if TYPE_CHECKING:
    from mnv1.net.weights import Loaded  # whose package needs this module


class MobileNetV1(nn.Module):
    """MobileNetV1 (Howard et al. 2017, arXiv 1704.04861).

    Input: images `(N, 3, D, D)` with any side D from 32 px up. Output: logits `(N, num_classes)`.

    `alpha` is the width multiplier, any positive number (channels follow `scale_channels`). `block` builds each of the
    blocks: `conv_dw` gives MobileNetV1, `conv_standard` its standard-convolution twin, and any function with the
    signature `(in_channels, out_channels, stride)` something new. `shallow` leaves out the five stride-1 blocks of 512
    channels (the paper's Table 5). `widths` replaces the output channels of the stem and of each block, 14 numbers or 9
    of a shallow network, which otherwise follow from `alpha`: a pruned network has its own. `semantics` says what
    weights from elsewhere mean: padding, activation and eps of BatchNorm.

    Raises `ValueError` when `alpha` is not a positive number, `num_classes` is below 1, or `widths` fit no network.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        alpha: float = 1.0,
        block: Block = conv_dw,
        *,
        shallow: bool = False,
        widths: Sequence[int] | None = None,
        semantics: Semantics = PAPER,
    ) -> None:
        super().__init__()
        if num_classes < 1:
            raise ValueError(f"num_classes must be at least 1, got {num_classes}")
        self.widths = tuple(widths or widths_of("shallow" if shallow else "separable", alpha))
        channels, *rest = self.widths
        stages = [conv_bn(IMAGE_CHANNELS, channels, STEM_STRIDE)]
        for out_channels, (_, stride) in zip(rest, rows_of(kind_of(self.widths)), strict=True):
            stages.append(block(channels, out_channels, stride))
            channels = out_channels
        self.features = nn.Sequential(*stages)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(channels, num_classes)
        self.semantics = semantics
        self.loaded: Loaded | None = None
        """What became of the weights of a file; None for weights that were drawn here."""
        initialise(self)
        apply_semantics(self, semantics)

    @classmethod
    def from_pretrained(
        cls,
        path_or_name: str | Path,
        semantics: Semantics | None = None,
        drop_background: bool = False,
        *,
        num_classes: int | None = None,
        key: str | None = None,
    ) -> MobileNetV1:
        """A network in evaluation mode with the weights of a file or folder, or of a model on the Hugging Face hub.

        They may be of this project, the article, timm, transformers or Keras, in a checkpoint and behind any prefix:
        their names tell which, and that implies their meaning. `drop_background` leaves class 0 of 1001 out.
        `num_classes` replaces a classifier of another number of classes by a new one; 0 leaves features of shape
        `(N, channels)`. `key` names the weights where a file holds several. `model.loaded` tells what was done. Raises
        `mnv1.net.weights.PretrainedError`, whose message is one line.
        """
        from mnv1.net.weights import load  # which needs this module

        return load(path_or_name, semantics, drop_background, num_classes=num_classes, key=key)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images `(N, 3, D, D)` to logits `(N, num_classes)`."""
        return self.classifier(self.pool(self.features(images)).flatten(1))  # type: ignore[no-any-return]


def initialise(module: nn.Module) -> None:
    """Initialise weights for training from scratch, in place.

    Convolutions get He's normal initialisation by fan-in (He et al. 2015, arXiv 1502.01852). Fan-in, because torch's
    fan-out ignores groups and would make depthwise weights `channels` times too small in variance: activations would
    then shrink to denormal numbers, which are also slow.
    """
    for part in module.modules():
        if isinstance(part, nn.Conv1d | nn.Conv2d | nn.Conv3d):
            nn.init.kaiming_normal_(part.weight, mode="fan_in", nonlinearity="relu")
        elif isinstance(part, nn.Linear):
            nn.init.normal_(part.weight, std=0.01)
            nn.init.zeros_(part.bias)
