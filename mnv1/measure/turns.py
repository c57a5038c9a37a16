"""The order in which sides take turns, wherever several are timed against each other. Needs no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

Side = TypeVar("Side")


def turned(sides: Sequence[Side], number: int) -> list[Side]:
    """The order of a round: each begins one further on, and every other one goes backwards.

    So no side is always first, and none always follows the same one, whose traces in the caches it would meet.
    """
    start = (number // 2) % len(sides)
    order = [*sides[start:], *sides[:start]]
    return order if number % 2 == 0 else order[::-1]
