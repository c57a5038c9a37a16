"""Kernels that ran: what they did, which implementation a library picked, and how long they took. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kernel:
    """One kernel of a call."""

    kernel: str
    """What it does: images or weights (copies them from one memory layout to another), pointwise, depthwise, standard
    (other convolutions), linear, batch_norm, activation, cast or other."""
    implementation: str
    """The library's name for it."""
    layouts: str
    """Memory layout of what it reads and of what it writes, as the library writes them; empty where it does not."""
    shape: str
    """The problem, as the library writes it."""
    seconds: float
