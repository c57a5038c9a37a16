"""Closed-form operation, parameter and byte counts, and the layer table: `python -m mnv1.complexity`.

Conventions, as in the paper (Howard et al. 2017, arXiv 1704.04861):

- one MAC is one multiply-accumulate of a convolution or of the fully connected layer (1 MAC = 2 FLOPs); BatchNorm,
  ReLU, biases and pooling count no MACs;
- parameters are the convolutions' weights, BatchNorm's gamma and beta, and the fully connected layer's weights and
  bias; running statistics are not parameters;
- minimum bytes are the compulsory traffic with BatchNorm folded and ReLU fused: each layer reads its input and
  weights once and writes its output once.

With N batch, M input channels, C output channels, K kernel, Di and Do input and output side, b bytes per element:

=========  ===============  =========================================
op         MACs             minimum bytes
=========  ===============  =========================================
standard   N Do² K² M C     b (N M Di² + N C Do² + K² M C)
depthwise  N Do² K² M       b (N M Di² + N M Do² + K² M)
pointwise  N Do² M C        b (N M Do² + N C Do² + M C)
linear     N M C            b (N M + N C + M C)
pool       0                b (N M Di² + N M)
=========  ===============  =========================================

A training step has each layer's MACs three times, once forward and twice backward, where the first layer has them twice
(`training_macs`).
"""

from __future__ import annotations

import argparse
import csv
import io
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

from mnv1.base import tables
from mnv1.base.packages import require
from mnv1.net.architecture import Layer, NetworkKind, network_layers

if TYPE_CHECKING:
    import torch
    from torch import nn


def layer_macs(layer: Layer, batch_size: int = 1) -> int:
    """Multiply-accumulates of one layer for a batch."""
    match layer.op:
        case "standard" | "pointwise":
            per_output = layer.kernel**2 * layer.in_channels
        case "depthwise":
            per_output = layer.kernel**2
        case "linear":
            per_output = layer.in_channels
        case "pool":
            return 0
    return batch_size * layer.out_side**2 * layer.out_channels * per_output


def layer_weights(layer: Layer) -> int:
    """Elements of the layer's convolution or fully connected weight."""
    match layer.op:
        case "standard" | "pointwise" | "linear":
            return layer.kernel**2 * layer.in_channels * layer.out_channels
        case "depthwise":
            return layer.kernel**2 * layer.in_channels
        case "pool":
            return 0


def layer_params(layer: Layer) -> int:
    """Trainable parameters of one layer: weight, and BatchNorm's gamma and beta or the fully connected bias."""
    extra = {"pool": 0, "linear": layer.out_channels}.get(layer.op, 2 * layer.out_channels)
    return layer_weights(layer) + extra


def layer_min_bytes(layer: Layer, batch_size: int = 1, element_size: int = 4) -> int:
    """Compulsory memory traffic of one layer for a batch, in bytes (BatchNorm folded, ReLU fused)."""
    read = layer.in_channels * layer.side**2
    written = layer.out_channels * layer.out_side**2
    return element_size * (batch_size * (read + written) + layer_weights(layer))


@dataclass(frozen=True)
class Counts:
    """MACs, parameters and minimum bytes of one layer or of a sum of layers."""

    macs: int
    params: int
    min_bytes: int

    @property
    def intensity(self) -> float:
        """Arithmetic intensity: FLOPs (2 x MACs) per byte of compulsory traffic."""
        return 2 * self.macs / self.min_bytes


def count(layers: Iterable[Layer], batch_size: int = 1, element_size: int = 4) -> Counts:
    """Summed counts of some layers for a batch; `element_size` is the bytes per element (4 for fp32)."""
    layers = tuple(layers)
    return Counts(
        macs=sum(layer_macs(layer, batch_size) for layer in layers),
        params=sum(layer_params(layer) for layer in layers),
        min_bytes=sum(layer_min_bytes(layer, batch_size, element_size) for layer in layers),
    )


def training_macs(layers: Iterable[Layer], batch_size: int = 1) -> int:
    """Multiply-accumulates of a training step: those of the forward pass, and twice as many of the backward pass.

    Backward each layer multiplies the gradient of its output with its input, for the gradient of its weights, and with
    its weights, for that of its input; either takes as many as the layer itself. The first layer's input is the images,
    whose gradient nobody needs. Loss, BatchNorm and the optimizer count none.
    """
    first, *rest = layers
    return 2 * layer_macs(first, batch_size) + 3 * sum(layer_macs(layer, batch_size) for layer in rest)


