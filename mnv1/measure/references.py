"""Reference models as modules, and their counts: the packages that they come from are imported here and only here."""

from __future__ import annotations

import torch
from torch import nn

from mnv1.base.packages import require
from mnv1.cases.case import NUM_CLASSES, Reference
from mnv1.cases.references import REFERENCES
from mnv1.net.architecture import IMAGE_CHANNELS
from mnv1.net.counts import count_with_torch
from mnv1.net.model import initialise


def build_reference(reference: Reference) -> nn.Module:
    """The module of a reference model, initialised as this suite's own networks are.

    torchvision's own initialisation of MobileNetV2 takes a fan-out that ignores groups, so that untrained depthwise
    weights make the signal smaller with every block. Raises `mnv1.base.packages.MissingPackageError` when its
    package is missing.
    """
    if reference.kind == "timm":
        models = require("timm.models.efficientnet", REFERENCES["timm"].extra or "")
        # What timm.create_model("mobilenetv1_100") calls, which has no argument for the width.
        module: nn.Module = models._gen_mobilenet_v1("mobilenetv1_100", reference.alpha, num_classes=NUM_CLASSES)
    else:
        from torchvision.models import get_model

        module = get_model(reference.kind, weights=None, num_classes=NUM_CLASSES)
    initialise(module)
    return module


def count_reference(module: nn.Module, resolution: int) -> dict[str, int]:
    """Multiply-accumulates of one image, of convolutions and fully connected layers, and trainable parameters."""
    images = torch.zeros(1, IMAGE_CHANNELS, resolution, resolution, device=next(module.parameters()).device)
    return {
        "macs": count_with_torch(module, images),
        "params": sum(parameter.numel() for parameter in module.parameters()),
    }
