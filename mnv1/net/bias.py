"""Bias correction: what rounding the weights adds to an output on average is taken out of the layer's bias again.

Activations after ReLU are not centred, so an error of the weights, times their mean, shifts a whole channel the same
way for every image and position. In a depthwise layer nine weights share a channel, and nothing averages out. Nagel et
al. (2019, arXiv 1906.04721, section 4.2) correct it; here means are measured on images, layer by layer, each behind
layers that were corrected already.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

LAYERS = (torch.ops.aten.conv2d.default, torch.ops.aten.linear.default)
"""Operators that have weights and a bias."""


class _Means(fx.Interpreter):
    """Runs a graph, and keeps the mean of each channel that a convolution or fully connected layer puts out."""

    def __init__(self, graph: fx.GraphModule) -> None:
        super().__init__(graph)
        self.means: dict[str, torch.Tensor] = {}

    def run_node(self, n: fx.Node) -> Any:
        """A node's output; of a layer its channels' means are kept."""
        output = super().run_node(n)
        if n.target in LAYERS:
            self.means[n.name] = _mean(output)
        return output


class _Correction(fx.Interpreter):
    """Runs a graph, and changes the bias of each layer so that the mean of each channel is the expected one."""

    def __init__(self, graph: fx.GraphModule, expected: dict[str, torch.Tensor]) -> None:
        super().__init__(graph)
        self._expected = expected

    def run_node(self, n: fx.Node) -> Any:
        """A node's output; of a layer the output with its new bias."""
        output = super().run_node(n)
        bias = n.args[2] if n.target in LAYERS and len(n.args) > 2 else None
        if n.name not in self._expected or not isinstance(bias, fx.Node) or bias.op != "get_attr":
            return output
        shift = _mean(output) - self._expected[n.name]
        self.fetch_attr(str(bias.target)).sub_(shift)
        return output - shift.view(1, -1, *[1] * (output.dim() - 2))


@torch.no_grad()
def channel_means(graph: fx.GraphModule, images: torch.Tensor) -> dict[str, torch.Tensor]:
    """The mean of each channel `(C,)` that each layer of a graph puts out for images `(N, 3, D, D)`, by node name."""
    run = _Means(graph)
    run.run(images)
    return run.means


@torch.no_grad()
def correct_bias(graph: fx.GraphModule, images: torch.Tensor, expected: dict[str, torch.Tensor]) -> None:
    """Change biases in place, so that for these images each channel of a layer has the mean that it had in fp32."""
    _Correction(graph, expected).run(images)


def _mean(output: torch.Tensor) -> torch.Tensor:
    return output.mean([dimension for dimension in range(output.dim()) if dimension != 1])
