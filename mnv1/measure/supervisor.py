"""Keeps a measuring process: starts it, asks it, ends it when it hangs, and starts another when it died.

Needs no torch: the process that plans and stores stays small and cannot be disturbed by a case.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import cast

from mnv1.base.errors import UserError
from mnv1.base.facts import Facts
from mnv1.cases import Case, Pair
from mnv1.measure.child import Child
from mnv1.measure.messages import Described, Failed, Reply
from mnv1.measure.state import State, variables_of
from mnv1.measure.timing import Policy, Visit

PACKAGE_ROOT = Path(__file__).resolve().parents[2]

START_TIMEOUT = 300.0
"""Seconds that importing torch, describing the machine and measuring its ceilings may take, each."""


class SupervisorError(UserError):
    """The measuring process cannot be started."""


class Supervisor:
    """Asks a measuring process, one request at a time.

    `case_timeout` bounds a request about a case, in seconds; `worker` is the module that measures, with these
    environment variables beside this process's. Every method that
    asks about a case returns `Failed` when the case raises, the process dies, or the time is over. Whatever else
    interrupts a question (Ctrl-C, another's time-out) is raised. After each of these the next request meets a fresh
    process, so that nothing of the failed case is left in memory, and no late answer in the pipe.
    """

    def __init__(
        self,
        machine_state: State,
        threads: int | None,
        case_timeout: float,
        worker: str = "mnv1.measure.worker",
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self._variables = {**variables_of(machine_state), **(variables or {})}
        self._command = (sys.executable, "-m", worker)
        self._arguments = (machine_state, "" if threads is None else str(threads))
        self._case_timeout = case_timeout
        self._process: Child | None = None
        self._connection: Connection | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        """What the measuring process may write to: it is ended by force, and cannot tidy up."""
        self._watching = False
        self._number = 0
        """Of the last request."""

    def describe(self) -> Described:
        """The environment and its warnings. Raises `SupervisorError` when no measuring process can be started."""
        answer = self._ask("describe", timeout=START_TIMEOUT)
        if isinstance(answer, Failed):
            raise SupervisorError(f"the measuring process cannot start: {answer.reason}")
        return cast(Described, answer)

    def watch(self) -> Facts:
        """Watch from now on how near the CPUs are that compute; what is known of them before the first case.

        Raises `SupervisorError` when the measuring process cannot.
        """
        self._watching = True
        answer = self._ask("watch", timeout=START_TIMEOUT)
        if isinstance(answer, Failed):
            raise SupervisorError(f"the machine cannot be watched: {answer.reason}")
        return cast(Facts, answer)

    def look(self) -> float | None:
        """Seconds of a message between the CPUs that compute, right now; None where it cannot be read."""
        answer = self._ask("look")
        return None if isinstance(answer, Failed) else cast("float | None", answer)

    def ceilings(self, device: str, precisions: Sequence[str], policy: Policy) -> list[Facts] | Failed:
        """The ceilings of a device."""
        return cast("list[Facts] | Failed", self._ask("ceilings", device, precisions, policy, timeout=START_TIMEOUT))

    def check(self, case: Case | Pair) -> Failed | None:
        """Build a case and check its output."""
        return cast("Failed | None", self._ask("check", case))

    def visit(self, case: Case | Pair, policy: Policy, earlier: Visit | None = None) -> Visit | Failed:
        """Sample a case, once more after an `earlier` visit."""
        return cast("Visit | Failed", self._ask("visit", case, policy, earlier))

    def energy(self, case: Case) -> Facts | Failed:
        """Joules a call (`energy`), where the device counts them."""
        return cast("Facts | Failed", self._ask("energy", case))

    def trace(self, case: Case) -> Facts | Failed:
        """What runs in a call of a case: see `mnv1.measure.tracing`."""
        return cast("Facts | Failed", self._ask("trace", case))

    def close(self) -> None:
        """End the measuring process, whatever it does."""
        if self._process is not None:
            self._process.close()
            self._process = None
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def _ask(self, request: str, *arguments: object, timeout: float | None = None) -> object:
        timeout = timeout or self._case_timeout
        try:
            return self._asked(request, arguments, timeout)
        except (EOFError, ConnectionError):
            return Failed(self._obituary())
        except BaseException:  # also a time-out of pytest's: the answer would be taken for that to the next question
            self.close()
            raise

    def _asked(self, request: str, arguments: Sequence[object], timeout: float) -> object:
        if self._process is None:
            self._start()
            if self._watching and request != "watch":
                watched = self._ask("watch", timeout=START_TIMEOUT)
                if isinstance(watched, Failed):
                    return watched
        connection = self._connection
        assert connection is not None
        self._number += 1
        connection.send((self._number, request, arguments))
        if not connection.poll(timeout):
            self.close()
            return Failed(f"no result after {timeout:g} s (--case-timeout); its process was ended")
        reply = cast(Reply, connection.recv())
        if reply.number != self._number:
            self.close()
            return Failed(f"its process answered question {reply.number} when it was asked {self._number}")
        if isinstance(reply.answer, Failed):
            self.close()
        return reply.answer

    def _start(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="mnv1-", ignore_cleanup_errors=True)
        path = os.pathsep.join(filter(None, [str(PACKAGE_ROOT), os.environ.get("PYTHONPATH")]))
        own = {"PYTHONPATH": path, **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), self._folder.name)}
        arguments = (str(os.getpid()), *self._arguments)
        self._process = Child(self._command, arguments, os.environ | own | self._variables)
        self._connection = Connection(self._process.socket.detach())

    def _obituary(self) -> str:
        """Why the measuring process died, in one line."""
        assert self._process is not None
        ended = self._process.how_it_ended()
        self.close()
        if ended.startswith("died of SIGKILL"):
            return "its process was killed: most likely the machine ran out of memory"
        return f"its process {ended}{', and was ended' if ended == 'closed the connection' else ''}"
