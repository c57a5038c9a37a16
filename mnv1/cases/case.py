"""What is measured: cases as data, and their stable ids.

A `Case` is a workload (one block, one whole network, a training step of one, or a network of another package) under
conditions (batch size, device, precision, execution mode). A `Pair` is the standard and the separable workload of one
shape under the same conditions, for a measured speedup. Ids key the stored results, so they never change for the same
content; a test pins them.

Needs no torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from mnv1.cases.references import PUBLISHED_SIDE, REFERENCE_KINDS, REFERENCES, ReferenceKind
from mnv1.net.architecture import IMAGE_CHANNELS, BlockKind, Layer, NetworkKind, block_layers, network_layers

Device = Literal["cpu", "cuda"]
Precision = Literal["fp32", "tf32", "amp", "bf16", "int8"]
Mode = Literal[
    "eager",
    "channels_last",
    "folded",
    "folded+channels_last",
    "compiled",
    "compiled+freezing",
    "max-autotune",
    "cuda-graph",
    "onnxruntime",
    "openvino",
]

DEVICES: tuple[Device, ...] = get_args(Device)
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
MODES: tuple[Mode, ...] = get_args(Mode)
"""How a network can be run; what each does is in `mnv1.cases.modes`."""
BLOCK_KINDS: tuple[BlockKind, ...] = get_args(BlockKind)
NETWORK_KINDS: tuple[NetworkKind, ...] = get_args(NetworkKind)
OWN_KINDS: tuple[str, ...] = tuple(dict.fromkeys((*BLOCK_KINDS, *NETWORK_KINDS)))
"""What the profiles are made of."""
KINDS: tuple[str, ...] = (*OWN_KINDS, *REFERENCE_KINDS)
"""What can be measured."""
NUM_CLASSES = 1000

ELEMENT_SIZE: dict[Precision, int] = {"fp32": 4, "tf32": 4, "amp": 2, "bf16": 2, "int8": 1}
"""Bytes per element that a precision computes on; the minimum bytes count with it."""


@dataclass(frozen=True)
class Block:
    """One block of the network, by its shape: `side` is the input side in pixels."""

    kind: BlockKind
    in_channels: int
    out_channels: int
    stride: int
    side: int

    @property
    def shape_id(self) -> str:
        """The block's shape without its kind, such as `64x128-s2-d112`."""
        return f"{self.in_channels}x{self.out_channels}-s{self.stride}-d{self.side}"

    @property
    def id(self) -> str:
        """The block's id, such as `layer-separable-64x128-s2-d112`."""
        return f"layer-{self.kind}-{self.shape_id}"

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers that it is made of."""
        return block_layers(self.kind, self.in_channels, self.out_channels, self.stride, self.side)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Input shape without the batch dimension."""
        first = self.layers[0]
        return (first.in_channels, first.side, first.side)

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Output shape without the batch dimension."""
        return self.layers[-1].output_shape


@dataclass(frozen=True)
class Network:
    """One whole network: `resolution` is the input side in pixels."""

    kind: NetworkKind
    alpha: float
    resolution: int

    @property
    def shape_id(self) -> str:
        """The network's size without its kind, such as `a0.50-r160`."""
        return f"{_alpha_id(self.alpha)}-r{self.resolution}"

    @property
    def id(self) -> str:
        """The network's id, such as `model-separable-a1.00-r224`."""
        return f"model-{self.kind}-{self.shape_id}"

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers that it is made of."""
        return network_layers(self.kind, self.alpha, self.resolution, NUM_CLASSES)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Input shape without the batch dimension."""
        return (IMAGE_CHANNELS, self.resolution, self.resolution)

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Output shape without the batch dimension."""
        return (NUM_CLASSES,)


@dataclass(frozen=True)
class Training(Network):
    """A training step of one whole network: forward pass and loss, backward pass, and the optimizer's step."""

    @property
    def id(self) -> str:
        """The step's id, such as `training-separable-a1.00-r224`."""
        return f"training-{self.kind}-{self.shape_id}"


@dataclass(frozen=True)
class Reference:
    """A network of another package: `resolution` is the input side in pixels, `alpha` None where it has one width.

    Its layers are not described here, so its counts are taken from the module when it is measured.
    """

    kind: ReferenceKind
    resolution: int
    alpha: float | None = None

    @property
    def shape_id(self) -> str:
        """The network's size without its kind, such as `r224`, or `a0.50-r160` where it has widths."""
        size = f"r{self.resolution}"
        return size if self.alpha is None else f"{_alpha_id(self.alpha)}-{size}"

    @property
    def id(self) -> str:
        """The network's id, such as `model-resnet18-r224`."""
        return f"model-{self.kind}-{self.shape_id}"

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Input shape without the batch dimension."""
        return (IMAGE_CHANNELS, self.resolution, self.resolution)

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Output shape without the batch dimension."""
        return (NUM_CLASSES,)

    @property
    def expected_macs(self) -> float:
        """About how many multiply-accumulates an image needs, from what is published: for planning alone."""
        return REFERENCES[self.kind].macs * (self.resolution / PUBLISHED_SIDE) ** 2 * (self.alpha or 1.0) ** 2


def _alpha_id(alpha: float) -> str:
    return f"a{alpha:.2f}" if round(alpha, 2) == alpha else f"a{alpha!r}"


OwnWorkload = Block | Network
Workload = OwnWorkload | Reference


@dataclass(frozen=True)
class Conditions:
    """Under what a workload is measured."""

    batch_size: int
    device: Device
    precision: Precision
    mode: Mode = "eager"

    @property
    def id(self) -> str:
        """The conditions' id, such as `b8-cpu-fp32`, or `b8-cpu-fp32-folded` where the mode is not eager."""
        plain = f"b{self.batch_size}-{self.device}-{self.precision}"
        return plain if self.mode == "eager" else f"{plain}-{self.mode}"


@dataclass(frozen=True)
class Case:
    """One workload under some conditions: latency, throughput and memory are measured."""

    workload: Workload
    conditions: Conditions

    @property
    def id(self) -> str:
        """The case's id, such as `model-separable-a1.00-r224-b8-cpu-fp32`."""
        return f"{self.workload.id}-{self.conditions.id}"

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Input shape with the batch dimension."""
        return (self.conditions.batch_size, *self.workload.input_shape)

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Output shape with the batch dimension."""
        return (self.conditions.batch_size, *self.workload.output_shape)


@dataclass(frozen=True)
class Pair:
    """Standard and separable workload of one shape under the same conditions: their speedup is measured."""

    standard: Case
    separable: Case

    @property
    def id(self) -> str:
        """The pair's id, such as `speedup-model-a1.00-r224-b8-cpu-fp32`, or `training-speedup-a1.00-r224-b8-cpu-fp32`.

        The latter is that of training steps.
        """
        workload = self.separable.workload
        if isinstance(workload, Training):
            return f"training-speedup-{workload.shape_id}-{self.conditions.id}"
        subject = "layer" if isinstance(workload, Block) else "model"
        return f"speedup-{subject}-{workload.shape_id}-{self.conditions.id}"

    @property
    def conditions(self) -> Conditions:
        """What both sides are measured under."""
        return self.separable.conditions
