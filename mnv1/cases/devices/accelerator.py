"""Other accelerators that torch has a name for: `--devices` names them, and they answer what any of them can."""

from __future__ import annotations

from mnv1.cases.devices.device import Device

DEVICES = (Device("mps"), Device("xpu"))
