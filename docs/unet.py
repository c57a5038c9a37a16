"""A U-Net as `python scripts/advise.py docs/unet.py:unet` takes it; needs the package segmentation_models_pytorch."""

from segmentation_models_pytorch import Unet
from torch import nn


def unet() -> nn.Module:
    """With ResNet-18 as encoder, random weights and one class."""
    return Unet("resnet18", encoder_weights=None)
