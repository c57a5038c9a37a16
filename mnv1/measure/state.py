"""The state of the machine and of torch that a measurement starts from, set once and recorded with the run."""

from __future__ import annotations

import ctypes
import os
import platform
from typing import Literal, get_args

State = Literal["controlled", "as-is"]
STATES: tuple[State, ...] = get_args(State)

CPUS = tuple(sorted(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else tuple(range(os.cpu_count() or 1))
"""CPUs that this process may use: read before torch binds its threads and leaves this one a single CPU."""

# mallopt parameters, from glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3


def prepare(state: State, threads: int | None = None) -> dict[str, object]:
    """Put this process into a state and return what was set, for the record. Call it before torch is imported.

    `controlled`: glibc's allocator keeps freed memory instead of handing it back to the kernel. As it comes, every
    activation above 128 KiB to 32 MiB is mapped and faulted in anew at each call; that is the largest single cause of
    noise, and cost MobileNetV1 at batch 32 a factor of 2.3. Denormal numbers are flushed to zero. Each of torch's
    threads is bound to a CPU of its own, unless the environment says otherwise. `as-is` leaves all three alone. In
    either state "fp32" is IEEE fp32 (no TF32), and cuDNN picks its kernels without benchmarking.

    `threads` replaces torch's own number of threads. Raises `ValueError` for an unknown state.
    """
    if state not in STATES:
        raise ValueError(f"unknown machine state {state!r}: choose one of {', '.join(STATES)}")
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # or torch's profiler writes about itself into the progress
    if state == "controlled" and "OMP_PROC_BIND" not in os.environ:
        os.environ |= {"OMP_PROC_BIND": "close", "OMP_PLACES": os.environ.get("OMP_PLACES", "cores")}
    if threads is not None:
        os.environ["OMP_NUM_THREADS"] = str(threads)
    allocator = _keep_freed_memory() if state == "controlled" else "as it comes"

    import torch

    if threads is not None:
        torch.set_num_threads(threads)
    flushed = torch.set_flush_denormal(state == "controlled") and state == "controlled"
    # The older switch too: torch.export reads it, and refuses where the two disagree.
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.fp32_precision = "ieee"
    torch.backends.cudnn.conv.fp32_precision = "ieee"  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    return {
        "machine_state": state,
        "allocator": allocator,
        "denormals_flushed": flushed,
        "thread_binding": os.environ.get("OMP_PROC_BIND", "as it comes"),
        "threads": torch.get_num_threads(),
        "fp32_precision": torch.backends.cuda.matmul.fp32_precision,
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
    }


def hand_back_freed_memory() -> None:
    """Give the kernel what glibc's allocator has kept so far; what is freed from now on is kept as before."""
    if _is_glibc():
        ctypes.CDLL(None).malloc_trim(0)


def _is_glibc() -> bool:
    return platform.libc_ver()[0] == "glibc"


def _keep_freed_memory() -> str:
    if not _is_glibc():
        return "as it comes (thresholds can be set with glibc only)"
    mallopt = ctypes.CDLL(None).mallopt
    # Each threshold alone is not enough: large blocks must come from the heap, and the heap must not shrink or creep.
    done = [
        mallopt(_M_MMAP_THRESHOLD, 2**30),
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1),
        mallopt(_M_TOP_PAD, 2**28),
    ]
    return "glibc, freed memory kept" if all(done) else "as it comes (mallopt refused)"
