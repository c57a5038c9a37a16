"""What figures differ by between runs of one machine, in one state, beyond what the visits of a run let expect.

A run cannot see it in itself, so every interval has it as a component. `scripts/method/coverage.py` measures it over
several runs, by kind of figure.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields

from mnv1.base.facts import APART, GAIN, LATENCY, SPEEDUP, TRAINING, TRAINING_SPEEDUP

_KIND = {LATENCY: "latency", TRAINING: "latency", SPEEDUP: "speedup", TRAINING_SPEEDUP: "speedup", GAIN: "gain"}


@dataclass(frozen=True)
class RunToRun:
    """Standard deviations on a logarithmic scale, by kind of figure.

    Two kinds of virtual machine showed 4.6 and 5.4 % of latencies, 2.0 and 1.8 % of speedups, and nothing of gains, in
    the state with the nearest CPUs; with the defaults their intervals held in at least 91 % (docs/methodology.md). What
    slows a machine for minutes slows both sides of a speedup.
    """

    latency: float = 0.045
    """Of training steps too."""
    speedup: float = 0.03
    gain: float = 0.01
    apart: float = 0.07
    """The least of any figure while CPUs are apart: that is more than one state, which messages do not tell from each
    other. MobileNetV1 took 13.8 ms in some runs and 18.6 ms in others, with messages of 280 ns in all of them."""

    def of(self, measures: str, state: object) -> float:
        """The component of what a case measures, in a state of the machine."""
        found: float = getattr(self, _KIND[measures])
        return max(found, self.apart) if state == APART else found

    def __str__(self) -> str:
        return ",".join(f"{name}={100 * value:g}" for name, value in asdict(self).items())


USUAL = RunToRun()
"""Where nothing is said of a machine."""


def run_to_run_of(text: str) -> RunToRun:
    """From per cent: one number for all kinds of figures, or `latency=4,speedup=2,apart=5`, the rest by default.

    Raises `ValueError` with what is valid.
    """
    names = {field.name for field in fields(RunToRun)}
    said = dict.fromkeys(_KIND.values(), text) if "=" not in text else dict(_pair(part) for part in text.split(","))
    try:
        shares = {name: float(value) / 100 for name, value in said.items()}
        if not set(shares) <= names or not all(0 <= value < math.inf for value in shares.values()):
            raise ValueError
    except ValueError:
        raise ValueError(
            f"{text!r} is not valid; valid values: per cent, such as 3, or by kind of figure, such as {USUAL}"
        ) from None
    return RunToRun(**shares)


def _pair(part: str) -> tuple[str, str]:
    name, _, value = part.partition("=")
    return name.strip(), value
