"""Short-lived processes with torch loaded, for what can only be measured in a fresh process.

A server that has imported torch, but started none of its threads, is forked for each: that takes hundredths of a
second, where an import takes seconds. Windows cannot fork: there each process imports torch. Needs no torch itself, so
that the server can be started before it is set up.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import TypeVar

Argument = TypeVar("Argument")

PRELOAD = ["mnv1.measure.memory"]

TIMEOUT = 120.0
"""Seconds after which a process is given up."""


_PR_SET_PDEATHSIG = 1  # from Linux's prctl.h


HAS_SERVER = "forkserver" in multiprocessing.get_all_start_methods()


def die_with_parent(parent: int) -> None:
    """Let the kernel end this process with the one that asks: an orphan would disturb whatever is measured next.

    Where the kernel cannot (macOS, Windows), it ends when it has answered what it was asked last.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it was faster
            sys.exit(1)


def start_server() -> None:
    """Start the server now, with this process's environment and CPUs as they are; otherwise the first `ask` does."""
    if HAS_SERVER:
        from multiprocessing import forkserver

        forkserver.set_forkserver_preload(PRELOAD)
        forkserver.ensure_running()


def wait_for_server() -> None:
    """Wait until the server has imported everything: it would disturb what is timed meanwhile."""
    ask(_nothing, None)


def ask(question: Callable[[Argument], int | None], argument: Argument) -> int | None:
    """What a function answers in a fresh process; None where that process dies or takes too long."""
    start_server()
    context = multiprocessing.get_context("forkserver") if HAS_SERVER else multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=_answer, args=(theirs, question, argument), daemon=True)
    try:
        child.start()
        theirs.close()
        answer: int | None = ours.recv() if ours.poll(TIMEOUT) else None
        return answer
    except EOFError:
        return None
    finally:
        if child.pid is not None:
            child.kill()
            child.join()
        ours.close()


def _nothing(_: None) -> None:
    return None


def _answer(connection: Connection, question: Callable[[Argument], int | None], argument: Argument) -> None:
    die_with_parent(os.getppid())
    with contextlib.suppress(ConnectionError):
        connection.send(question(argument))
