"""Processes whose imports are done when they begin: forked from one that has imported, and has started no thread.

An import of torch, of pandas or of pytest takes longer than what these processes then do.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Mapping
from multiprocessing import forkserver
from pathlib import Path

from mnv1.measure import children


def start_server() -> None:
    """Start the process that others are forked from.

    There is one. Where a measurement has started it before, it has torch alone, and others import what they need.
    """
    multiprocessing.get_context("forkserver").set_forkserver_preload([*children.PRELOAD, "tests.preloaded"])
    forkserver.ensure_running()


class Forked:
    """`python -c code arguments` in a session of its own; much like `subprocess.Popen`.

    `environment` replaces this process's own. Every one is to be waited for by `communicate`.
    """

    def __init__(
        self,
        code: str,
        *arguments: object,
        cwd: Path = Path(),
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        self._folder = Path(tempfile.mkdtemp())
        self._out, self._err = (self._folder / name for name in ("out", "err"))
        self._out.touch()
        self._err.touch()
        start_server()
        told = code, [*map(str, arguments)], cwd.absolute(), dict(environment), self._out, self._err
        self._process = multiprocessing.get_context("forkserver").Process(target=_run, args=told)
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    @property
    def stdout(self) -> str:
        """What it has printed so far."""
        return self._out.read_text()

    @property
    def stderr(self) -> str:
        """What it has told of errors so far."""
        return self._err.read_text()

    @property
    def returncode(self) -> int | None:
        """The exit status; minus a signal's number; None of a process that runs."""
        return self._process.exitcode

    poll = returncode.fget

    def kill(self) -> None:
        self._process.kill()

    def communicate(self, timeout: float = 300) -> tuple[str, str]:
        """What it printed, when it is over. The process is ended when it takes longer, in seconds."""
        self._process.join(timeout)
        self._process.kill()
        self._process.join()
        told = self._out.read_text(), self._err.read_text()
        shutil.rmtree(self._folder)
        return told


def _run(code: str, arguments: list[str], cwd: Path, environment: dict[str, str], out: Path, err: Path) -> None:
    for number, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY), number)
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    sys.argv = ["-c", *arguments]
    exec(compile(code, "<forked>", "exec"), {"__name__": "__main__"})
