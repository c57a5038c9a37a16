"""Processes that need not import torch: forked from one that has imported it, and has started no thread."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from multiprocessing import forkserver
from pathlib import Path

from mnv1.measure import children


def start_server() -> None:
    """Start the process that others are forked from: they get the environment as it is now."""
    # One server a process: where a measurement has started it before, only torch is loaded there.
    multiprocessing.get_context("forkserver").set_forkserver_preload([*children.PRELOAD, "tests.preloaded"])
    forkserver.ensure_running()


class Forked:
    """`python -c code arguments`, under way, with variables of the environment beside this process's own."""

    def __init__(self, folder: Path, code: str, *arguments: object, **environment: str) -> None:
        self._out, self._err = folder / "stdout", folder / "stderr"
        told = code, [*map(str, arguments)], os.environ | environment, self._out, self._err
        start_server()
        self._process = multiprocessing.get_context("forkserver").Process(target=_run, args=told)
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def stdout(self) -> str:
        return self._out.read_text() if self._out.exists() else ""

    @property
    def stderr(self) -> str:
        return self._err.read_text() if self._err.exists() else ""

    def is_running(self) -> bool:
        return self._process.is_alive()

    def wait(self, timeout: float = 300) -> int | None:
        """The exit status; minus a signal's number. The process is ended when it takes too long."""
        self._process.join(timeout)
        code = self._process.exitcode
        self._process.kill()
        return code


def _run(code: str, arguments: list[str], environment: dict[str, str], out: Path, err: Path) -> None:
    for number, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["-c", *arguments]
    exec(compile(code, "<forked>", "exec"), {"__name__": "__main__"})
