"""What do kept memory and huge pages gain, and does the attribution say so? `python scripts/method/allocator.py`

MobileNetV1 in plain eager code, in three processes that take turns: controlled, the same with small pages, and the same
with an allocator that hands freed memory back to the system, as glibc's defaults do. Run nothing else meanwhile.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from mnv1.base import console, tables
from mnv1.base.errors import UserError
from mnv1.base.facts import Facts
from mnv1.base.run_to_run import RunToRun
from mnv1.cases import Case, Conditions, Network, device_named
from mnv1.measure.facts import record
from mnv1.measure.lock import machine_lock
from mnv1.measure.messages import Failed
from mnv1.measure.state import TUNABLES, WANT_HUGE_PAGES, State
from mnv1.measure.states import find_states
from mnv1.measure.supervisor import Supervisor
from mnv1.measure.timing import Policy, Visit
from mnv1.measure.turns import turned
from mnv1.report import units
from mnv1.report.gains import WITHIN
from mnv1.report.output import tell

CONTROLLED, SMALL_PAGES, HANDED_BACK = "controlled", "small pages", "freed memory handed back"
ALONE = os.environ.get(TUNABLES, "")
SIDES: dict[str, tuple[State, dict[str, str]]] = {
    CONTROLLED: ("controlled", {}),
    SMALL_PAGES: ("controlled", {TUNABLES: ALONE}),
    HANDED_BACK: (
        "as-is",
        {
            TUNABLES: ":".join(filter(None, [ALONE, WANT_HUGE_PAGES])),
            "OMP_PROC_BIND": "close",
            "OMP_PLACES": "cores",
        },
    ),
}
"""State and variables of each process. Threads are bound in all three, so that allocation alone differs."""

# Runs that take turns in one session have no component between runs.
POLICY = Policy(visit_time=0.25, max_time=math.inf, min_visits=4, run_to_run=RunToRun(0.0, 0.0, 0.0))

HEADER = ("batch", "state", "beside", "call, controlled", "call", "gain [95 %]", "predicted", "saving", "right")


class AllocatorError(UserError):
    """Nothing can be measured."""


@console.command()
def main(argv: list[str] | None = None) -> int:
    """Command line: Markdown on standard output."""
    parser = argparse.ArgumentParser(description="What kept memory and huge pages gain, in turns.")
    parser.add_argument("--batch-sizes", default="1,8,32", help="images a call (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=60.0, help="for each batch size (default: %(default)g)")
    parser.add_argument("--out", type=Path, help="also write the table to this file")
    args = parser.parse_args(argv)
    rows: list[tuple[str, ...]] = []
    with machine_lock():
        for text in args.batch_sizes.split(","):
            if not text.isdecimal() or text == "0":
                raise AllocatorError(f"--batch-sizes: {text!r} is not valid; valid values: whole numbers from 1 up")
            case = Case(Network("separable", 1.0, 224), Conditions(int(text), "cpu", "fp32"))
            rows += rows_of(int(text), measured(case, args.seconds))
    if not rows:
        raise AllocatorError("no state of the machine was met by all processes: take more --seconds")
    tell(tables.markdown(HEADER, rows, left=("state", "beside", "right"), padded=False), args.out)
    return 0


def measured(case: Case, seconds: float) -> dict[str, Facts]:
    """Facts of the case in each process. Raises `AllocatorError`."""
    with ExitStack() as held:
        processes = {
            name: held.enter_context(closing(Supervisor(state, None, 300.0, variables=variables)))
            for name, (state, variables) in SIDES.items()
        }
        threads = {name: one.describe().environment["threads"] for name, one in processes.items()}
        own = float(max(one.watch().get("message_own_time") or 0.0 for one in processes.values()))  # type: ignore[arg-type, type-var]
        visits: dict[str, list[Visit]] = {name: [] for name in processes}
        start = time.monotonic()
        while time.monotonic() < start + seconds or len(visits[CONTROLLED]) < 2 * POLICY.min_visits:
            for name in turned(list(processes), len(visits[CONTROLLED])):
                visit = processes[name].visit(case, POLICY, visits[name][0] if visits[name] else None)
                if isinstance(visit, Failed):
                    raise AllocatorError(f"{name}: {visit.reason}")
                visits[name].append(visit)
    readings = [one for some in visits.values() for visit in some for around in visit.messages for one in around]
    states = find_states(readings, own)
    return {
        name: record(case, some, "time budget", POLICY, states).facts | {"threads": threads[name]}
        for name, some in visits.items()
    }


def rows_of(batch: int, facts: Mapping[str, Facts]) -> list[tuple[str, ...]]:
    """What controlled gains over each other process, in each state that both met, and what its attribution predicts."""
    rows = []
    for name in (SMALL_PAGES, HANDED_BACK):
        for state, kept, other in _in_common(facts[CONTROLLED], facts[name]):
            gain = _ratio(other, kept)
            predicted = 1 / (1 - _share(facts[name], other) + _share(facts[CONTROLLED], kept))
            saved, low, high, promised = (1 - 1 / one for one in (*gain, predicted))
            right = low - WITHIN * abs(saved) <= promised <= high + WITHIN * abs(saved)
            is_cause = name == HANDED_BACK  # what small pages cost shows in no count of this system
            rows.append(
                (
                    str(batch),
                    state or "not read",
                    name,
                    units.seconds(kept["latency_p50"]),
                    units.seconds(other["latency_p50"]),
                    units.ratio_interval(*gain),
                    units.ratio(predicted) if is_cause else "",
                    units.percent(saved),
                    ("yes" if right else "no") if is_cause else "not predicted",
                )
            )
    return rows


def _in_common(kept: Facts, other: Facts) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Figures of two processes by state; those of all rounds where no state was read."""
    some, others = (_by_state(one) for one in (kept, other))
    return [(name, some[name], others[name]) for name in some if name in others]


def _by_state(facts: Facts) -> dict[str, dict[str, Any]]:
    states: Sequence[Any] = facts["states"] or ([facts] if not facts["state"] else [])  # type: ignore[assignment]
    return {str(one["state"]): dict(one) for one in states}


def _ratio(other: Mapping[str, float], kept: Mapping[str, float]) -> tuple[float, float, float]:
    """How many times as long the other call takes. The intervals of both are combined by squares of their logs."""
    value = math.log(other["latency_p50"] / kept["latency_p50"])
    below = math.hypot(
        math.log(other["latency_p50"] / other["latency_low"]), math.log(kept["latency_high"] / kept["latency_p50"])
    )
    above = math.hypot(
        math.log(other["latency_high"] / other["latency_p50"]), math.log(kept["latency_p50"] / kept["latency_low"])
    )
    return math.exp(value), math.exp(value - below), math.exp(value + above)


def _share(facts: Facts, figure: Mapping[str, float]) -> float:
    """The share of a call that the attribution books under the allocator."""
    about = {**facts, "latency_p50": figure["latency_p50"]}
    return device_named("cpu").overheads(about, {}, 1.0).get("allocator", 0.0)


if __name__ == "__main__":
    console.run(main)
