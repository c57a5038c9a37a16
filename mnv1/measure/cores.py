"""How long a message takes from one CPU to another right now: what tells a virtual machine's hidden states apart.

The CPUs of a virtual machine sit now on cores that share a cache, now on cores that do not, and nothing that the system
reports shows it. Two processes that hand a byte back and forth do: some 110 ns against 290, in pure Python, of which
the interpreter's share is known. Needs no torch.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

from mnv1.base.facts import Facts
from mnv1.measure.child import unheard_signals
from mnv1.measure.handover import ANSWER, ORDER
from mnv1.measure.states import LOST
from mnv1.measure.watch import QuotaWatch

SCRIPT = Path(__file__).with_name("handover.py")

MEMORY = 4096
NUMBERS = 200
"""Readings are numbered by a byte, over and over."""

MOST_PAIRS = 7
"""Pairs that are read beside rounds: of the first CPU in use with others, spread evenly."""
MOST_CPUS = 32
"""CPUs of which all pairs are read once."""

CPU_FOLDER = Path("/sys/devices/system/cpu")


class Messages:
    """Two processes that send messages between any two CPUs when asked; asleep otherwise.

    Raises `OSError` where there is no shared memory without a name, or processes cannot be bound to CPUs.
    """

    def __init__(self) -> None:
        if not (hasattr(os, "memfd_create") and hasattr(os, "sched_setaffinity")):
            raise OSError("this system binds no process to a CPU")
        shared = os.memfd_create("mnv1-messages")
        self._orders: list[int] = []
        self._processes: list[subprocess.Popen[bytes]] = []
        self._number = 0
        self._answers, answers = os.pipe()
        try:
            os.ftruncate(shared, MEMORY)
            for role in (0, 1):
                self._start(role, shared, answers)
        finally:
            os.close(shared)
            os.close(answers)
        self.own = self._answer()
        """The interpreter's share of a reading, seconds."""

    def _start(self, role: int, shared: int, answers: int) -> None:
        theirs, ours = os.pipe()
        self._orders.append(ours)
        with unheard_signals():
            self._processes.append(
                subprocess.Popen(
                    [sys.executable, "-I", "-S", str(SCRIPT), *map(str, (role, shared, theirs, answers))],
                    pass_fds=(shared, theirs, answers),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )
            )
        os.close(theirs)

    def read(self, one: int, other: int) -> float:
        """Seconds of a message between two CPUs, the interpreter's share included; nan where none arrives."""
        self._number = self._number % NUMBERS + 1
        try:
            for pipe, cpu in zip(self._orders, (one, other), strict=True):
                os.write(pipe, ORDER.pack(cpu, self._number))
        except BrokenPipeError:
            return math.nan
        return self._answer()

    def _answer(self) -> float:
        found = os.read(self._answers, ANSWER.size)
        return float(ANSWER.unpack(found)[0]) if len(found) == ANSWER.size else math.nan

    def close(self) -> None:
        """End both processes."""
        for pipe in (*self._orders, self._answers):
            os.close(pipe)
        for process in self._processes:
            process.kill()
            process.wait()
        self._orders, self._processes = [], []


class CoreWatch(QuotaWatch):
    """Reads, beside rounds, how long messages take between the CPUs that compute: the farthest of some pairs."""

    def __init__(self, messages: Messages, cpus: Sequence[int]) -> None:
        super().__init__()
        self._messages = messages
        self._pairs = [(cpus[0], other) for other in spread(cpus[1:], MOST_PAIRS)]
        self.describe = describe(messages, cpus)
        """Facts for the environment of a run."""

    def look(self) -> float:
        """See `Watch.look`; a message that is lost takes `LOST` seconds."""
        found = [self._messages.read(*pair) for pair in self._pairs]
        return LOST if any(map(math.isnan, found)) else max(found)


def describe(messages: Messages, cpus: Sequence[int]) -> Facts:
    """Messages between all CPUs that compute, once, and what the system says of their caches."""
    some = spread(cpus, MOST_CPUS)
    pairs = [[one, other, _nanoseconds(messages.read(one, other))] for one, other in combinations(some, 2)]
    return {
        "message_pairs": pairs,
        "message_own_time": _nanoseconds(messages.own),
        "claimed_shared_cache": claimed_shared_cache(cpus),
    }


def _nanoseconds(seconds: float) -> float | None:
    return None if math.isnan(seconds) else round(seconds, 9)


def spread(items: Sequence[int], most: int) -> list[int]:
    """At most so many of some items, spread evenly."""
    number = min(most, len(items))
    return [items[i * len(items) // number] for i in range(number)]


def cpus_in_use() -> list[int]:
    """The CPUs that threads of this process are bound to, the calling thread's first; empty where they are not bound.

    A thread that may use all CPUs of the process is not bound; one that may use two threads of one core is, and counts
    as the first of these.
    """
    if not hasattr(os, "sched_getaffinity"):
        return []
    mine = os.sched_getaffinity(0)
    found = []
    for task in Path("/proc/self/task").iterdir():
        try:
            found.append(os.sched_getaffinity(int(task.name)))
        except OSError:  # it has just ended
            continue
    every = frozenset().union(*found)
    places = {min(one) for one in found if one != every or len(every) == 1}
    first = min(mine)
    return [first, *sorted(places - {first})] if first in places else []


def claimed_shared_cache(cpus: Sequence[int], folder: Path = CPU_FOLDER) -> bool | None:
    """Whether the system says that some CPUs share their last-level cache; None where it does not say."""
    levels: dict[int, str] = {}
    for index in folder.glob(f"cpu{cpus[0]}/cache/index*"):
        try:
            levels[int((index / "level").read_text())] = (index / "shared_cpu_list").read_text()
        except (OSError, ValueError):
            continue
    return set(cpus) <= _listed(levels[max(levels)]) if levels else None


def _listed(text: str) -> set[int]:
    """The numbers of a list such as `0-3,8`."""
    ends = [part.split("-") for part in text.strip().split(",") if part]
    return {number for end in ends for number in range(int(end[0]), int(end[-1]) + 1)}
