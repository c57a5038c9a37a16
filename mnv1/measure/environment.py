"""What the figures were measured on: hardware, software and settings, and warnings that name a next step.

`python -m mnv1.measure.environment` prints it.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TypeVar

import psutil

from mnv1.base import console
from mnv1.measure.state import CPUS  # before torch, which may bind this process

# isort: split
import torch

from mnv1.cases.devices import available
from mnv1.measure import quota
from mnv1.measure.machine import cpu_flags, cpu_model, has_bf16_instructions, name_of, read
from mnv1.measure.messages import Described

T = TypeVar("T")

PACKAGES = (
    *("torch", "torchvision", "timm", "numpy", "pytest", "pytest-benchmark", "nvidia-ml-py", "mnv1"),
    *("onnxruntime", "openvino", "torchao"),
)

FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx_vnni", "amx_bf16", "amx_int8", "asimd", "bf16", "sve")
"""CPU features that decide which kernels libraries pick."""

BUSY = 0.2
"""Share of the CPUs in use, before anything is measured, from which a warning is due."""


def described(settings: Mapping[str, object]) -> Described:
    """The environment with the `settings` of the machine's state (`mnv1.measure.state.prepare`), and its warnings."""
    left_out = settings.get("left_out")
    controlled = [f"controlled leaves out {one}" for one in left_out] if isinstance(left_out, Sequence) else []
    return Described({**describe(), **settings}, (*controlled, *warnings()))


def describe() -> dict[str, object]:
    """Facts about this machine and its software; sizes in bytes, clocks in Hz."""
    clock = _told(psutil.cpu_freq)
    memory = _told(psutil.virtual_memory)
    facts: dict[str, object] = {
        "machine": machine_name(),
        "cpu": cpu_model(),
        "cpus": len(CPUS),
        "affinity": f"{_ranges(CPUS)} of {os.cpu_count()}",
        "cpu_quota": quota.Quotas().cpus or "none",
        "cores": _told(lambda: psutil.cpu_count(logical=False)) or len(CPUS),
        "cpu_clock": int(clock.current * 1e6) if clock else "not reported",
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "cpu_features": [name for name in FEATURES if name in cpu_flags()],
        "bf16_instructions": has_bf16_instructions(),
        "caches": _caches(),
        "memory": memory.total if memory else "not reported",
        "huge_pages": _chosen(read("/sys/kernel/mm/transparent_hugepage/enabled")) or "not reported",
        "governor": _governor() or "not reported",
        "virtualised": "hypervisor" in cpu_flags(),
        "hypervisor": read("/sys/class/dmi/id/sys_vendor") or "not reported",
        "kernel": platform.release(),
        "python": platform.python_version(),
        "threads": torch.get_num_threads(),
        "environment_variables": {name: value for name, value in sorted(os.environ.items()) if _matters(name)},
        "packages": {name: _version(name) for name in PACKAGES},
        "torch_build": str(torch.__version__),  # a plain text: its own class would import torch wherever it is read
        "onednn": _onednn(),
        "cuda_build": torch.version.cuda or "none",
        "revision": _revision(),
    }
    for device in available():
        facts |= device.describe()
    return facts


def warnings() -> list[str]:
    """What on this machine makes figures less trustworthy, each with what to do about it."""
    found = []
    governor = _governor()
    if governor and governor != "performance":
        found.append(f"CPU governor is {governor}: run `cpupower frequency-set -g performance` as root")
    # Not the load average: it still remembers a minute of what has just ended, such as an installation.
    busy = (_told(lambda: psutil.cpu_percent(interval=0.5)) or 0.0) / 100
    if busy > BUSY:
        found.append(f"the CPUs are {busy:.0%} busy before anything is measured: stop what else runs, and run again")
    if torch.get_num_threads() > len(CPUS):
        found.append(
            f"torch uses {torch.get_num_threads()} threads on {len(CPUS)} CPUs: use --threads {len(CPUS)} or fewer"
        )
    found += quota.warnings(len(CPUS), quota.Quotas().cpus, torch.get_num_threads())
    if "hypervisor" in cpu_flags():
        found.append(
            "this is a virtual machine, whose neighbours cannot be seen: trust speedups, and latencies of one run only"
        )
    if not has_bf16_instructions():
        found.append("this CPU has no bf16 instructions, amp would be far slower than fp32: name it in --precisions")
    for device in available():
        found += device.warnings()
    return found


def _told(ask: Callable[[], T]) -> T | None:
    """What the system tells; None where it does not: without /proc or /sys, or on another system."""
    try:
        return ask()
    except (OSError, RuntimeError, NotImplementedError, AttributeError):
        return None


def _ranges(numbers: Sequence[int]) -> str:
    """Numbers in rising order, as the kernel writes lists of CPUs: `0-3,6`."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and parts[-1][-1] == number - 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ",".join(str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in parts)


def machine_name() -> str:
    """A folder name for results of this kind of machine, such as `amd-epyc-avx2-2cpu`; the GPU is part of it.

    What torch's kernels are chosen by belongs to it, because virtual machines hide their CPU's model.
    """
    parts = [device.machine_name() for device in available()]
    return name_of(*parts, cpu_model(), torch.backends.cpu.get_cpu_capability(), f"{len(CPUS)}cpu")


def _governor() -> str:
    return read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")


def _caches() -> dict[str, str]:
    """Size of each level of cache that a CPU sees, as the kernel writes it."""
    found = {}
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        if read(index / "type") != "Instruction":
            found[f"L{read(index / 'level')}"] = read(index / "size")
    return found


def _chosen(text: str) -> str:
    """The one in brackets of several choices, as the kernel writes them."""
    found = re.search(r"\[(\w+)\]", text)
    return found[1] if found else ""


def _revision() -> str:
    """The git revision of this suite's working copy, with + where it has changes; `unknown` where it is none.

    A copy without git may lie in a repository of something else, whose revision says nothing of this code.
    """
    here = Path(__file__).parent

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=here, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        git("ls-files", "--error-unmatch", Path(__file__).name)
        changed = git("--no-optional-locks", "status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _matters(name: str) -> bool:
    """Whether an environment variable decides about threads, allocation or kernels."""
    prefixes = ("OMP_", "MKL_", "KMP_", "GOMP_", "ONEDNN_", "DNNL_", "MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD")
    return name.startswith((*prefixes, "CUDA_", "CUDNN_", "NVIDIA_TF32", "PYTORCH_", "TORCH_", "ATEN_"))


def _onednn() -> str:
    found = re.search(r"MKL-DNN v([\d.]+)", torch.__config__.show())
    return found[1] if found else "none"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def main() -> int:
    """Print the environment as a sweep records it, in the controlled state, and its warnings."""
    from mnv1.measure.supervisor import Supervisor, SupervisorError

    supervisor = Supervisor("controlled", threads=None, case_timeout=60.0)
    try:
        described = supervisor.describe()
    except SupervisorError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    finally:
        supervisor.close()
    for name, value in described.environment.items():
        print(f"{name:22} {value}")
    for warning in described.warnings:
        print(f"warning: {warning}")
    return 0


if __name__ == "__main__":
    console.run(main)
