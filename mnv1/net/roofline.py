"""What a machine's own ceilings allow: the least time of a layer, and the speedup that is left of the MAC ratio.

The model is the roofline (Williams, Waterman and Patterson 2009, doi 10.1145/1498765.1498785): a layer takes at least
the time of its multiply-accumulates at the peak rate, and at least that of its compulsory traffic at the bandwidth of
the memory that holds its data. Layers run one after the other. Needs no torch.

Data that fits the last-level cache moves at the cache's bandwidth: activations when a layer's input and output fit
together, weights when those of everything that runs in turn fit, because the next call finds them there.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mnv1.net.architecture import Layer
from mnv1.net.counts import layer_macs, layer_weights

BEYOND_CACHE = 8
"""The larger copy that is measured moves this many times the last-level cache."""
WITHIN_CACHE = 1 / 4
"""The smaller copy moves this share of it: the cache may be shared."""


@dataclass(frozen=True)
class Ceilings:
    """Peak rate in multiply-accumulates per second; bandwidth in bytes per second, beyond and within the cache.

    `cache_size` is that of the last-level cache in bytes; 0 when it is not known, and then nothing is taken to fit.
    """

    macs_per_second: float
    bytes_per_second: float
    cache_bytes_per_second: float = 0.0
    cache_size: float = 0.0

    @property
    def balance(self) -> float:
        """FLOPs (2 x MACs) per byte above which a layer whose data is beyond the cache is bound by compute."""
        return 2 * self.macs_per_second / self.bytes_per_second

    def bandwidth(self, footprint: float) -> float:
        """Bytes per second for data of which so many bytes are used in turn."""
        cached = footprint <= self.cache_size
        return max(self.cache_bytes_per_second, self.bytes_per_second) if cached else self.bytes_per_second


@dataclass(frozen=True)
class LeastTime:
    """Least seconds of one layer: its operations, its compulsory traffic, and the passes of BatchNorm and ReLU."""

    compute: float
    traffic: float
    passes: float

    @property
    def is_bound_by_compute(self) -> bool:
        """Whether the operations take longer than the compulsory traffic."""
        return self.compute >= self.traffic

    def total(self, eager: bool) -> float:
        """Operations and traffic overlap; the passes come after, because they need the result."""
        return max(self.compute, self.traffic) + (self.passes if eager else 0.0)


def layer_pass_bytes(layer: Layer, batch_size: int = 1, element_size: int = 4) -> int:
    """Traffic of BatchNorm and ReLU as passes of their own: each reads and writes the layer's output once more.

    Pooling and the fully connected layer have neither.
    """
    passes = 0 if layer.op in ("pool", "linear") else 4
    return element_size * passes * batch_size * layer.out_channels * layer.out_side**2


def least_times(
    layers: Iterable[Layer], ceilings: Ceilings, batch_size: int = 1, element_size: int = 4
) -> list[LeastTime]:
    """Least times of some layers that run one after the other, again and again."""
    layers = tuple(layers)
    all_weights = element_size * sum(map(layer_weights, layers))
    times = []
    for layer in layers:
        read, written = (
            element_size * batch_size * channels * side**2
            for channels, side in ((layer.in_channels, layer.side), (layer.out_channels, layer.out_side))
        )
        weights = element_size * layer_weights(layer)
        activations_rate = ceilings.bandwidth(read + written)
        times.append(
            LeastTime(
                compute=layer_macs(layer, batch_size) / ceilings.macs_per_second,
                traffic=(read + written) / activations_rate + weights / ceilings.bandwidth(all_weights),
                passes=layer_pass_bytes(layer, batch_size, element_size) / ceilings.bandwidth(2 * written),
            )
        )
    return times


def least_time(
    layers: Iterable[Layer], ceilings: Ceilings, batch_size: int = 1, element_size: int = 4, eager: bool = False
) -> float:
    """Least seconds of some layers, one after the other; `eager` adds the passes of BatchNorm and ReLU."""
    return sum(one.total(eager) for one in least_times(layers, ceilings, batch_size, element_size))


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
