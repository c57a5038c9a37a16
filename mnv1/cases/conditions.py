"""Under what a workload is measured."""

from __future__ import annotations

from dataclasses import dataclass

from mnv1.cases.devices import Device, device_named
from mnv1.cases.modes import MODES, Mode


@dataclass(frozen=True)
class Conditions:
    """Batch size, and by name the device, the precision and the mode."""

    batch_size: int
    device: str
    precision: str
    mode: str = "eager"

    @property
    def id(self) -> str:
        """The conditions' id, such as `b8-cpu-fp32`, or `b8-cpu-fp32-folded` where the mode is not eager."""
        plain = f"b{self.batch_size}-{self.device}-{self.precision}"
        return plain if self.mode == "eager" else f"{plain}-{self.mode}"

    @property
    def on(self) -> Device:
        """The device."""
        return device_named(self.device)

    @property
    def how(self) -> Mode:
        """The mode. Raises `KeyError` for one that does not exist."""
        return MODES[self.mode]

    @property
    def is_plain(self) -> bool:
        """Whether the module is called as it is: nothing is transformed, so there is nothing to compare it with."""
        return self.how.is_plain and self.precision in ("fp32", "tf32", "amp")
