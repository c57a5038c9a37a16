"""The state of the machine and of torch that a measurement starts from, set once and recorded with the run."""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, get_args

from mnv1.measure.allocator import GLIBC, allocator
from mnv1.measure.quota import Quotas, most_threads

State = Literal["controlled", "as-is"]
STATES: tuple[State, ...] = get_args(State)

CPUS = tuple(sorted(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else tuple(range(os.cpu_count() or 1))
"""CPUs that this process may use: read before torch binds its threads and leaves this one a single CPU."""

KEPT = "glibc, freed memory kept"
"""What is recorded of the allocator where `controlled` could set it."""

HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")
"""Says whether the kernel makes huge pages: always, for memory of which a program wants it (madvise), or never."""

TUNABLES = "GLIBC_TUNABLES"
WANT_HUGE_PAGES = "glibc.malloc.hugetlb=1"
"""Makes glibc's allocator (2.35 and newer) want huge pages for what it hands out; it is read when a process starts."""

# mallopt parameters, from glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3

_IN_HEAP, _LARGE = 2**30, 2**16
"""Bytes below which memory comes from the heap: where freed memory is kept, and outside of it."""

_kept: list[bool] = []
"""Not empty where this process keeps freed memory."""


def variables_of(state: State) -> dict[str, str]:
    """Environment variables that a process must be started with to be in a state: none but for huge pages.

    Whoever has set glibc's own variable for them is left alone.
    """
    before = os.environ.get(TUNABLES, "")
    if state != "controlled" or "hugetlb" in before:
        return {}
    return {TUNABLES: ":".join(filter(None, [before, WANT_HUGE_PAGES]))}


def take_huge_pages() -> bool:
    """Whether this process was started with huge pages; the variable that asked for them is not handed on to others."""
    tunables = os.environ.get(TUNABLES, "").split(":")
    if WANT_HUGE_PAGES not in tunables:
        return False
    left = ":".join(one for one in tunables if one != WANT_HUGE_PAGES)
    if left:
        os.environ[TUNABLES] = left
    else:
        del os.environ[TUNABLES]
    return True


def prepare(state: State, threads: int | None = None, huge_pages: bool = False) -> dict[str, object]:
    """Put this process into a state and return what was set, for the record. Call it before torch is imported.

    `controlled`: glibc's allocator keeps freed memory instead of handing it back to the kernel. As it comes, every
    activation above 128 KiB to 32 MiB is mapped and faulted in anew at each call; that is the largest single cause of
    noise, and cost MobileNetV1 at batch 32 a factor of 2.3. What it hands out lies in huge pages, where the process was
    started for that (`variables_of`, `huge_pages`): which small pages a process happens to get decides what collides in
    its caches. Denormal numbers are flushed to zero. Each of torch's threads is bound to a CPU of its own, unless the
    environment says otherwise. `as-is` leaves all four alone. In either state "fp32" is IEEE fp32 (no TF32), and cuDNN
    picks its kernels without benchmarking.

    `left_out` names each part of `controlled` that was asked for and cannot be had here, and why. `threads` replaces
    torch's own number of threads, which is lowered to what CPUs and quota allow. Raises `ValueError` for an unknown
    state.
    """
    if state not in STATES:
        raise ValueError(f"unknown machine state {state!r}: choose one of {', '.join(STATES)}")
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # or torch's profiler writes about itself into the progress
    if state == "controlled" and "OMP_PROC_BIND" not in os.environ:
        os.environ |= {"OMP_PROC_BIND": "close", "OMP_PLACES": os.environ.get("OMP_PLACES", "cores")}
    if threads is not None:
        os.environ["OMP_NUM_THREADS"] = str(threads)
    found = allocator()
    kept = state == "controlled" and found == GLIBC and _keep_freed_memory()
    as_it_comes = "as it comes" if found == GLIBC else found

    import torch

    usual = min(torch.get_num_threads(), most_threads(len(CPUS), Quotas().cpus))
    if (threads or usual) != torch.get_num_threads():
        torch.set_num_threads(threads or usual)
    torch.ones(2**24)  # so that the heap is large enough for huge pages
    huge = huge_pages and kept and _has_huge_pages()
    flushed = torch.set_flush_denormal(state == "controlled") and state == "controlled"
    # The older switch too: torch.export reads it, and refuses where the two disagree.
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.fp32_precision = "ieee"
    torch.backends.cudnn.conv.fp32_precision = "ieee"  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    return {
        "machine_state": state,
        "allocator": KEPT if kept else as_it_comes,
        "allocator_pages": "huge" if huge else "as they come",
        "denormals_flushed": flushed,
        "thread_binding": os.environ.get("OMP_PROC_BIND", "as it comes"),
        "threads": torch.get_num_threads(),
        "fp32_precision": torch.backends.cuda.matmul.fp32_precision,
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
        "left_out": _left_out(found, kept, huge or not huge_pages, flushed) if state == "controlled" else [],
    }


def hand_back_freed_memory() -> bool:
    """Give the kernel what glibc's allocator has kept so far; what is freed from now on is kept as before.

    Returns whether that was done: no other allocator is asked to.
    """
    if allocator() != GLIBC:
        return False
    ctypes.CDLL(None).malloc_trim(0)
    return True


def _left_out(allocating: str, kept: bool, huge: bool, flushed: bool) -> list[str]:
    found = []
    if not kept:
        why = (
            "glibc refused its settings" if allocating == GLIBC else f"{allocating} treats freed memory in its own way"
        )
        to_do = "; unset LD_PRELOAD to have glibc keep it" if "LD_PRELOAD" in allocating else ""
        found.append(f"the allocator ({why}{to_do})")
    elif not huge:
        found.append(f"huge pages ({_why_none()})")
    if not flushed:
        found.append("flushing of denormal numbers (torch cannot switch it on here)")
    if not hasattr(os, "sched_setaffinity"):
        found.append("the binding of threads to CPUs (this system's OpenMP has none)")
    return found


def _has_huge_pages(told: Path = Path("/proc/self/smaps_rollup")) -> bool:
    """Whether some memory of this process lies in huge pages."""
    try:
        found = re.search(r"^AnonHugePages:\s+(\d+) kB$", told.read_text(), re.MULTILINE)
    except OSError:
        return False
    return found is not None and int(found[1]) > 0


def _why_none() -> str:
    try:
        never = "[never]" in HUGE_PAGES.read_text()
    except OSError:
        return "this kernel has none"
    if never:
        return f"they are off: echo madvise > {HUGE_PAGES} as root switches them on"
    return "the allocator got none: glibc 2.35 or newer wants them where it was told to at the start"


@contextmanager
def outside_of_the_heap() -> Iterator[None]:
    """What is allocated meanwhile, and is large, lies outside of the heap that `controlled` keeps.

    What stays from visit to visit would otherwise lie among what each visit allocates anew, and scatter it.
    """
    if not _kept:
        yield
        return
    mallopt = ctypes.CDLL(None).mallopt
    mallopt(_M_MMAP_THRESHOLD, _LARGE)
    try:
        yield
    finally:
        mallopt(_M_MMAP_THRESHOLD, _IN_HEAP)


def _keep_freed_memory() -> bool:
    mallopt = ctypes.CDLL(None).mallopt
    # Each threshold alone is not enough: large blocks must come from the heap, and the heap must not shrink or creep.
    done = [
        mallopt(_M_MMAP_THRESHOLD, _IN_HEAP),
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1),
        mallopt(_M_TOP_PAD, 2**28),
    ]
    _kept.extend([True] if all(done) else [])
    return all(done)
