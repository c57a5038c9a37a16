"""Networks of other packages that can be measured beside MobileNetV1: what a user might pick instead. Needs no torch.

MACs at 224 px and parameters as published, with 1000 classes: torchvision's in the documentation of its weights
(`torchvision.models`, `GFLOPS` and `num_params`), timm's by its own results table (`mobilenetv1_100`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

ReferenceKind = Literal["timm", "mobilenet_v2", "resnet18", "vgg16"]
REFERENCE_KINDS: tuple[ReferenceKind, ...] = get_args(ReferenceKind)

PUBLISHED_SIDE = 224


@dataclass(frozen=True)
class ReferenceModel:
    """Where a network comes from, and what is published of it.

    `extra` is this project's extra that brings the package, None for what is installed anyway. `has_alpha`: whether it
    comes in several widths; the counts are those of width 1.
    """

    package: str
    macs: float
    params: int
    extra: str | None = None
    has_alpha: bool = False


REFERENCES: dict[ReferenceKind, ReferenceModel] = {
    "timm": ReferenceModel("timm", 568.7e6, 4_231_976, extra="parity", has_alpha=True),
    "mobilenet_v2": ReferenceModel("torchvision", 300.8e6, 3_504_872),
    "resnet18": ReferenceModel("torchvision", 1.814e9, 11_689_512),
    "vgg16": ReferenceModel("torchvision", 15.47e9, 138_357_544),
}
"""Every reference: `timm` is that package's MobileNetV1."""
