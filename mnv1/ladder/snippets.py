"""The lines of Python that use a rung. Needs no torch itself."""

from __future__ import annotations

import re
from collections.abc import Iterable

from mnv1.cases import MODES, device_named
from mnv1.cases.workloads import NETWORK_TYPES

ENVIRONMENT = (
    "MALLOC_MMAP_THRESHOLD_=1073741824 MALLOC_TRIM_THRESHOLD_=8589934592 MALLOC_TOP_PAD_=268435456 "
    "OMP_PROC_BIND=close OMP_PLACES=cores"
)
"""Variables that put a program into the state in which the ladder is measured: glibc keeps freed memory, and each
thread has a core of its own."""


def snippet(kind: str, mode: str, precision: str, device: str, alpha: float, resolution: int, batch_size: int) -> str:
    """A program that runs one of this suite's networks in this way: it leaves its outputs in `logits`.

    Raises `KeyError` for a network of another package.
    """
    how, there = MODES[mode], device_named(device).place_in_code
    model = NETWORK_TYPES[kind].code.format(alpha=alpha)
    body = [
        f"model = {model}.eval(){there}  # or MobileNetV1.from_pretrained(FILE)",
        f"images = torch.randn({batch_size}, 3, {resolution}, {resolution}){there}",
        *how.lines(device_named(device), precision, batch_size),
    ]
    return "\n".join(["import torch", *_imports(how.imports(), "\n".join(body)), "", *body, ""])


def _imports(own: Iterable[str], body: str) -> list[str]:
    """The imports of a program: the mode's, and the names of this package that it uses."""
    names = (
        ("conv_standard", "mnv1.blocks"),
        ("folded", "mnv1.net.folding"),
        ("post_training_quantized", "mnv1.net.quantize"),
        ("MobileNetV1", "mnv1.model"),
    )
    return [*own, *(f"from {home} import {name}" for name, home in names if re.search(rf"\b{name}\b", body))]
