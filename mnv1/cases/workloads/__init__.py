"""What is run: blocks, whole networks, training steps, and networks of other packages."""

from __future__ import annotations

from mnv1.cases.workloads.blocks import BLOCK_TYPES, Block
from mnv1.cases.workloads.convolutions import Convolution
from mnv1.cases.workloads.marked import Marked
from mnv1.cases.workloads.networks import NETWORK_TYPES, Network, Training
from mnv1.cases.workloads.references import REFERENCES, Reference
from mnv1.cases.workloads.workload import NUM_CLASSES, Workload

__all__ = [
    "BLOCK_TYPES",
    "COLOURS",
    "KINDS",
    "NETWORK_TYPES",
    "NUM_CLASSES",
    "OWN_KINDS",
    "REFERENCES",
    "Block",
    "Convolution",
    "Marked",
    "Network",
    "Reference",
    "Training",
    "Workload",
    "network_of",
]

OWN_KINDS: tuple[str, ...] = tuple(dict.fromkeys((*BLOCK_TYPES, *NETWORK_TYPES)))
"""What the profiles are made of."""
KINDS: tuple[str, ...] = (*OWN_KINDS, *REFERENCES)
"""What can be measured."""
COLOURS: dict[str, str] = {
    one.name: one.colour for types in (REFERENCES, NETWORK_TYPES, BLOCK_TYPES) for one in types.values()
}
"""The colour of each kind."""


def network_of(kind: str, alpha: float, resolution: int) -> Network | Reference:
    """A whole network by its kind; `alpha` is left out where it has one width. Raises `KeyError`."""
    if kind in NETWORK_TYPES:
        return Network(kind, alpha, resolution)
    return Reference(kind, resolution, alpha if REFERENCES[kind].has_alpha else None)
