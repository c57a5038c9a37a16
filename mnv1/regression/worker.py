"""Runs one side's code and times it: a process that loads nothing of this package but what is under test.

`python worker.py FD THREADS`: requests and answers are lines of JSON on the socket FD; THREADS is how many the code
under test may use. The file runs by itself, with Python alone and the three files that it loads, from the head's tree
on both sides: what differs between them is the code under test. torch and numpy are used where the suite has loaded
them.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import importlib.util
import json
import os
import socket
import sys
import time
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Request = dict[str, Any]
Call = Callable[[], Any]

PACKAGES = ("numpy", "torch")
"""Packages whose versions are told, because they do what takes the time."""

WARMED = 4
"""Calls of a sample from which one more, before them, is cheap."""


def _module(name: str, path: Path) -> types.ModuleType:
    """A file as a module; this process knows no package that it could be imported from."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


HERE = Path(__file__).resolve().parent
marks = _module("_mnv1_marks", HERE.parent / "base" / "marks.py")
outputs = _module("_mnv1_outputs", HERE / "outputs.py")
parts = _module("_mnv1_parts", HERE / "parts.py")


def main(fd: str, threads: int) -> None:
    """Answer requests until the other end closes."""
    if sys.platform == "win32":  # which passes no descriptors on: the socket comes through standard input
        connection = socket.fromshare(sys.stdin.buffer.read())
    else:
        connection = socket.socket(fileno=int(fd))
    side = Side(threads)
    with connection.makefile("rw", encoding="utf8") as lines:
        for line in lines:
            request: Request = json.loads(line)
            try:
                answer = getattr(side, "do_" + request.pop("do"))(**request)
            except (Exception, SystemExit) as error:  # whatever the code under test raises is an answer
                answer = {"error": marks.in_a_line(error)}
            lines.write(json.dumps(answer) + "\n")
            lines.flush()


@dataclass
class Prepared:
    """A case that can be called."""

    call: Call
    device: str = "cpu"
    """Where its output lies."""
    module: Any = None
    """What is called, where that is a module of torch."""


class Side:
    """What one process knows: its cases by id. Requests are its methods `do_...`, answers are what they return."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.root, self.names = Path(), frozenset[str]()
        self.marked: dict[str, Any] = {}
        self.prepared: dict[str, Prepared] = {}
        self._is_settled = False
        gc.disable()

    def do_load(self, suite: str, root: str, paths: Sequence[str], helpers: str, names: Sequence[str]) -> Request:
        """Run the suite's file with the code under test on the path; which cases it has.

        `paths` are folders below `root` that are put first on the path, `helpers` one that is put last; `names` are the
        modules and packages that are under test.
        """
        self.root, self.names = Path(root).resolve(), frozenset(names)
        sys.path[:0] = [str(self.root / path) for path in paths]
        sys.path += [helpers] if helpers else []
        _offer(marks.workload)
        module = _module("mnv1_suite", Path(suite))
        self._settle()
        # Only now: while both sides load their packages, each has a CPU.
        with contextlib.suppress(AttributeError, OSError):  # not on every system
            os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: self.threads])
        self.marked = {case.id: case for case in marks.cases_of(module)}
        cases = [
            {"id": name, "parameters": _plain(case.parameters), "tolerance": case.tolerance}
            for name, case in self.marked.items()
        ]
        return {"cases": cases}

    def do_prove(self) -> Request:
        """Which code and which packages this process runs, so far."""
        files = {
            name: module.__file__
            for name, module in sorted(sys.modules.items())
            if name.partition(".")[0] in self.names and getattr(module, "__file__", None)
        }
        facts: Request = {"python": sys.executable, "python_version": sys.version.split()[0], "threads": self.threads}
        for name in PACKAGES:
            if name in sys.modules:
                facts |= {name: str(sys.modules[name].__version__), f"{name}_file": sys.modules[name].__file__}
        hashed = {
            name: [file, hashlib.sha256(Path(file).read_bytes()).hexdigest()] for name, file in files.items() if file
        }
        return {"files": hashed, "facts": facts}

    def do_prepare(self, case: str, count: bool = False) -> Request:
        """Build a case and run it; when asked, also say what is deterministic about it.

        Raises `ValueError` for a case whose output is not what it should equal, or not the same in two calls.
        """
        marked = self.marked[case]
        called, given = marked.made()
        self._settle()
        torch = sys.modules.get("torch")
        is_module = torch is not None and isinstance(called, torch.nn.Module)
        if is_module:
            called = called.eval()

        def call() -> Any:
            return called(*given)

        prepared = Prepared(torch.inference_mode()(call) if torch and is_module else call)
        output = prepared.call()
        self._settle()
        devices = [tensor.device.type for tensor in outputs.tensors_of(output)]
        prepared.device = next((one for one in devices if one != "cpu"), "cpu")
        prepared.module = called if is_module else None
        self.prepared[case] = prepared
        told = outputs.digest(output)
        mark = marked.mark
        if mark.equals is not None:
            due = mark.equals() if callable(mark.equals) else mark.equals
            if outputs.difference(outputs.digest(due), told) > marked.tolerance:
                raise ValueError("its output is not what it must equal")
        if not count:
            return {}
        again = prepared.call()
        if outputs.difference(told, outputs.digest(again)) > marked.tolerance:
            raise ValueError("is not deterministic: two calls gave different outputs; seed what is drawn")
        said = mark.facts(output) if callable(mark.facts) else mark.facts
        facts = parts.torch_facts(prepared.call, prepared.device, prepared.module) if devices else {}
        return {"facts": facts | dict(said or {}), "output": told}

    def do_control(self, control: str) -> Request:
        """Make ready work that holds no code under test, where the cases run; `missing` where that cannot be."""
        device = next((one.device for one in self.prepared.values() if one.device != "cpu"), "cpu")
        call = _control(control, device)
        if call is None:
            return {"missing": True}
        self.prepared[control] = Prepared(call, device)
        call()
        return {}

    def do_settle(self) -> Request:
        """Call it when everything is prepared: what there is now is looked through for garbage no more."""
        gc.freeze()
        return {}

    def do_sample(self, case: str, calls: int, extra: float = 0.0) -> Request:
        """Seconds of some calls; `extra` is the share of more work that is injected.

        That is more calls, and for the rest of one a loop that takes as long: work of another kind would take another
        share whenever something beside it slows the machine. Where calls are short, one that is not timed comes before,
        because the other side has used the caches. Where they are long it would cost more than it is worth: the first
        call is as slow on both sides.
        """
        prepared = self.prepared[case]
        call, more = prepared.call, calls * extra
        whole, rest = divmod(round(more, 9), 1)
        gc.collect()
        if calls >= WARMED:
            call()
        wait = _wait(prepared.device)
        wait()
        start = time.perf_counter()
        for _ in range(calls + int(whole)):
            call()
        wait()
        if rest:
            _busy(start, rest / (calls + whole))
        return {"seconds": time.perf_counter() - start}

    def do_profile(self, case: str, calls: int) -> Request:
        """What some calls consist of: by part, how often it ran and for how many seconds, of all calls together.

        Parts are torch's operators (on an accelerator, its kernels) of a case that runs any, and Python functions of
        others: those are found by looking at what runs now and then, which does not tell how often they ran.
        """
        prepared = self.prepared[case]
        prepared.call()
        found = {}
        if "torch" in sys.modules:
            found = parts.operators(prepared.call, prepared.device, _wait(prepared.device), calls)
        if found:
            return {"kind": "operators", "parts": found}
        looks = parts.functions(prepared.call, calls, self.root)
        seconds = {name: [0, parts.LOOK_EVERY * number] for name, number in looks.items()}
        return {"kind": "functions", "parts": seconds}

    def slowed(self, case: str, extra: float) -> Call:
        """A case's call with a share of more work after each call, for timers that call one thing again and again."""
        prepared = self.prepared[case]
        if not extra:
            return prepared.call

        def more() -> None:
            start = time.perf_counter()
            prepared.call()
            _busy(start, extra)

        return more

    def _settle(self) -> None:
        """Put torch into one state as soon as the suite has loaded it."""
        torch = sys.modules.get("torch")
        if torch is None or self._is_settled:
            return
        self._is_settled = True
        torch.set_num_threads(self.threads)
        torch.set_flush_denormal(True)
        torch.backends.cuda.matmul.fp32_precision = "ieee"
        torch.backends.cudnn.conv.fp32_precision = "ieee"
        torch.backends.cudnn.benchmark = False


