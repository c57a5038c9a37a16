"""Pairs of processes, one of each side, and what they are asked in turns."""

from __future__ import annotations

import contextlib
import json
import math
import os
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean
from typing import Any, Protocol

from mnv1.base.errors import UserError
from mnv1.base.statistics import midmean
from mnv1.measure.child import Child, unheard_signals
from mnv1.measure.state import variables_of
from mnv1.regression.sides import Harness, Side, what_is_wrong

WORKER = Path(__file__).parent / "worker.py"
TIMEOUT = 120.0
"""Seconds that any answer may take; importing torch and the largest case stay far below."""


class SuiteError(UserError):
    """A suite's file cannot be used."""


class WorkerError(UserError):
    """A process under test hung or did not answer in JSON."""


class WorkerDiedError(WorkerError):
    """A process under test died."""


class WrongCodeError(Exception):
    """A process does not run the code that it should."""


class Pair(Protocol):
    """One process of each side; tests use one with known times."""

    def ask(self, side: str, **request: Any) -> dict[str, Any]:
        """One side's answer; what goes wrong while a case is prepared is one, as `error`. Raises `WorkerError`."""

    def prove(self) -> None:
        """Make sure that each process has loaded its side's code. Raises `WrongCodeError`."""


class Process:
    """A worker of one side. Raises `WorkerError` when it cannot be started."""

    def __init__(self, side: Side, threads: int, seed: int, timeout: float = TIMEOUT, worker: Path = WORKER) -> None:
        self._side, self._timeout, self._asked = side, timeout, ""
        try:
            # Not -I, which would ignore the hash seed: no user's packages, and not the worker's own folder.
            command = (side.python, "-s", "-P", str(worker))
            self._child = Child(command, (str(threads),), environment(threads, seed))
        except OSError as error:
            raise WorkerError(f"{side.name}: {side.python} cannot be started: {error.strerror}") from None
        self._child.socket.settimeout(timeout)
        self._lines = self._child.socket.makefile("rw", encoding="utf8", errors="replace")

    def send(self, request: Mapping[str, Any]) -> None:
        """Ask, without waiting for the answer. Raises `WorkerDiedError`."""
        self._asked = " ".join(str(request[name]) for name in ("do", "case") if name in request)
        try:
            self._lines.write(json.dumps(request) + "\n")
            self._lines.flush()
        except OSError:
            raise WorkerDiedError(self._obituary()) from None

    def answer(self) -> dict[str, Any]:
        """The answer to the last request. Raises `WorkerError`, and `WorkerDiedError` when the process is gone."""
        try:
            line = self._lines.readline()
        except TimeoutError:
            raise WorkerError(f"{self._side.name}: no answer within {self._timeout:g} s to: {self._asked}") from None
        except OSError:
            raise WorkerDiedError(self._obituary()) from None
        if not line:
            raise WorkerDiedError(self._obituary())
        try:
            answer = json.loads(line)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise WorkerError(f"{self._side.name}: its process wrote {line[:80]!r} and not a JSON object")
        return answer

    def _obituary(self) -> str:
        ended, _, last = self._child.how_it_ended().partition(": ")
        return f"{self._side.name}: its process {ended} at: {self._asked}{f': {last}' if last else ''}"

    def close(self) -> None:
        """End the process, whatever it is doing."""
        with contextlib.suppress(OSError):  # it is gone already
            self._lines.close()
        self._child.close()


