"""Child processes that are asked through a socket, on any system: started, ended, and what became of them."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import IO

SHARED = "shared"
"""Stands for a descriptor where none can be inherited: on Windows the socket comes through standard input."""


END_TIMEOUT = 10.0
"""Seconds that a process which hung up may take to end by itself."""


class Child:
    """A process that is asked through a socket, whose end on this side is `socket`.

    The command's first argument says where its own end is. Ctrl-C is for the process that asks, and not for this one:
    the one that asks ends it. Raises `OSError` when the command cannot be started.
    """

    def __init__(self, command: Sequence[str], arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        self.socket, theirs = socket.socketpair()
        self._output: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  # closed with the process
        try:
            self._process = start(command, arguments, theirs, environment, self._output)
        except OSError:
            self.socket.close()
            self._output.close()
            raise
        finally:
            theirs.close()

    def how_it_ended(self) -> str:
        """What became of a process that no longer answers, with the last line that it printed."""
        try:
            code = self._process.wait(END_TIMEOUT)
        except subprocess.TimeoutExpired:
            return "closed the connection"
        self._output.seek(0)
        lines = self._output.read().decode(errors="replace").strip().splitlines()
        return how_it_ended(code) + (f": {lines[-1].strip()}" if lines else "")

    def close(self) -> None:
        """End the process, whatever it does."""
        with contextlib.suppress(OSError):  # it is gone already
            self.socket.close()
        self._process.kill()
        self._process.wait()
        self._output.close()


def start(
    command: Sequence[str],
    arguments: Sequence[str],
    theirs: socket.socket,
    environment: Mapping[str, str],
    output: IO[bytes],
) -> subprocess.Popen[bytes]:
    """Start a command that gets its end of a socket; what it prints goes to `output`. Raises `OSError`."""
    with unheard_signals():
        if sys.platform == "win32":
            process = subprocess.Popen(
                [*command, SHARED, *arguments],
                env=environment,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                creationflags=subprocess.CREATE_NEW_PROCESS_GROUP,
            )
            assert process.stdin is not None
            with process.stdin:
                process.stdin.write(theirs.share(process.pid))
            return process
        return subprocess.Popen(
            [*command, str(theirs.fileno()), *arguments],
            pass_fds=[theirs.fileno()],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def connection_of(descriptor: str) -> Connection:
    """In the child: the connection to the process that asks."""
    if sys.platform == "win32":
        return Connection(socket.fromshare(sys.stdin.buffer.read()).detach())
    return Connection(int(descriptor))


def how_it_ended(code: int) -> str:
    """A status of a process that is over, in words."""
    if code >= 0:
        return f"ended with status {code}"
    try:
        return f"died of {signal.Signals(-code).name}"
    except ValueError:  # real-time signals have no name
        return f"died of signal {-code}"


@contextmanager
def unheard_signals() -> Iterator[None]:
    """An interrupt between starting a process and knowing it would leave it behind: it is heard afterwards.

    Blocking the signals would not do: another thread, such as one of OpenBLAS, takes a signal that the main thread
    blocks, and Python then runs the handler in the main thread all the same.
    """
    if threading.current_thread() is not threading.main_thread():  # no handler runs in any other thread
        yield
        return
    heard: list[int] = []
    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGALRM") if hasattr(signal, name)]
    before = [signal.signal(number, lambda number, _: heard.append(number)) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
        for one in heard:
            signal.raise_signal(one)
