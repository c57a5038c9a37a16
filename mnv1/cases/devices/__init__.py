"""Where cases run: every device of this folder's modules, by torch's name for it."""

from __future__ import annotations

from mnv1.base.found import found_in
from mnv1.cases.devices.device import Batches, Device

__all__ = ["DEVICES", "Batches", "Device", "available", "device_named"]

DEVICES: dict[str, Device] = found_in(__name__, __path__, "DEVICES")


def device_named(name: str) -> Device:
    """A device by torch's name for it; any other accelerator than those listed is a plain one."""
    return DEVICES.get(name) or Device(name)


def available() -> list[Device]:
    """The devices that torch finds here, the CPU first."""
    return [one for one in DEVICES.values() if one.is_available()]
