"""Measures the rungs of a ladder in turns: many short visits to each, so that what drifts meets all of them.

Needs no torch, and no clock of its own: both are in the rungs' processes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from mnv1.base.facts import Facts
from mnv1.ladder.counted import FEWEST_ROUNDS, Around, counted
from mnv1.ladder.ratios import half_width, ratio
from mnv1.ladder.rungs import Rung
from mnv1.measure.messages import Failed
from mnv1.measure.turns import turned

PRECISE_ROUNDS = 30
"""Never stop as precise before so many rounds that count: neighbouring rounds are alike, a machine drifts."""

AGAIN = 2
"""How often a block is taken again in which the kernel stopped the container for its quota."""

PRECISE = 0.01
"""The last round is reached early when every ratio to the first rung is within plus or minus this share."""


class Asked(Protocol):
    """What a rung's process can be asked; tests have one without a process."""

    def build(self) -> Facts | Failed:
        """Make the rung ready."""

    def block(self) -> float | Failed:
        """Seconds a call, over one block."""

    def close(self) -> None:
        """End it."""


@dataclass
class Climbed:
    """What was measured of a rung: its facts, and seconds a call for each round; or why it failed."""

    rung: Rung
    facts: Facts = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    failed: str | None = None


def climb(
    rungs: Sequence[Rung],
    start: Callable[[Rung], Asked],
    now: Callable[[], float],
    tell: Callable[[str], None],
    budget: float,
    throttled: Callable[[], bool] = lambda: False,
    around: Around | None = None,
) -> list[Climbed]:
    """Make every rung ready, then visit all of them in rounds, in an order that turns and changes its direction.

    A rung that fails is left out of further rounds, with the reason. Rounds end when `budget` seconds are over, but not
    before `FEWEST_ROUNDS`, or when all ratios to the first rung that was measured are precise. `throttled` says whether
    the kernel stopped this process since it was asked last: such a block is taken again, `AGAIN` times at most.
    `around` looks at the machine before and after every block, and tells afterwards which rounds count.
    """
    around = around or Around()
    climbed = [Climbed(rung) for rung in rungs]
    processes: dict[str, Asked] = {}
    try:
        for number, one in enumerate(climbed, start=1):
            begun = now()
            process = start(one.rung)
            processes[one.rung.id] = process
            answer = process.build()
            if isinstance(answer, Failed):
                one.failed = answer.reason
                process.close()
            else:
                one.facts = answer
            about = f"FAILED: {one.failed}" if one.failed else _about(one.facts)
            tell(f"[{number:{len(str(len(rungs)))}d}/{len(rungs)}] {one.rung.label}  {about}  {now() - begun:.1f} s")
        _rounds(climbed, processes, now, tell, budget, throttled, around)
    finally:
        for process in processes.values():
            process.close()
    return climbed


def _rounds(
    climbed: Sequence[Climbed],
    processes: dict[str, Asked],
    now: Callable[[], float],
    tell: Callable[[str], None],
    budget: float,
    throttled: Callable[[], bool],
    around: Around,
) -> None:
    begun = told = now()
    rounds = 0
    while standing := [one for one in climbed if one.failed is None]:
        around.look()
        for one in turned(standing, rounds):
            answer = _block(processes[one.rung.id], throttled)
            around.look()
            if isinstance(answer, Failed):
                one.failed = answer.reason
                processes[one.rung.id].close()
                tell(f"{one.rung.label}  FAILED in round {rounds + 1}: {one.failed}")
            else:
                one.seconds.append(round(answer, 10))
        around.end_round()
        rounds += 1
        spent = now() - begun
        if now() - told > 10:
            told = now()
            tell(f"round {rounds}, {spent:.0f} of {budget:.0f} s")
        if rounds >= FEWEST_ROUNDS and (spent >= budget or is_precise(standing, around)):
            tell(f"{rounds} rounds in {spent:.0f} s")
            return


def _block(process: Asked, throttled: Callable[[], bool]) -> float | Failed:
    throttled()  # what was before does not matter
    for _ in range(1 + AGAIN):
        answer = process.block()
        if isinstance(answer, Failed) or not throttled():
            break
    return answer


def is_precise(standing: Sequence[Climbed], around: Around) -> bool:
    """Whether every rung's ratio to the first one is known within plus or minus `PRECISE`, by the rounds that count."""
    count = counted(len(around.rounds), around.rounds, around.states)
    whole = [count.among(one.seconds) for one in standing if one.failed is None]
    return len(count.places) >= PRECISE_ROUNDS and all(
        half_width(ratio(whole[0], seconds)) <= PRECISE for seconds in whole[1:]
    )


def _about(facts: Facts) -> str:
    parts = [f"ready in {facts['compile_time']:.1f} s"]
    if "graph_breaks" in facts:
        parts.append(f"{facts['graph_breaks']} graph breaks")
    parts.append(f"output error {facts['output_error']:.1e}")
    return ", ".join(parts)
