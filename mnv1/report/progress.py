"""What is shown while a sweep runs: a line a finished case, and how long the rest will take."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from mnv1.report import units


class Progress:
    """Counts finished cases; `remaining` gives the seconds that the rest will take, infinite where nobody knows."""

    def __init__(self, total: int, remaining: Callable[[], float]) -> None:
        self.total, self._finished, self._remaining = total, 0, remaining

    @property
    def counter(self) -> str:
        """How many cases are finished, such as `[ 12/118]`."""
        return f"[{self._finished:{len(str(self.total))}d}/{self.total}]"

    @property
    def remaining(self) -> float:
        """The expected rest in seconds."""
        return max(0.0, self._remaining())

    def finish(self) -> str:
        """Count one case more. Returns the counter."""
        self._finished += 1
        return self.counter


def visit_line(counter: str, case_id: str, remaining: float) -> str:
    """One line about a case that was visited for the first time and will be again."""
    return f"{counter} {case_id}  first of its visits{_eta(remaining)}"


def progress_line(counter: str, facts: Mapping[str, Any], remaining: float) -> str:
    """One line about one finished case; `remaining` is the expected rest of the sweep in seconds."""
    if "speedup" in facts:
        figures = [
            units.ratio_interval(facts["speedup"], facts["speedup_low"], facts["speedup_high"]),
            f"{units.seconds(facts['standard_latency_p50'])} → {units.seconds(facts['latency_p50'])}",
        ]
    else:
        half_width = (facts["latency_high"] - facts["latency_low"]) / 2 / facts["latency_p50"]
        figures = [
            f"{units.seconds(facts['latency_p50'])} ±{units.percent(half_width)}",
            units.throughput(facts["throughput"]),
        ]
        if "peak_memory" in facts:
            figures.append(units.bytes_(facts["peak_memory"]))
        if "output_error" in facts:
            figures.append(f"output error {facts['output_error']:.1e}")
    if facts.get("throttled"):
        figures.append(f"throttled: {facts['throttled']}")
    return "  ".join([f"{counter} {facts['id']}", *figures]) + _eta(remaining)


def _eta(remaining: float) -> str:
    return f"  eta {units.duration(remaining)}" if math.isfinite(remaining) else ""
