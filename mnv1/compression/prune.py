"""Pruning: single weights set to zero, which changes no shape, or channels removed, which makes a smaller network.

Channels are removed by a pass of this project's own. MobileNetV1 is a chain: what a block puts out is read by the next
block alone, and its depthwise half has the same channels. So a channel is a filter with its BatchNorm, and a slice of
what reads it; the rest of the network stays, and the result is an ordinary `MobileNetV1` with other `widths`.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

import torch
from torch import nn
from torch.nn.utils import prune

from mnv1.compression.layout import SPREADS, Spread
from mnv1.net.architecture import IMAGE_CHANNELS, scale_channels
from mnv1.net.blocks import Block, conv_dw, conv_standard
from mnv1.net.errors import CompressError
from mnv1.net.model import MobileNetV1
from mnv1.training.recipe import BlockName

BLOCKS: dict[BlockName, Block] = {"separable": conv_dw, "standard": conv_standard}

STEP = 8
"""Channels of a layer stay a multiple of this, as in the width rule: kernels work on so many at once."""


def prune_weights(model: nn.Module, amount: float = 0.2) -> nn.Module:
    """A copy with this share of all convolution weights set to zero: those that are smallest over the whole network.

    Global unstructured L1 pruning as in torch's `prune.global_unstructured`, made permanent. Shapes, and so the work of
    dense kernels, stay what they were. Raises `CompressError` for a share that is not from 0 up to below 1.
    """
    if not 0 <= amount < 1:
        raise CompressError(f"amount must be a share from 0 up to below 1, got {amount}")
    pruned = deepcopy(model)
    weights = [(part, "weight") for part in pruned.modules() if isinstance(part, nn.Conv2d)]
    if not weights:
        raise CompressError("a network without convolutions has nothing to prune")
    prune.global_unstructured(weights, prune.L1Unstructured, amount=float(amount))
    for part, name in weights:
        prune.remove(part, name)  # type: ignore[no-untyped-call]
    return pruned


def sparsity(model: nn.Module) -> float:
    """The share of convolution weights that are zero."""
    weights = [part.weight for part in model.modules() if isinstance(part, nn.Conv2d)]
    return sum(int((one == 0).sum()) for one in weights) / sum(one.numel() for one in weights)


def prune_channels(model: MobileNetV1, keep: float, spread: Spread = "layer") -> MobileNetV1:
    """A network with about a share `keep` of the channels: in each layer those whose filters have the largest L1 norm.

    The norm is that of the filter with its BatchNorm folded in, as it acts: |γ| / sqrt(σ² + eps) · Σ|w| (after Li et
    al. 2017, arXiv 1608.08710, who take the filter alone: before BatchNorm its scale means nothing). `spread` `layer`
    keeps the same share of each layer, which gives the widths of a narrower network; `network` keeps the largest of
    all layers together, each layer's norms divided by their mean. Either way a layer has a multiple of 8 channels, at
    least 8, and MACs shrink with about the square of `keep`.

    The result is in the mode of `model` (training or evaluation), and shares no tensor with it. `keep` 1 leaves all
    outputs as they were. Raises `CompressError` for a share that is not above 0 and up to 1, or for another network.
    """
    if not 0 < keep <= 1:
        raise CompressError(f"keep must be a share above 0 and up to 1, got {keep}")
    if spread not in SPREADS:
        raise CompressError(f"unknown spread {spread!r}: choose one of {', '.join(SPREADS)}")
    block = BLOCKS[block_of(model)]
    scores = [_scores(stage) for stage in model.features]
    counts = _counts(scores, keep, spread)
    kept = [_largest(score, number) for score, number in zip(scores, counts, strict=True)]
    classes = model.classifier.out_features
    smaller = MobileNetV1(classes, block=block, widths=counts, semantics=model.semantics).to(model.classifier.weight)
    _copy(model, smaller, kept)
    return smaller.train(model.training)


def block_of(model: nn.Module) -> BlockName:
    """Which block a network of this project is made of. Raises `CompressError` for another network."""
    if isinstance(model, MobileNetV1):
        parts = [part for part in model.features[1].children() if isinstance(part, nn.Conv2d)]
        if len(parts) == 1 and parts[0].groups == 1:
            return "standard"
        if len(parts) == 2 and parts[0].groups == parts[0].in_channels and parts[1].groups == 1:
            return "separable"
    raise CompressError("only this project's MobileNetV1 and its standard twin are known here")


def _scores(stage: nn.Module) -> torch.Tensor:
    """How much each channel that a stage puts out weighs: its last convolution's filters with BatchNorm folded in."""
    convolution = [part for part in stage.modules() if isinstance(part, nn.Conv2d)][-1]
    norm = [part for part in stage.modules() if isinstance(part, nn.BatchNorm2d)][-1]
    assert norm.running_var is not None
    scale = norm.weight.detach().abs() / (norm.running_var + norm.eps).sqrt()
    return scale * convolution.weight.detach().abs().sum((1, 2, 3))


def _counts(scores: Sequence[torch.Tensor], keep: float, spread: Spread) -> list[int]:
    """How many channels of each layer are kept."""
    widths = [len(score) for score in scores]
    if keep == 1:
        return widths
    if spread == "layer":
        return [min(width, scale_channels(width, keep)) for width in widths]
    relative = [score / score.mean().clamp_min(torch.finfo(score.dtype).tiny) for score in scores]
    ordered = torch.cat(relative).sort(descending=True).values
    least = ordered[max(1, round(keep * len(ordered))) - 1]
    wanted = [int((one >= least).sum()) for one in relative]
    return [min(width, max(STEP, round(number / STEP) * STEP)) for width, number in zip(widths, wanted, strict=True)]


def _largest(score: torch.Tensor, number: int) -> torch.Tensor:
    """The indices of the channels with the largest scores, in their own order."""
    return score.argsort(descending=True, stable=True)[:number].sort().values


def _copy(model: MobileNetV1, smaller: MobileNetV1, kept: Sequence[torch.Tensor]) -> None:
    """Copy what is left into the smaller network: filters, BatchNorm and the classifier's columns."""
    inputs = torch.arange(IMAGE_CHANNELS)
    with torch.no_grad():
        for stage, small, outputs in zip(model.features, smaller.features, kept, strict=True):
            *_, producer = (part for part in stage.children() if isinstance(part, nn.Conv2d))
            channels = inputs
            for part, new in zip(stage.children(), small.children(), strict=True):
                if isinstance(part, nn.Conv2d) and isinstance(new, nn.Conv2d):
                    channels = outputs if part is producer else inputs
                    weight = part.weight[channels]
                    new.weight.copy_(weight[:, inputs] if part is producer else weight)
                elif isinstance(part, nn.BatchNorm2d):
                    for name, values in part.state_dict().items():
                        new.state_dict()[name].copy_(values[channels] if values.dim() else values)
            inputs = outputs
        smaller.classifier.weight.copy_(model.classifier.weight[:, inputs])
        smaller.classifier.bias.copy_(model.classifier.bias)
