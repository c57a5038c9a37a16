"""What a machine's own ceilings allow: the least time of a layer, and the speedup that is left of the MAC ratio.

The model is the roofline (Williams, Waterman and Patterson 2009, doi 10.1145/1498765.1498785): a layer takes at least
the time of its multiply-accumulates at the peak rate, and at least that of its compulsory traffic at the memory's
bandwidth. Layers run one after the other. Needs no torch.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mnv1.architecture import Layer
from mnv1.complexity import layer_macs, layer_min_bytes


@dataclass(frozen=True)
class Ceilings:
    """Peak rate in multiply-accumulates per second, and bandwidth in bytes per second."""

    macs_per_second: float
    bytes_per_second: float

    @property
    def balance(self) -> float:
        """FLOPs (2 x MACs) per byte above which a layer is bound by compute."""
        return 2 * self.macs_per_second / self.bytes_per_second


def layer_eager_bytes(layer: Layer, batch_size: int = 1, element_size: int = 4) -> int:
    """Traffic of a layer whose BatchNorm and ReLU are passes of their own: each reads and writes the output once more.

    Pooling and the fully connected layer have neither.
    """
    passes = 0 if layer.op in ("pool", "linear") else 4
    extra = passes * batch_size * layer.out_channels * layer.out_side**2
    return layer_min_bytes(layer, batch_size, element_size) + element_size * extra


def least_time(
    layers: Iterable[Layer], ceilings: Ceilings, batch_size: int = 1, element_size: int = 4, eager: bool = False
) -> float:
    """Least seconds of some layers, one after the other; `eager` adds the passes of BatchNorm and ReLU.

    Those passes compute next to nothing, so they add their traffic's time to that of the convolution.
    """
    total = 0.0
    for layer in layers:
        folded = layer_min_bytes(layer, batch_size, element_size)
        compute = layer_macs(layer, batch_size) / ceilings.macs_per_second
        total += max(compute, folded / ceilings.bytes_per_second)
        if eager:
            total += (layer_eager_bytes(layer, batch_size, element_size) - folded) / ceilings.bytes_per_second
    return total


def ideal_speedup(
    standard: Iterable[Layer],
    separable: Iterable[Layer],
    ceilings: Ceilings,
    batch_size: int = 1,
    element_size: int = 4,
    eager: bool = False,
) -> float:
    """How many times faster the separable layers can be at best than the standard ones."""
    return least_time(standard, ceilings, batch_size, element_size, eager) / least_time(
        separable, ceilings, batch_size, element_size, eager
    )
