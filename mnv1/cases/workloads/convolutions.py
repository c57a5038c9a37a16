"""Any convolution, written as a shape: one to three dimensions, any kernel, stride, dilation and groups.

The shapes extend the ids of the network's own blocks: `96x200-k5-s1-d56` is a 5x5 convolution of 96 to 200 channels
with stride 1 on 56x56 pixels. torch is imported only where one is built.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from mnv1.base.errors import UserError
from mnv1.cases.workloads.workload import LAYER, Effort, Workload

if TYPE_CHECKING:
    from torch import nn

GRAMMAR = (
    "INxOUT[-kKERNEL][-sSTRIDE][-lDILATION]-dSIDE[-gGROUPS][-plain][-1d|-3d], such as 96x200-k5-s1-d56; kernel, "
    "stride, dilation and side may differ by dimension (k3x1), and -plain leaves BatchNorm and ReLU out"
)

Kind = Literal["standard", "depthwise", "pointwise", "separable"]
KINDS: tuple[Kind, ...] = ("standard", "depthwise", "pointwise", "separable")

Norm = Literal["bn-relu", "between", "none"]
"""Where BatchNorm and ReLU stand: after every convolution, only between depthwise and pointwise, or nowhere."""

MAX_DIMENSIONS = 3

_SIZES = r"\d+(?:x\d+)*"
_SHAPE = re.compile(
    rf"(?P<channels>\d+x\d+)(?:-k(?P<kernel>{_SIZES}))?(?:-s(?P<stride>{_SIZES}))?(?:-l(?P<dilation>{_SIZES}))?"
    rf"-d(?P<side>{_SIZES})(?:-g(?P<groups>\d+))?(?:-p(?P<padding>{_SIZES}))?(?P<plain>-plain)?(?:-(?P<dimensions>[13])d)?"
)

Sizes = tuple[int, ...]


class ShapeError(UserError, ValueError):
    """A shape that says no convolution."""


@dataclass(frozen=True)
class Part:
    """One convolution of a workload, for its counts: channels, kernel, groups, and its sides in pixels."""

    in_channels: int
    out_channels: int
    kernel: Sizes
    groups: int
    side: Sizes
    out_side: Sizes

    @property
    def weights(self) -> int:
        """Weights of the convolution."""
        return math.prod(self.kernel) * self.in_channels // self.groups * self.out_channels

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one image: each output position takes every weight once."""
        return math.prod(self.out_side) * self.weights

    @property
    def read(self) -> int:
        """Elements of the input of one image."""
        return self.in_channels * math.prod(self.side)

    @property
    def written(self) -> int:
        """Elements of the output of one image."""
        return self.out_channels * math.prod(self.out_side)


