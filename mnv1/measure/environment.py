"""What the figures were measured on: hardware, software and settings, and warnings that name a next step.

`python -m mnv1.measure.environment` prints it.
"""

from __future__ import annotations

import os
import platform
import re
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil
import torch

PACKAGES = ("torch", "torchvision", "numpy", "pytest-benchmark", "mnv1")


def describe() -> dict[str, object]:
    """Facts about this machine and its software; sizes in bytes."""
    facts: dict[str, object] = {
        "machine": machine_name(),
        "cpu": cpu_model(),
        "cpus": len(_usable_cpus()),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "bf16_instructions": _has_bf16_instructions(),
        "memory": psutil.virtual_memory().total,
        "governor": _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor") or "not reported",
        "virtualised": "hypervisor" in _cpu_flags(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "threads": torch.get_num_threads(),
        "omp_environment": {name: value for name, value in sorted(os.environ.items()) if _is_threading(name)},
        "packages": {name: _version(name) for name in PACKAGES},
        "onednn": _onednn(),
        "cuda_build": torch.version.cuda or "none",
    }
    if torch.cuda.is_available():
        gpu = torch.cuda.get_device_properties(0)
        facts |= {
            "gpu": gpu.name,
            "gpu_memory": gpu.total_memory,
            "gpu_capability": f"{gpu.major}.{gpu.minor}",
            "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
        }
    return facts


def warnings() -> list[str]:
    """What on this machine makes figures less trustworthy, each with what to do about it."""
    found = []
    governor = _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    if governor and governor != "performance":
        found.append(f"CPU governor is {governor}: run `cpupower frequency-set -g performance` as root")
    cpus = len(_usable_cpus())
    # Not the load average: it still remembers a minute of what has just ended, such as an installation.
    busy = psutil.cpu_percent(interval=0.5)
    if busy > 20:
        found.append(f"the CPUs are {busy:.0f} % busy before anything is measured: stop what else runs, and run again")
    if torch.get_num_threads() > cpus:
        found.append(f"torch uses {torch.get_num_threads()} threads on {cpus} CPUs: set OMP_NUM_THREADS={cpus}")
    if not _has_bf16_instructions():
        found.append("this CPU has no bf16 instructions: expect amp to be slower than fp32, or pass --precisions fp32")
    return found


def machine_name() -> str:
    """A folder name for results of this kind of machine, such as `amd-epyc-2cpu`; the GPU is part of it."""
    parts = [cpu_model(), f"{len(_usable_cpus())}cpu"]
    if torch.cuda.is_available():
        parts.insert(0, torch.cuda.get_device_properties(0).name)
    text = re.sub(r"\((r|tm)\)|\bcpu\b|@.*?hz|processor", "", " ".join(parts), flags=re.IGNORECASE)
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def cpu_model() -> str:
    """The CPU's model name as the system gives it."""
    found = re.search(r"^model name\s*:\s*(.+)$", _read("/proc/cpuinfo"), re.MULTILINE)
    return found[1] if found else platform.processor() or platform.machine()


def _usable_cpus() -> list[int]:
    process = psutil.Process()
    return process.cpu_affinity() or [] if hasattr(process, "cpu_affinity") else list(range(psutil.cpu_count() or 1))


def _cpu_flags() -> frozenset[str]:
    found = re.search(r"^flags\s*:\s*(.+)$", _read("/proc/cpuinfo"), re.MULTILINE)
    return frozenset(found[1].split() if found else [])


def _has_bf16_instructions() -> bool:
    return bool(_cpu_flags() & {"avx512_bf16", "amx_bf16"})


def _is_threading(name: str) -> bool:
    return name.startswith(("OMP_", "MKL_", "KMP_", "GOMP_", "ONEDNN_", "DNNL_", "MALLOC_", "LD_PRELOAD"))


def _onednn() -> str:
    found = re.search(r"MKL-DNN v([\d.]+)", torch.__config__.show())
    return found[1] if found else "none"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def main() -> int:
    """Print the environment and its warnings."""
    for name, value in describe().items():
        print(f"{name:18} {value}")
    for warning in warnings():
        print(f"warning: {warning}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
