"""What is looked at beside rounds: how long messages take between CPUs, and whether the kernel stops this process."""

from __future__ import annotations

from typing import Protocol

from mnv1.measure.quota import ThrottleMeter


class Watch(Protocol):
    """Looks at the machine before and after each group of rounds."""

    def look(self) -> float | None:
        """Seconds of a message between the CPUs that compute, right now; None where it is not read."""

    def throttled(self) -> bool:
        """Whether the kernel stopped this process for its quota since this was asked last."""


class NoWatch:
    """Takes every round as it comes."""

    def look(self) -> float | None:
        """Nobody looks."""
        return None

    def throttled(self) -> bool:
        """Nobody looked."""
        return False


class QuotaWatch(NoWatch):
    """Takes every round as it comes, but one in which the kernel stopped this process for its quota."""

    def __init__(self) -> None:
        self._meter = ThrottleMeter()

    def throttled(self) -> bool:
        """See `Watch.throttled`."""
        return self._meter.throttled()
