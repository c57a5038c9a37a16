"""The rounds of a case sorted by the state of the machine that they were taken in. Needs no torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mnv1.base.statistics import grouped_midmean
from mnv1.cases import Case, Pair
from mnv1.measure.states import MIXED, State, state_of
from mnv1.measure.timing import Policy, Visit

PRECISE_VISITS = 16
"""Never stop as precise before so many visits in a state: a few may agree by chance."""

Round = tuple[float, ...]
"""Seconds a call of each side."""

Value = Callable[[Round], float]
"""What a round tells of a figure, on a logarithmic scale: times and their ratios are products of many causes."""

SPEEDUP: Value = lambda times: math.log(times[0] / times[1])  # noqa: E731
FIRST: Value = lambda times: math.log(times[0])  # noqa: E731
LAST: Value = lambda times: math.log(times[-1])  # noqa: E731


@dataclass(frozen=True)
class InState:
    """The rounds of a case that were taken in one state of the machine, grouped by visit.

    A visit finds its tensors somewhere else in memory than the one before, so that visits are independent draws of
    where things lie, and rounds of one visit are not.
    """

    state: State | None
    """None where states were mixed, or could not be read."""
    name: str
    visits: tuple[tuple[Round, ...], ...]

    @property
    def rounds(self) -> tuple[Round, ...]:
        """All of them."""
        return tuple(one for visit in self.visits for one in visit)

    def carries(self, policy: Policy) -> bool:
        """Whether that is enough for a figure of this state."""
        return policy.is_enough(len(self.visits), len(self.rounds))

    def mean(self, value: Value) -> tuple[float, float, float]:
        """A figure and its 95 % interval over visits: of the middle half of the rounds, on a logarithmic scale."""
        return grouped_midmean([[value(times) for times in visit] for visit in self.visits])

    def half_width(self, value: Value) -> float:
        """Half the width of the interval, relative to the figure."""
        _, low, high = self.mean(value)
        return math.expm1((high - low) / 2)


def by_state(visits: Sequence[Visit], states: Sequence[State]) -> list[InState]:
    """The rounds of a case by the state that they were taken in, in the order of the states.

    Rounds on a change of state, and those in which the kernel stopped the process, are in none.
    """
    found = []
    for state in states:
        grouped = [
            tuple(
                times
                for times, around, stopped in zip(one.rounds, one.messages, _throttled(one), strict=True)
                if not stopped and state_of(states, around) is state
            )
            for one in visits
            if one.messages
        ]
        if any(grouped):
            found.append(InState(state, state.name, tuple(filter(None, grouped))))
    return found


def every_state(visits: Sequence[Visit], states: Sequence[State]) -> InState:
    """All rounds of a case, but not those in which the kernel stopped the process unless hardly any is left."""
    free = [
        tuple(times for times, stopped in zip(one.rounds, _throttled(one), strict=True) if not stopped)
        for one in visits
    ]
    grouped = free if sum(map(bool, free)) >= 2 else [one.rounds for one in visits]
    met = {state_of(states, around) for one in visits for around in one.messages}
    alone = met.pop() if len(met) == 1 else None
    return InState(alone, alone.name if alone else MIXED if states else "", tuple(filter(None, grouped)))


def headline(visits: Sequence[Visit], policy: Policy, states: Sequence[State]) -> InState:
    """The rounds that a case's figures are made of: those of the state with the nearest CPUs that carries a figure.

    Where none does, all rounds.
    """
    enough = [one for one in by_state(visits, states) if one.carries(policy)]
    return enough[0] if enough else every_state(visits, states)


def is_precise(case: Case | Pair, visits: Sequence[Visit], policy: Policy, states: Sequence[State]) -> bool:
    """Whether the figures of all these states, which the machine was in, are as precise as wanted."""
    value = SPEEDUP if isinstance(case, Pair) else FIRST
    met = by_state(visits, states) if states else [every_state(visits, ())]
    return len(met) == max(1, len(states)) and all(
        len(one.visits) >= PRECISE_VISITS and one.carries(policy) and one.half_width(value) <= policy.precision
        for one in met
    )


def _throttled(visit: Visit) -> Sequence[bool]:
    return visit.throttled or (False,) * len(visit.sides[0])