@dataclass(frozen=True)
class Convolution(Workload):
    """A convolution, or what separates it: sizes have one number a dimension, in pixels where they are sides.

    `padding` is on either side of each dimension.
    """

    kind: Kind
    in_channels: int
    out_channels: int
    kernel: Sizes
    stride: Sizes
    dilation: Sizes
    padding: Sizes
    side: Sizes
    groups: int = 1
    norm: Norm = "bn-relu"

    subject: ClassVar[str] = "layer"
    effort: ClassVar[Effort] = LAYER
    is_profiled: ClassVar[bool] = False

    @property
    def dimensions(self) -> int:
        """1 for sequences, 2 for images, 3 for volumes."""
        return len(self.side)

    @property
    def shape_id(self) -> str:
        """See `Workload.shape_id`. What is usual is left out, so that a block of the network has its usual id."""
        usual = (3,) * self.dimensions, (1,) * self.dimensions, _same_padding(self.kernel, self.dilation)
        parts = [f"{self.in_channels}x{self.out_channels}"]
        parts += [f"k{_text(self.kernel)}"] if self.kernel != usual[0] else []
        parts += [f"s{_text(self.stride)}"]
        parts += [f"l{_text(self.dilation)}"] if self.dilation != usual[1] else []
        parts += [f"d{_text(self.side)}"]
        parts += [f"g{self.groups}"] if self.groups != 1 else []
        parts += [f"p{_text(self.padding)}"] if self.padding != usual[2] else []
        parts += {"bn-relu": [], "between": ["between"], "none": ["plain"]}[self.norm]
        parts += [f"{self.dimensions}d"] if self.dimensions != 2 else []
        return "-".join(parts)

    @property
    def out_side(self) -> Sizes:
        """Output sides: (side + 2 padding - dilation (kernel - 1) - 1) / stride + 1, rounded down."""
        return tuple(
            (side + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
            for side, padding, dilation, kernel, stride in zip(
                self.side, self.padding, self.dilation, self.kernel, self.stride, strict=True
            )
        )

    @property
    def input_shape(self) -> tuple[int, ...]:
        """See `Workload.input_shape`: of the pointwise half alone, the depthwise half's output."""
        return (self.in_channels, *(self.out_side if self.kind == "pointwise" else self.side))

    @property
    def output_shape(self) -> tuple[int, ...]:
        """See `Workload.output_shape`."""
        return (self.in_channels if self.kind == "depthwise" else self.out_channels, *self.out_side)

    @property
    def parts(self) -> Iterator[Part]:
        """The convolutions that it is made of."""
        ones, channels = (1,) * self.dimensions, self.in_channels
        if self.kind == "standard":
            yield Part(channels, self.out_channels, self.kernel, self.groups, self.side, self.out_side)
        if self.kind in ("depthwise", "separable"):
            yield Part(channels, channels, self.kernel, channels, self.side, self.out_side)
        if self.kind in ("pointwise", "separable"):
            yield Part(channels, self.out_channels, ones, 1, self.out_side, self.out_side)

    def columns(self) -> dict[str, object]:
        """See `Workload.columns`: stride and side only where they are the same in every dimension."""
        same = {"stride": set(self.stride), "side": set(self.side)}
        columns: dict[str, object] = {"in_channels": self.in_channels, "out_channels": self.out_channels}
        return columns | {name: one.pop() for name, one in same.items() if len(one) == 1}

    def build(self) -> nn.Module:
        """See `Workload.build`: weights as in `mnv1.net.model.initialise`."""
        from torch import nn

        from mnv1.net.model import initialise

        conv: Any = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[self.dimensions - 1]
        norm: Any = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)[self.dimensions - 1]
        modules: list[nn.Module] = []
        parts = list(self.parts)
        for number, part in enumerate(parts):
            first = number == 0 and self.kind != "pointwise"
            where = (self.stride, self.padding, self.dilation) if first else ()
            modules.append(
                conv(part.in_channels, part.out_channels, part.kernel, *where, groups=part.groups, bias=False)
            )
            if self.norm == "bn-relu" or (self.norm == "between" and number < len(parts) - 1):
                modules += [norm(part.out_channels), nn.ReLU(inplace=True)]
        module = nn.Sequential(*modules)
        initialise(module)
        return module

    @property
    def twin(self) -> Convolution | None:
        """See `Workload.twin`: the standard convolution of a separable one's shape."""
        return replace(self, kind="standard") if self.kind == "separable" else None

    def counts(self, batch_size: int, element_size: int) -> Mapping[str, int]:
        """See `Workload.counts`: BatchNorm has two parameters a channel, and is folded in `min_bytes`.

        The floor holds the largest part's input and output, but not the workload's own input, as for networks.
        """
        parts = list(self.parts)
        norms = {"bn-relu": parts, "between": parts[:-1], "none": []}[self.norm]
        return {
            "macs": batch_size * sum(part.macs for part in parts),
            "params": sum(part.weights for part in parts) + sum(2 * part.out_channels for part in norms),
            "min_bytes": element_size * sum(batch_size * (part.read + part.written) + part.weights for part in parts),
            "memory_floor": element_size
            * batch_size
            * max(part.written + (part.read if number else 0) for number, part in enumerate(parts)),
        }

    def expected_macs(self, batch_size: int) -> float:
        """See `Workload.expected_macs`."""
        return batch_size * sum(part.macs for part in self.parts)


def parsed(text: str) -> Convolution:
    """The separable convolution of a shape, whose other kinds are `replace(…, kind=…)`.

    Padding keeps the side where stride is 1 (of an even kernel, all but one pixel), and is half the dilated kernel.
    Raises `ShapeError`.
    """
    found = _SHAPE.fullmatch(text.strip())
    if found is None:
        raise ShapeError(f"--layers: {text!r} is no shape: {GRAMMAR}")
    dimensions = int(found["dimensions"] or 2)

    def sizes(name: str, usual: str) -> Sizes:
        numbers = tuple(map(int, (found[name] or usual).split("x")))
        if len(numbers) == 1:
            numbers *= dimensions
        if len(numbers) != dimensions:
            raise ShapeError(
                f"--layers: {text!r}: {name} has {len(numbers)} numbers, and the layer {dimensions}: {GRAMMAR}"
            )
        return numbers

    in_channels, out_channels = map(int, found["channels"].split("x"))
    kernel, dilation = sizes("kernel", "3"), sizes("dilation", "1")
    padding = sizes("padding", "x".join(map(str, _same_padding(kernel, dilation))))
    made = Convolution(
        "separable",
        in_channels,
        out_channels,
        kernel,
        sizes("stride", "1"),
        dilation,
        padding,
        sizes("side", ""),
        int(found["groups"] or 1),
        "none" if found["plain"] else "bn-relu",
    )
    _check(made, text)
    return made


def _check(made: Convolution, text: str) -> None:
    numbers = (made.in_channels, made.out_channels, *made.kernel, *made.stride, *made.dilation, *made.side, made.groups)
    if min(numbers) < 1:
        raise ShapeError(f"--layers: {text!r}: every number must be at least 1: {GRAMMAR}")
    if made.in_channels % made.groups or made.out_channels % made.groups:
        raise ShapeError(f"--layers: {text!r}: {made.groups} groups do not divide the channels: {GRAMMAR}")
    if min(made.out_side) < 1:
        raise ShapeError(f"--layers: {text!r}: the kernel is larger than the padded side: {GRAMMAR}")


def _same_padding(kernel: Sizes, dilation: Sizes) -> Sizes:
    return tuple(dilation * (kernel - 1) // 2 for kernel, dilation in zip(kernel, dilation, strict=True))


def _text(sizes: Sizes) -> str:
    return str(sizes[0]) if len(set(sizes)) == 1 else "x".join(map(str, sizes))
