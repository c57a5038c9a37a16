"""Networks of other packages: what a user might pick instead. Whoever adds one adds a `ReferenceType` here.

MACs at 224 px and parameters as published, with 1000 classes: torchvision's in the documentation of its weights
(`torchvision.models`, `GFLOPS` and `num_params`), timm's by its own results table (`mobilenetv1_100`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, ClassVar

from mnv1.cases.workloads.workload import NUM_CLASSES, Classifier, alpha_id
from mnv1.net.architecture import MIN_SIDE

if TYPE_CHECKING:
    from torch import nn

PUBLISHED_SIDE = 224


@dataclass(frozen=True)
class ReferenceType:
    """Where a network comes from, how it is built, and what is published of it."""

    name: str
    colour: str
    package: str
    macs: float
    params: int
    build: Callable[[float | None], nn.Module]
    """Its module, from the width multiplier where it has several widths. Imports torch and the package."""
    extra: str | None = None
    """This project's extra that brings the package; None for what is installed anyway."""
    has_alpha: bool = False
    """Whether it comes in several widths; the counts are of width 1."""


def _timm(alpha: float | None) -> nn.Module:
    from mnv1.base.packages import require

    models = require("timm.models.efficientnet", "parity")
    # What timm.create_model("mobilenetv1_100") calls, which has no argument for the width.
    module: nn.Module = models._gen_mobilenet_v1("mobilenetv1_100", alpha, num_classes=NUM_CLASSES)
    return module


def _torchvision(_: float | None, name: str) -> nn.Module:
    from torchvision.models import get_model

    module: nn.Module = get_model(name, weights=None, num_classes=NUM_CLASSES)
    return module


def _of_torchvision(name: str, colour: str, macs: float, params: int) -> ReferenceType:
    return ReferenceType(name, colour, "torchvision", macs, params, partial(_torchvision, name=name))


REFERENCES: dict[str, ReferenceType] = {
    one.name: one
    for one in (
        ReferenceType("timm", "#56B4E9", "timm", 568.7e6, 4_231_976, _timm, extra="parity", has_alpha=True),
        _of_torchvision("mobilenet_v2", "#009E73", 300.8e6, 3_504_872),
        _of_torchvision("resnet18", "#E69F00", 1.814e9, 11_689_512),
        _of_torchvision("vgg16", "#999999", 15.47e9, 138_357_544),
    )
}
"""Every reference: `timm` is that package's MobileNetV1. Never in one plot with a separable block's halves, whose
colours some share."""


@dataclass(frozen=True)
class Reference(Classifier):
    """A network of another package: `resolution` is the input side in pixels, `alpha` None where it has one width.

    Its layers are not described here, so its counts are taken from the module when it is measured.
    """

    kind: str
    resolution: int
    alpha: float | None = None

    is_profiled: ClassVar[bool] = False

    @property
    def shape_id(self) -> str:
        """See `Workload.shape_id`: `r224`, or `a0.50-r160` where it has widths."""
        size = f"r{self.resolution}"
        return size if self.alpha is None else f"{alpha_id(self.alpha)}-{size}"

    def columns(self) -> dict[str, object]:
        """See `Workload.columns`."""
        return {**({} if self.alpha is None else {"alpha": self.alpha}), "resolution": self.resolution}

    def build(self) -> nn.Module:
        """See `Workload.build`; initialised as this suite's own networks are.

        torchvision's own initialisation of MobileNetV2 takes a fan-out that ignores groups, so that untrained
        depthwise weights make the signal smaller with every block. Raises `mnv1.base.packages.MissingPackageError`
        when its package is missing.
        """
        from mnv1.net.model import initialise

        module = REFERENCES[self.kind].build(self.alpha)
        initialise(module)
        return module

    @property
    def smallest(self) -> Reference:
        """See `Workload.smallest`."""
        return replace(self, resolution=MIN_SIDE)

    def expected_macs(self, batch_size: int) -> float:
        """See `Workload.expected_macs`: from what is published."""
        area = (self.resolution / PUBLISHED_SIDE) ** 2
        return batch_size * REFERENCES[self.kind].macs * area * (self.alpha or 1.0) ** 2

    def why_not_here(self) -> str | None:
        """See `Workload.why_not_here`."""
        about = REFERENCES[self.kind]
        if find_spec(about.package):
            return None
        where = f"'.[{about.extra}]'" if about.extra else "."
        return f"{about.package} is not installed: pip install -c constraints.txt -e {where}"
