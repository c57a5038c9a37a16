"""One of two processes that hand a message back and forth between two CPUs. A script: nothing of mnv1 is imported.

Started by `mnv1.measure.cores` as `python -I -S handover.py ROLE MEMORY ORDERS ANSWERS`, with descriptors of shared
memory and of two pipes. It sleeps on its pipe until an order comes: the CPU to be on, and a number that both ends have
in common.
"""

import contextlib
import math
import mmap
import os
import struct
import sys
import time

ORDER = struct.Struct("<ii")
"""The CPU to be on, and the number of the reading."""
ANSWER = struct.Struct("<d")

BATCHES, MESSAGES = 10, 50
"""A reading is the median of so many batches of messages there and back: one batch may meet an interruption."""
OWN_BATCHES = 1000
"""Batches over which the interpreter's share is sought, some hundredths of a second."""

PATIENCE = (6_000_000, 2_000_000)
"""Looks at the other's line after which a message is lost, when the other has no CPU to be on: some tenths of a second.
The first end waits longer, so that the second one, which may still wait for a message that was lost, catches up."""

# Both ends look at the other's line in loops of their own: a function that they shared would take as long as a message.

LINE = 128
"""Bytes between what the two write: no processor has longer cache lines, prefetched neighbours included."""


class LostError(Exception):
    """The other end does not answer."""


def meet(memory: memoryview, role: int, number: int) -> None:
    """Both ends are on their CPUs and look."""
    memory[role * LINE] = 0
    memory[(2 + role) * LINE] = number
    for _ in range(PATIENCE[role]):
        if memory[(3 - role) * LINE] == number:
            return
    raise LostError


def send(memory: memoryview) -> float:
    """Seconds of a message, one way, with what both ends take to notice and to answer it."""
    clock, times = time.perf_counter, []
    for _ in range(BATCHES):
        start = clock()
        for value in range(1, MESSAGES + 1):
            memory[0] = value
            looks = 0
            while memory[LINE] != value:
                looks += 1
                if looks > PATIENCE[0]:
                    raise LostError
        times.append((clock() - start) / MESSAGES / 2)
    return sorted(times)[BATCHES // 2]


def answer(memory: memoryview) -> None:
    """Send back whatever comes."""
    for _ in range(BATCHES):
        for value in range(1, MESSAGES + 1):
            looks = 0
            while memory[0] != value:
                looks += 1
                if looks > PATIENCE[1]:
                    raise LostError
            memory[LINE] = value


def own_time(memory: memoryview) -> float:
    """What an end takes for a message that comes from itself: the interpreter's share of a reading."""
    clock, times = time.perf_counter, []
    for _ in range(OWN_BATCHES):  # in its first moments a process is slow, by half
        start = clock()
        for value in range(1, MESSAGES + 1):
            memory[0] = value
            looks = 0
            while memory[0] != value:
                looks += 1
        times.append((clock() - start) / MESSAGES)
    return min(times)


def main() -> None:
    """Follow orders until the pipe is closed."""
    role, shared, orders, answers = map(int, sys.argv[1:])
    memory = memoryview(mmap.mmap(shared, 0))
    if role == 0:
        os.write(answers, ANSWER.pack(own_time(memory)))
    while len(order := os.read(orders, ORDER.size)) == ORDER.size:
        cpu, number = ORDER.unpack(order)
        seconds = math.nan
        with contextlib.suppress(OSError, LostError):
            os.sched_setaffinity(0, {cpu})
            meet(memory, role, number)
            if role == 0:
                seconds = send(memory)
            else:
                answer(memory)
        if role == 0:
            os.write(answers, ANSWER.pack(seconds))


if __name__ == "__main__":
    main()
