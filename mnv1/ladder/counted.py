"""Which rounds of a ladder count: those of one state of the machine, told by how long messages took around them.

Needs neither torch nor a clock.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mnv1.measure.look import Look, unread
from mnv1.measure.states import MIXED, State, find_states, state_of

FEWEST_ROUNDS = 8
"""Rounds that carry an interval, whatever the time budget is."""

Ends = tuple[float, float] | None
"""The shortest and the longest message around a round, seconds; None where none was read."""


class Around:
    """How long messages take around each round: `look` reads one, `own` is the interpreter's share, seconds."""

    def __init__(self, look: Look = unread, own: float = 0.0) -> None:
        self._look, self._own = look, own
        self._readings: list[float] = []
        self._in_round: list[float] = []
        self.rounds: list[Ends] = []

    def look(self) -> None:
        """Read a message; one that does not arrive tells nothing."""
        seconds = self._look()
        if math.isfinite(seconds):
            self._in_round.append(round(seconds, 9))

    def end_round(self) -> None:
        """What was read since the last round belongs to this one."""
        found, self._in_round = self._in_round, []
        self._readings += found
        self.rounds.append((min(found), max(found)) if found else None)

    @property
    def states(self) -> list[State]:
        """The states so far. All readings tell them: the ends of rounds alone would seem to be two states."""
        return find_states(self._readings, self._own)


@dataclass(frozen=True)
class Counted:
    """The rounds that figures are made of: their `state`, empty where none was read, their `places`, and `of` how many.

    All rounds count where no state has enough of them; the state is `MIXED` then.
    """

    state: str
    places: tuple[int, ...]
    of: int

    def among(self, seconds: Sequence[float]) -> list[float]:
        """Those of a rung's rounds that count."""
        return [seconds[place] for place in self.places]


def counted(number: int, rounds: Sequence[Ends], states: Sequence[State]) -> Counted:
    """Which of a number of rounds count: of the state with the nearest CPUs that has at least `FEWEST_ROUNDS`.

    A round on a change of state is in none.
    """
    found = [state_of(states, ends) if ends else None for ends in rounds]
    for state in states:
        places = tuple(place for place, one in enumerate(found) if one is state)
        if len(places) >= FEWEST_ROUNDS:
            return Counted(state.name, places, number)
    return Counted(MIXED if any(rounds) else "", tuple(range(number)), number)