def _busy(start: float, share: float) -> None:
    """Work for as long as a share of the time since `start`."""
    now = time.perf_counter()
    end = now + share * (now - start)
    while time.perf_counter() < end:
        pass


def _offer(workload: object) -> None:
    """Make `from mnv1 import workload` give this decorator, whichever mnv1 there is, and also where there is none."""
    if importlib.util.find_spec("mnv1") is None:
        sys.modules["mnv1"] = types.ModuleType("mnv1")
    importlib.import_module("mnv1").workload = workload  # type: ignore[attr-defined]


def _plain(parameters: Mapping[str, object]) -> dict[str, object]:
    """Parameters as JSON can hold them."""
    return {name: one if isinstance(one, str | int | float | None) else str(one) for name, one in parameters.items()}


def _wait(device: str) -> Call:
    """Waits until the device has done what it was given."""
    if device == "cpu":
        return lambda: None
    synchronize: Call = getattr(sys.modules["torch"], device).synchronize
    return synchronize


def _copying(size: int, device: str) -> Call:
    """Copies so many bytes from one place to another."""
    if device != "cpu":
        torch = sys.modules["torch"]
        source = torch.ones(size, dtype=torch.uint8, device=device)
        target = torch.empty_like(source)
        return lambda: target.copy_(source)
    bytes_, into = b"\1" * size, memoryview(bytearray(size))

    def copy() -> None:
        into[:] = bytes_

    return copy


def _control(name: str, device: str) -> Call | None:
    """Work without code under test: a loop in Python, a matrix product, a copy beyond the caches."""
    if name == "python":
        return lambda: sum(number * number for number in range(20_000))
    if name == "copy":
        return _copying(2**25, device)
    torch, numpy = sys.modules.get("torch"), sys.modules.get("numpy")
    if torch is not None:
        left, right = torch.randn(2, 256, 256, device=device)
        return lambda: torch.mm(left, right)
    if numpy is not None:
        one, other = numpy.random.default_rng(0).random((2, 256, 256), dtype=numpy.float32)
        return lambda: one @ other
    return None


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
