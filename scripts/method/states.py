"""What hidden states of a machine do to a speedup: `python scripts/method/states.py --out FOLDER`.

Visits one block again and again, reads messages between CPUs around each round, and writes `states.json`, `states.svg`
and `states.md`. With `--again` it only renders what is stored.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from mnv1.base import console
from mnv1.base.errors import UserError
from mnv1.base.files import write_whole
from mnv1.cases import Block, Case, Conditions, Pair
from mnv1.measure.lock import machine_lock
from mnv1.measure.messages import Failed
from mnv1.measure.states import find_states, state_of
from mnv1.measure.supervisor import Supervisor
from mnv1.measure.timing import Policy, Visit
from mnv1.report.over_time import draw, readings_of, table
from mnv1.report.plots.style import style

BLOCK = (64, 128, 2, 112)
POLICY = Policy(visit_time=0.16, max_time=float("inf"))


class StatesError(UserError):
    """Nothing can be measured, or states cannot be told here."""


@console.command()
def main(argv: list[str] | None = None) -> int:
    """Command line. Returns 1 when states cannot be told here."""
    parser = argparse.ArgumentParser(description="Messages between CPUs and a block's speedup, over some minutes.")
    parser.add_argument("--seconds", type=float, default=300.0, help="how long to measure (default: %(default)g)")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--again", action="store_true", help="render what the folder holds, without measuring")
    args = parser.parse_args(argv)
    stored = args.out / "states.json"
    if not args.again:
        with machine_lock():
            content = measured(args.seconds)
        args.out.mkdir(parents=True, exist_ok=True)
        write_whole(stored, lambda file: file.write(json.dumps(content, separators=(",", ":")).encode()))
    content = json.loads(stored.read_text())
    readings = readings_of(content)
    (args.out / "states.md").write_text(table(readings) + "\n", encoding="utf8")
    with style():
        figure = draw(readings, f"block {content['block']}, batch 1, {content['machine']}")
        figure.savefig(args.out / "states.svg", metadata={"Date": None})
    print(table(readings))
    return 0


def measured(seconds: float) -> dict[str, Any]:
    """Rounds of the block's speedup, each with what was read around it."""
    conditions = Conditions(1, "cpu", "fp32")
    pair = Pair(*(Case(Block(kind, *BLOCK), conditions) for kind in ("standard", "separable")))
    supervisor = Supervisor("controlled", None, 300.0)
    try:
        environment = supervisor.describe().environment
        watched = supervisor.watch()
        if "no_messages" in watched:
            raise StatesError(f"states cannot be told here: {watched['no_messages']}")
        visits: list[tuple[float, Visit]] = []
        start = time.monotonic()
        while time.monotonic() < start + seconds:
            visit = supervisor.visit(pair, POLICY, visits[0][1] if visits else None)
            if isinstance(visit, Failed):
                raise StatesError(visit.reason)
            visits.append((time.monotonic() - start, visit))
    finally:
        supervisor.close()
    own = float(watched["message_own_time"] or 0.0)  # type: ignore[arg-type]
    states = find_states([one for _, visit in visits for around in visit.messages for one in around], own)
    rows = []
    for number, (when, visit) in enumerate(visits):
        for times, around in zip(visit.rounds, visit.messages, strict=True):
            state = state_of(states, around)
            rows.append(
                [
                    number,
                    round(when, 2),
                    round(sum(around) / 2, 9),
                    *(float(f"{one:.5g}") for one in times),
                    state.name if state else "",
                ]
            )
    return {
        "machine": environment["machine"],
        "block": "64→128, stride 2, 112 px",
        "environment": environment,
        "readings": rows,
    }


if __name__ == "__main__":
    console.run(main)
