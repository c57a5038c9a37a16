"""Whole networks of this suite, and training steps of them. Whoever adds a kind adds a `NetworkType` here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from mnv1.base.facts import TRAINING, TRAINING_SPEEDUP
from mnv1.cases.conditions import Conditions
from mnv1.cases.workloads.blocks import closed_forms
from mnv1.cases.workloads.workload import NUM_CLASSES, STEP, Classifier, Effort, alpha_id
from mnv1.net.architecture import MIN_SIDE, Layer, network_layers
from mnv1.net.counts import count, training_macs

if TYPE_CHECKING:
    from torch import nn


EMPTY_ALPHA = 1 / 64
"""Width multiplier of a network whose layers have 8 or 16 channels."""


@dataclass(frozen=True)
class NetworkType:
    """A kind of network."""

    name: str
    colour: str
    layers: Callable[[float, int, int], tuple[Layer, ...]]
    """Its layers as data, from the width multiplier, the resolution and the number of classes: counts follow."""
    build: Callable[[float, int], nn.Module]
    """Its module, from the width multiplier and the number of classes. Imports torch."""
    code: str
    """How a program writes it, with `{alpha:g}` for the width multiplier."""


def _mobilenet(alpha: float, num_classes: int, block: str = "conv_dw", shallow: bool = False) -> nn.Module:
    from mnv1.net import blocks
    from mnv1.net.model import MobileNetV1

    return MobileNetV1(num_classes, alpha, getattr(blocks, block), shallow=shallow)


NETWORK_TYPES: dict[str, NetworkType] = {
    one.name: one
    for one in (
        NetworkType(
            "standard",
            "#D55E00",
            partial(network_layers, "standard"),
            partial(_mobilenet, block="conv_standard"),
            "MobileNetV1(alpha={alpha:g}, block=conv_standard)",
        ),
        NetworkType(
            "separable", "#0072B2", partial(network_layers, "separable"), _mobilenet, "MobileNetV1(alpha={alpha:g})"
        ),
        NetworkType(
            "shallow",
            "#CC79A7",
            partial(network_layers, "shallow"),
            partial(_mobilenet, shallow=True),
            "MobileNetV1(alpha={alpha:g}, shallow=True)",
        ),
    )
}


@dataclass(frozen=True)
class Network(Classifier):
    """One whole network: `resolution` is the input side in pixels."""

    kind: str
    alpha: float
    resolution: int

    @property
    def shape_id(self) -> str:
        """See `Workload.shape_id`: `a0.50-r160`."""
        return f"{alpha_id(self.alpha)}-r{self.resolution}"

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers that it is made of."""
        return NETWORK_TYPES[self.kind].layers(self.alpha, self.resolution, NUM_CLASSES)

    def columns(self) -> dict[str, object]:
        """See `Workload.columns`."""
        return {"alpha": self.alpha, "resolution": self.resolution}

    def build(self) -> nn.Module:
        """See `Workload.build`."""
        return NETWORK_TYPES[self.kind].build(self.alpha, NUM_CLASSES)

    @property
    def smallest(self) -> Network:
        """See `Workload.smallest`."""
        return replace(self, resolution=MIN_SIDE)

    @property
    def emptied(self) -> Network:
        """See `Workload.emptied`."""
        return replace(self, alpha=EMPTY_ALPHA, resolution=MIN_SIDE)

    @property
    def twin(self) -> Network | None:
        """See `Workload.twin`: the separable network with standard convolutions."""
        return replace(self, kind="standard") if self.kind == "separable" else None

    def counts(self, batch_size: int, element_size: int) -> Mapping[str, int]:
        """See `Workload.counts`."""
        return closed_forms(self.layers, batch_size, element_size)

    def expected_macs(self, batch_size: int) -> float:
        """See `Workload.expected_macs`."""
        return count(self.layers, batch_size).macs


@dataclass(frozen=True)
class Training(Network):
    """A training step of one whole network: forward pass and loss, backward pass, and the optimizer's step."""

    effort: ClassVar[Effort] = STEP
    measures: ClassVar[str] = TRAINING
    pair_measures: ClassVar[str] = TRAINING_SPEEDUP
    trains: ClassVar[bool] = True
    is_profiled: ClassVar[bool] = False

    @property
    def id(self) -> str:
        """See `Workload.id`: `training-separable-a1.00-r224`."""
        return f"training-{self.kind}-{self.shape_id}"

    @property
    def pair_id(self) -> str:
        """See `Workload.pair_id`: `training-speedup-a1.00-r224`."""
        return f"training-speedup-{self.shape_id}"

    def counts(self, batch_size: int, element_size: int) -> Mapping[str, int]:
        """See `Workload.counts`."""
        params = count(self.layers, batch_size, element_size).params
        return {"macs": training_macs(self.layers, batch_size), "params": params}

    def expected_macs(self, batch_size: int) -> float:
        """See `Workload.expected_macs`."""
        return training_macs(self.layers, batch_size)

    def why_not_under(self, conditions: Conditions) -> str | None:
        """See `Workload.why_not_under`: some images are too small to train on."""
        last_side = next(layer.side for layer in self.layers if layer.op == "pool")
        if conditions.batch_size * last_side**2 > 1:
            return None
        return (
            f"one image of {self.resolution} px leaves one value a channel, and BatchNorm needs two for a variance: "
            "take a larger batch or resolution to train on"
        )

    def exists_under(self, conditions: Conditions) -> bool:
        """See `Workload.exists_under`: there are no steps in other modes."""
        return conditions.is_plain
