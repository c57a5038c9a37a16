"""What a call on the CPU needs of the system, in passes of its own: never while anything is timed.

The peak of what torch allocates is asked of the device (`mnv1.cases.devices`).
"""

from __future__ import annotations

import re
from pathlib import Path

from mnv1.base.facts import Facts
from mnv1.cases import Case
from mnv1.cases.devices.clock import Call
from mnv1.measure.children import ask
from mnv1.measure.modules import prepare
from mnv1.measure.state import hand_back_freed_memory

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

RESET = Path("/proc/self/clear_refs")
"""Where Linux lets a process reset its high-water mark."""

KERNEL_WORK_TIME = 0.15
"""Seconds of calls over which the kernel's work is averaged."""


def process_peak(case: Case) -> int | None:
    """Bytes by which a process's resident memory grows at the worst moment of one warm call, on the CPU.

    Measured in a fresh process with the allocator as it comes, by the kernel's high-water mark (VmHWM), reset after a
    first call whose memory was handed back. It contains the scratch memory of libraries, in whole pages. None where
    the kernel does not allow to reset the mark, or the allocator is not glibc's, which alone hands memory back.
    """
    return ask(_growth, case) if RESET.exists() else None


def page_faults() -> int:
    """Pages that the kernel has mapped for this process so far; 0 where the system does not count them (Windows)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt if resource else 0


def kernel_work(call: Call, seconds: float) -> Facts:
    """What the kernel does for a call on the CPU: `system_time` (seconds, all threads together) and `page_faults`.

    Mostly that is mapping and clearing fresh pages for memory that the allocator had handed back. A call takes about
    `seconds`; calls are repeated for `KERNEL_WORK_TIME`, because the system counts in ticks of some milliseconds.
    Nothing where the system does not count for a process (Windows).
    """
    if resource is None:
        return {}
    calls = max(1, round(KERNEL_WORK_TIME / seconds))
    call()  # what passes before this one left to the system is mapped anew once, and is not the call's
    before = resource.getrusage(resource.RUSAGE_SELF)
    for _ in range(calls):
        call()
    after = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "system_time": (after.ru_stime - before.ru_stime) / calls,
        "page_faults": (after.ru_minflt - before.ru_minflt) / calls,
    }


def _growth(case: Case) -> int | None:
    prepared = prepare(case)  # and called once
    if prepared.step:
        prepared.step.forget_gradients()
    if not hand_back_freed_memory():
        return None
    try:
        RESET.write_text("5")  # resets VmHWM to what is resident now
    except OSError:
        return None
    before = _resident()
    prepared.call()
    return _high_water_mark() - before


def _resident() -> int:
    return _status("VmRSS")


def _high_water_mark() -> int:
    return _status("VmHWM")


def _status(name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    if found is None:
        raise RuntimeError(f"/proc/self/status has no {name}")
    return 1024 * int(found[1])
