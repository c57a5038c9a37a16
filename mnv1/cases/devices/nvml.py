"""What NVIDIA's driver tells of a CUDA device: its settings, its clocks, and what holds them back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

# NVML's bits for why a clock is below what was asked for (nvml.h, nvmlClocksEventReason*), as far as they slow work.
THROTTLE_REASONS = {
    0x04: "power cap",
    0x08: "hardware slowdown",
    0x20: "software thermal",
    0x40: "hardware thermal",
    0x80: "power brake",
}


def throttling() -> dict[str, object]:
    """The SM clock in Hz (`gpu_clock`) and what holds it back (`throttled`, empty for nothing), right now.

    Empty where NVML, or its Python package nvidia-ml-py, is missing.
    """
    nvml = _nvml()
    if nvml is None:
        return {}
    reasons_of = getattr(nvml, "nvmlDeviceGetCurrentClocksEventReasons", None)
    facts: dict[str, object] = {}
    clock = _ask(lambda: nvml.nvmlDeviceGetClockInfo(_handle(nvml), nvml.NVML_CLOCK_SM))
    if clock is not None:
        facts["gpu_clock"] = int(clock) * 10**6
    bits = _ask(lambda: reasons_of(_handle(nvml))) if reasons_of else None
    if bits is not None:
        facts["throttled"] = ", ".join(name for bit, name in THROTTLE_REASONS.items() if int(bits) & bit)
    return facts


def energy() -> float | None:
    """Joules that torch's device 0 took since its driver was loaded; None where NVML does not count them."""
    nvml = _nvml()
    counted = None if nvml is None else _ask(lambda: nvml.nvmlDeviceGetTotalEnergyConsumption(_handle(nvml)))
    return None if counted is None else int(counted) / 1e3


def describe() -> dict[str, object]:
    """Driver, power and clock settings of torch's device 0; what NVML does not give is left out."""
    nvml = _nvml()
    if nvml is None:
        return {}
    asked: dict[str, Callable[[], object]] = {
        "gpu_driver": nvml.nvmlSystemGetDriverVersion,
        "gpu_max_clock": lambda: 10**6 * nvml.nvmlDeviceGetMaxClockInfo(_handle(nvml), nvml.NVML_CLOCK_SM),
        "gpu_power_state": lambda: f"P{nvml.nvmlDeviceGetPerformanceState(_handle(nvml))}",
        "gpu_power_limit": lambda: nvml.nvmlDeviceGetEnforcedPowerLimit(_handle(nvml)) / 1e3,
        "gpu_temperature": lambda: nvml.nvmlDeviceGetTemperature(_handle(nvml), nvml.NVML_TEMPERATURE_GPU),
        "gpu_persistence": lambda: bool(nvml.nvmlDeviceGetPersistenceMode(_handle(nvml))),
    }
    answers = {name: _ask(question) for name, question in asked.items()}
    return {name: answer for name, answer in answers.items() if answer is not None}


def _ask(question: Callable[[], T]) -> T | None:
    """The answer, or None where this device or driver has none: NVML raises for whatever it does not support."""
    try:
        return question()
    except Exception:
        return None


def _nvml() -> Any:  # the package has no types
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:  # not installed, no driver, or no permission: all the same here
        return None
    return pynvml


def _handle(nvml: Any) -> Any:
    import torch

    # torch's device 0 is not NVML's when CUDA_VISIBLE_DEVICES says so: the UUID is the same for both.
    return nvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(0).uuid}")
