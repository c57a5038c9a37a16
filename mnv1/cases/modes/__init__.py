"""How cases are run: every mode of this folder's modules, by name.

The error of an output is its relative L2 difference from the output of plain eager fp32 code with the same weights and
images, ‖output − eager‖ / ‖eager‖ over the whole batch (Frobenius' norm): one wrong class among a thousand counts with
its weight, and a single element that is nearly zero cannot make it infinite.
"""

from __future__ import annotations

from mnv1.base.found import found_in
from mnv1.cases.devices import device_named
from mnv1.cases.modes.mode import Made, Mode
from mnv1.cases.precisions import PRECISIONS

__all__ = ["MODES", "Made", "Mode", "combinations", "exists"]

MODES: dict[str, Mode] = found_in(__name__, __path__, "MODES")


def exists(mode: str, precision: str, device: str) -> bool:
    """Whether there is such a mode, on any machine."""
    return precision in MODES[mode].precisions(device_named(device))


def combinations(device: str) -> list[tuple[str, str]]:
    """Every mode and precision that exists on a device, plain ones first."""
    return [(mode, precision) for precision in PRECISIONS for mode in MODES if exists(mode, precision, device)]
