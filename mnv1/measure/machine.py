"""What is known of a machine's CPU without torch."""

from __future__ import annotations

import platform
import re
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")

_AVX512 = frozenset({"avx512f", "avx512bw", "avx512dq", "avx512vl", "fma"})


def cpu_model() -> str:
    """The CPU's model name as the system gives it."""
    found = re.search(r"^model name\s*:\s*(.+)$", read(CPUINFO), re.MULTILINE)
    return found[1] if found else platform.processor() or platform.machine()


def cpu_flags() -> frozenset[str]:
    """The CPU's features as the system names them."""
    found = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", read(CPUINFO), re.MULTILINE)
    return frozenset(found[1].split() if found else [])


def has_bf16_instructions() -> bool:
    """Whether the CPU multiplies bf16 numbers itself."""
    return bool(cpu_flags() & {"avx512_bf16", "amx_bf16", "bf16"})


def capability() -> str:
    """The widest instructions of the CPU, in the words by which torch names what it picks its kernels by."""
    flags = cpu_flags()
    if flags >= _AVX512:
        return "AVX512"
    return "AVX2" if flags >= {"avx2", "fma"} else "DEFAULT"


def name_of(*parts: str) -> str:
    """A name for a kind of machine, such as `amd-epyc-avx2-2cpu`: fit for a folder."""
    text = re.sub(r"\((r|tm)\)|\bcpu\b|@.*?hz|processor", "", " ".join(parts), flags=re.IGNORECASE)
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def read(path: str | Path) -> str:
    """A file of the system, empty where there is none."""
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
