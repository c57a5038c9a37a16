"""How long messages take between the CPUs on which other processes compute, read by the one that asks them in turns.

Needs no torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress

from mnv1.base.facts import Facts
from mnv1.measure.cores import Messages, describe
from mnv1.measure.state import CPUS

Look = Callable[[], float]
"""Seconds of a message between two CPUs right now; nan where none is read."""


def unread() -> float:
    """Nobody looks."""
    return math.nan


@contextmanager
def looking(threads: int, on_host: bool) -> Iterator[tuple[Look, Facts]]:
    """A reader of messages between the first and the last CPU that so many threads are bound to.

    Beside it facts for the environment. Nothing is read, and there are no facts, where one thread computes, where a
    device other than the CPU does (`on_host`), or where the system cannot do it.
    """
    cpus, messages = CPUS[:threads], None
    if on_host and len(cpus) > 1:
        with suppress(OSError):
            messages = Messages()
    if messages is None:
        yield unread, {}
        return
    with closing(messages):
        yield lambda: messages.read(cpus[0], cpus[-1]), describe(messages, cpus)
