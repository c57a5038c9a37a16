"""Blocks that are compared: taken again where the kernel stopped the container or the machine changed its state.

Needs no clock: what looks at the machine is handed in.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

from mnv1.measure.look import Look, unread
from mnv1.measure.states import MIXED, State, find_states, state_of

AGAIN = 2
"""How often a block is taken again."""

Block = TypeVar("Block")
Around = tuple[float, float]
"""Seconds of a message right before and after a block; nan where none was read."""


class Blocks:
    """Takes blocks, and keeps which state of the machine each was in.

    `throttled` says whether the kernel stopped this process since it was asked last; `look` reads a message between the
    CPUs that compute, and `own` is the interpreter's share of it, seconds. Both are asked between blocks alone.
    """

    def __init__(self, throttled: Callable[[], bool] = lambda: False, look: Look = unread, own: float = 0.0) -> None:
        self._throttled, self._look, self._own = throttled, look, own
        self._readings: list[float] = []
        self._around: list[Around] = []
        self._states: list[State] = []
        self.again = 0
        """Blocks that were taken again because the state changed."""

    def taken(self, take: Callable[[], Block]) -> tuple[Block, Around]:
        """A block that nothing disturbed, and what was read around it; after `AGAIN` more tries, a disturbed one."""
        self._throttled()  # what was before does not matter
        after, changed = self._read(), False
        for left in reversed(range(1 + AGAIN)):
            block = take()
            around = after, self._read()
            after = around[1]
            is_change = self._is_change(around)
            if not (self._throttled() or is_change) or not left:
                break
            changed |= is_change
        self.again += changed
        self._around.append(around)
        return block, around

    def names(self) -> Callable[[Around], str | None]:
        """Tells the name of the state that a block was in, from what was read around it; None where nothing was."""
        states = find_states(self._readings, self._own)

        def name(around: Around) -> str | None:
            if not all(map(math.isfinite, around)):
                return None
            state = state_of(states, (min(around), max(around)))
            return state.name if state else MIXED

        return name

    def shares(self) -> dict[str, float]:
        """The share of the blocks that were in each state, by name, of those around which messages were read."""
        found = [name for name in map(self.names(), self._around) if name is not None]
        return {name: round(found.count(name) / len(found), 4) for name in sorted(set(found))}

    def _read(self) -> float:
        seconds = self._look()
        if math.isfinite(seconds):
            self._readings.append(seconds)
        return seconds

    def _is_change(self, around: Around) -> bool:
        """Whether messages before and after a block are not of one state; where one is missing, nothing is known.

        Two that belong to no state are alike: a state that was just entered is known after some more readings.
        """
        if not all(map(math.isfinite, around)):
            return False
        one, other = self._states_of(around)
        if one is None or one is not other:  # perhaps only by what was known so far
            self._states = find_states(self._readings, self._own)
            one, other = self._states_of(around)
        return one is not other

    def _states_of(self, around: Around) -> list[State | None]:
        return [state_of(self._states, (seconds, seconds)) for seconds in around]
