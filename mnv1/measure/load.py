"""What else the machine does: so that a time is known to be of this process alone. Needs no torch."""

from __future__ import annotations

import os

import psutil


def own_work() -> float:
    """CPU seconds of this process so far, and of the processes that it started and waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system  # no children on Windows


def machine_work() -> float:
    """CPU seconds that the machine has worked so far, whatever for: system, interrupts and other machines included."""
    times = psutil.cpu_times()
    idle = times.idle + getattr(times, "iowait", 0.0)
    counted_twice = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)
    return float(sum(times) - idle - counted_twice)
