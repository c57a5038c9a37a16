"""What is measured: workloads, what they run on and how they are run, and the grids that combine them.

A `Case` is a workload (one block, one whole network, a training step of one, or a network of another package) under
conditions (batch size, device, precision, execution mode). A `Pair` is a workload and its twin under the same
conditions, for a measured speedup. Ids key the stored results, so they never change for the same content; a test pins
them. Nothing here imports torch before something is built or run.
"""

from __future__ import annotations

from mnv1.cases.case import Case, Gain, Pair
from mnv1.cases.conditions import Conditions
from mnv1.cases.devices import DEVICES, device_named
from mnv1.cases.modes import MODES
from mnv1.cases.precisions import PRECISIONS
from mnv1.cases.workloads import (
    KINDS,
    NUM_CLASSES,
    OWN_KINDS,
    Block,
    Convolution,
    Marked,
    Network,
    Reference,
    Training,
    Workload,
)

__all__ = [
    "DEVICES",
    "KINDS",
    "MODES",
    "NUM_CLASSES",
    "OWN_KINDS",
    "PRECISIONS",
    "Block",
    "Case",
    "Conditions",
    "Convolution",
    "Gain",
    "Marked",
    "Network",
    "Pair",
    "Reference",
    "Training",
    "Workload",
    "device_named",
]