def environment(threads: int, seed: int) -> dict[str, str]:
    """The variables of both processes of a pair: one controlled state, and a hash seed that changes between pairs."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "OMP_", "MALLOC_"))}
    # One thread is bound by its process; OpenMP would bind it before the packages are loaded, on the other side's CPU.
    bound = {"OMP_PROC_BIND": "close", "OMP_PLACES": "cores"} if threads > 1 else {}
    return (
        kept
        | bound
        | variables_of("controlled")
        | {
            "OMP_NUM_THREADS": str(threads),
            "OMP_WAIT_POLICY": "passive",  # the side that waits must not spin on the cores of the other
            "MALLOC_MMAP_THRESHOLD_": str(2**30),
            "MALLOC_TRIM_THRESHOLD_": str(2**33),
            "MALLOC_TOP_PAD_": str(2**28),
            "PYTHONHASHSEED": str(seed),
            "KINETO_LOG_LEVEL": "99",
        }
    )


class ProcessPair:
    """Two workers, of which one works while the other sleeps."""

    def __init__(self, processes: Mapping[str, Process], check: Callable[[str, dict[str, Any]], None]) -> None:
        self._processes, self._check = processes, check

    def ask(self, side: str, **request: Any) -> dict[str, Any]:
        """See `Pair.ask`."""
        try:
            self._processes[side].send(request)
            answer = self._processes[side].answer()
        except BaseException:  # the answer may still come, and would be taken for that to the next question
            self._processes[side].close()
            raise
        if "error" in answer and request["do"] != "prepare":
            raise WorkerError(f"{side}: {request.get('case', request['do'])}: {answer['error']}")
        return answer

    def prove(self) -> None:
        """See `Pair.prove`."""
        for side in self._processes:
            self._check(side, self.ask(side, do="prove"))


class Pairs:
    """Opens pairs of fresh processes that have loaded the suite, each with its side's code and interpreter."""

    def __init__(
        self,
        sides: Sequence[Side],
        harness: Harness,
        threads: int,
        timeout: float = TIMEOUT,
        worker: Path = WORKER,
    ) -> None:
        self._sides, self._harness = {side.name: side for side in sides}, harness
        self._threads, self._timeout, self._worker = threads, timeout, worker
        self.proofs: dict[str, dict[str, Any]] = {}
        """What each side's first process said of its interpreter, packages and threads."""

    def cases(self) -> list[dict[str, Any]]:
        """The suite's cases, as the head sees them: id, parameters and tolerance. Raises `SuiteError`."""
        processes: dict[str, Process] = {}
        try:
            self._open(self._sides["head"], 0, processes)
            answer = processes["head"].answer()
        finally:
            for process in processes.values():
                process.close()
        if "error" in answer:
            raise SuiteError(f"--suite: {self._harness.file.name} cannot be run with head's code: {answer['error']}")
        found: list[dict[str, Any]] = answer["cases"]
        return found

    @contextmanager
    def __call__(self, seed: int) -> Iterator[ProcessPair]:
        """Open the pair of a number; neither side is always started first.

        Raises `WorkerError`, and `WrongCodeError` when a process cannot load the suite.
        """
        processes: dict[str, Process] = {}
        try:
            for side in list(self._sides.values())[:: 1 if seed % 2 == 0 else -1]:
                self._open(side, seed, processes)
            for name, process in processes.items():
                answer = process.answer()
                if "error" in answer:
                    raise WrongCodeError(f"{name}: the suite cannot be run with its code: {answer['error']}")
            yield ProcessPair(processes, self._check)
        finally:
            for process in processes.values():
                process.close()

    def _open(self, side: Side, seed: int, processes: dict[str, Process]) -> None:
        """Start a process and tell it to load the suite; it has not answered yet."""
        with unheard_signals():
            processes[side.name] = Process(side, self._threads, seed, self._timeout, self._worker)
        harness = self._harness
        about = {"suite": str(harness.file), "paths": harness.paths, "helpers": harness.helpers}
        processes[side.name].send({"do": "load", "root": str(side.root), "names": sorted(harness.names), **about})

    def _check(self, name: str, proof: dict[str, Any]) -> None:
        wrong = what_is_wrong(self._sides[name], self._harness, proof["files"])
        before, now = self.proofs.get(name, {}), proof["facts"]
        if wrong is None and before | now != now | before:  # cases that are left may load fewer packages
            wrong = f"{name}: its interpreter or a package changed while it was measured"
        if wrong:
            raise WrongCodeError(wrong)
        self.proofs[name] = before | now


def log_ratio(blocks: Sequence[Mapping[str, Sequence[float]]]) -> float:
    """ln(head / base) of one case in one pair of processes, from the seconds of its blocks.

    The interquartile mean over blocks: untouched by a block that was disturbed.
    """
    ratios = [fmean(map(math.log, times["head"])) - fmean(map(math.log, times["base"])) for times in blocks]
    return round(midmean(ratios), 6)


def shuffled(cases: Sequence[str], seed: int) -> list[str]:
    """The cases in an order of their own for each pair, the same on both sides."""
    order = list(cases)
    random.Random(seed).shuffle(order)
    return order
