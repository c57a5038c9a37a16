"""What a machine can measure: why a case is skipped there, in a line that says what to do."""

from __future__ import annotations

from collections.abc import Mapping

from mnv1.cases.case import Case, Pair
from mnv1.cases.devices import DEVICES, Device


def why_not_here(
    case: Case | Pair, environment: Mapping[str, object], chosen: bool, devices_chosen: bool = True
) -> str | None:
    """Why a case is not measured on the machine of an environment, or None when it is.

    `chosen`: whether the user named the precision, so that it is measured even where that takes long.
    `devices_chosen`: whether the user named devices; otherwise one is measured, the GPU where there is one.
    """
    conditions, workload = case.conditions, case.workload
    device = conditions.on
    return (
        device.why_not_here(environment)
        or (None if devices_chosen else _why_not_beside(device, environment))
        or (None if chosen else device.why_too_slow(conditions.precision, environment))
        or conditions.how.why_not_here(conditions.precision, device)
        or workload.why_not_here()
        or workload.why_not_under(conditions)
    )


def _why_not_beside(device: Device, environment: Mapping[str, object]) -> str | None:
    """Why the host is not measured where another device is: both take twice the time, and few ask for both."""
    others = [one.name for one in DEVICES.values() if one.by_default and not one.is_host]
    here = [name for name in others if DEVICES[name].why_not_here(environment) is None]
    if not (device.is_host and here):
        return None
    return f"{device.name} is left out beside {here[0]}: --devices {device.name},{here[0]} measures both"