def memory_floor(layers: Iterable[Layer], batch_size: int = 1, element_size: int = 4) -> int:
    """Bytes of activations that any layer-by-layer evaluation holds at its worst moment: one layer's input and output.

    The network's own input is not counted, as in the measured peak memory; BatchNorm is folded and ReLU in place.
    """
    first, *rest = layers
    elements = [first.out_channels * first.out_side**2]
    elements += [one.in_channels * one.side**2 + one.out_channels * one.out_side**2 for one in rest]
    return element_size * batch_size * max(elements)


def count_with_fvcore(module: nn.Module, images: torch.Tensor) -> int:
    """MACs as fvcore counts them, without BatchNorm and pooling: the cross-check for the closed form.

    fvcore counts one "flop" per MAC, and adds BatchNorm and pooling, which the paper does not count. Raises
    `MissingPackageError` where fvcore is not installed.
    """
    with warnings.catch_warnings():
        # fvcore traces with torch.jit, which torch calls deprecated: nothing that its caller could act on.
        warnings.simplefilter("ignore")
        counter = require("fvcore.nn", "test").FlopCountAnalysis
        analysis = counter(module, images).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        for name in ("aten::batch_norm", "aten::adaptive_avg_pool2d"):
            analysis.set_op_handle(name, lambda _inputs, _outputs: 0)  # None would leave fvcore's own count in force
        return int(analysis.total())


def count_with_torch(module: nn.Module, *images: torch.Tensor) -> int:
    """MACs as `torch.utils.flop_counter` counts them (it counts two per MAC): the second cross-check."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(*images)
    return int(counter.get_total_flops()) // 2


HEADER = ("layer", "output shape", "MACs", "MACs %", "params", "params %", "bytes", "FLOP/byte")


def table_rows(layers: Iterable[Layer], batch_size: int = 1, element_size: int = 4) -> list[tuple[object, ...]]:
    """One row a layer and a last row of totals, in the order of `HEADER`; shares in percent."""
    layers = tuple(layers)
    total = count(layers, batch_size, element_size)

    def row(name: str, shape: str, counts: Counts) -> tuple[object, ...]:
        return (
            name,
            shape,
            counts.macs,
            round(100 * counts.macs / total.macs, 2),
            counts.params,
            round(100 * counts.params / total.params, 2),
            counts.min_bytes,
            round(counts.intensity, 2),
        )

    rows = [
        row(layer.name, "x".join(map(str, layer.output_shape)), count([layer], batch_size, element_size))
        for layer in layers
    ]
    return [*rows, row("total", "", total)]


def format_table(rows: list[tuple[object, ...]], style: str) -> str:
    """The table as `text`, `markdown` or `csv` (CSV without thousands separators)."""
    if style == "csv":
        buffer = io.StringIO()
        csv.writer(buffer, lineterminator="\n").writerows([HEADER, *rows])
        return buffer.getvalue().rstrip("\n")
    cells = [
        [f"{cell:,}" if isinstance(cell, int) else f"{cell:.2f}" if isinstance(cell, float) else cell for cell in row]
        for row in rows
    ]
    set_as = tables.markdown if style == "markdown" else tables.terminal
    return set_as(HEADER, cells, left=HEADER[:2])


def main(argv: list[str] | None = None) -> int:
    """Command line: print the layer table of one variant."""
    parser = argparse.ArgumentParser(
        prog="python -m mnv1.complexity", description="Layer table of a MobileNetV1 variant, from closed forms."
    )
    parser.add_argument("--alpha", type=float, default=1.0, help="width multiplier, any positive number")
    parser.add_argument("--resolution", type=int, default=224, help="input side in pixels, 32 or more")
    parser.add_argument("--kind", choices=get_args(NetworkKind), default="separable")
    parser.add_argument("--num-classes", type=int, default=1000)
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--element-size", type=int, choices=(1, 2, 4), default=4, help="bytes per element")
    parser.add_argument("--format", choices=("text", "markdown", "csv"), default="text")
    args = parser.parse_args(argv)
    if args.num_classes < 1 or args.batch_size < 1:
        parser.error("--num-classes and --batch-size must be at least 1")
    try:
        layers = network_layers(args.kind, args.alpha, args.resolution, args.num_classes)
    except ValueError as error:
        parser.error(str(error))
    print(format_table(table_rows(layers, args.batch_size, args.element_size), args.format))
    return 0
