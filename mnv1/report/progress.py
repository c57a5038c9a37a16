"""What is shown while a sweep runs: a line a finished case, and how long the rest will take."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mnv1.report import units


class Progress:
    """Counts finished cases and extrapolates the remaining time from their expected costs.

    `expected` maps each case to a guess of its cost, of which only the proportions matter; `now` is a clock in seconds.
    """

    def __init__(self, expected: Mapping[str, float], now: Callable[[], float]) -> None:
        self.total = len(expected)
        self._open = dict(expected)
        self._done = 0.0
        self._now = now
        self._start = now()

    def finish(self, case: str) -> tuple[str, float]:
        """Mark a case as finished. Returns its counter, such as `[ 12/118]`, and the expected rest in seconds."""
        self._done += self._open.pop(case)
        elapsed = self._now() - self._start
        number = self.total - len(self._open)
        return f"[{number:{len(str(self.total))}d}/{self.total}]", elapsed / self._done * sum(self._open.values())


def progress_line(counter: str, facts: Mapping[str, Any], remaining: float) -> str:
    """One line about one finished case; `remaining` is the expected rest of the sweep in seconds."""
    if facts["measures"] == "speedup":
        figures = [
            units.ratio_interval(facts["speedup"], facts["speedup_low"], facts["speedup_high"]),
            f"{units.seconds(facts['standard_latency_p50'])} → {units.seconds(facts['latency_p50'])}",
        ]
    else:
        half_width = (facts["latency_high"] - facts["latency_low"]) / 2 / facts["latency_p50"]
        figures = [
            f"{units.seconds(facts['latency_p50'])} ±{units.percent(half_width)}",
            units.throughput(facts["throughput"]),
            units.bytes_(facts["peak_memory"]),
        ]
    return "  ".join([f"{counter} {facts['id']}", *figures, f"eta {units.duration(remaining)}"])
