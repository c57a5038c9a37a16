"""Runs one side's code and times it: a process that loads nothing of this package but the code under test.

`python worker.py FD ROOT THREADS`: requests and answers are lines of JSON on the socket FD; ROOT is the folder whose
`mnv1` is under test; THREADS is how many torch may use. The file runs by itself, from the head's tree on both sides, so
that what differs between them is the code under test alone.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import importlib
import json
import os
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

Request = dict[str, Any]
Call = Callable[[], Any]

SAMPLED = 64
"""Elements of an output that are compared, at fixed places."""

COPIED = 2**22
"""Bytes that one unit of injected memory traffic reads and writes: beyond a second-level cache."""


def main(fd: str, root: str, threads: int) -> None:
    """Answer requests until the other end closes."""
    with contextlib.suppress(AttributeError, OSError):  # not on every system
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    sys.path.insert(0, root)
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
            except Exception as error:  # whatever the code under test raises is an answer
                answer = {"error": f"{type(error).__name__}: {error}"}
            lines.write(json.dumps(answer) + "\n")
            lines.flush()


class Side:
    """What one process knows: its calls by case id. Requests are its methods `do_...`, answers are what they return."""

    def __init__(self, threads: int) -> None:
        import torch

        self.torch = torch
        torch.set_num_threads(threads)
        torch.set_flush_denormal(True)
        torch.backends.cuda.matmul.fp32_precision = "ieee"
        torch.backends.cudnn.conv.fp32_precision = "ieee"  # type: ignore[attr-defined]
        torch.backends.cudnn.benchmark = False
        self.calls: dict[str, tuple[Call, str]] = {}
        """By case: what is called, and the device that it runs on."""
        self.traffic: dict[str, tuple[Any, Any]] = {}
        """By device: what injected memory traffic copies, and where to."""
        self.copies: dict[tuple[str, float], int] = {}
        """By case and share of a call: how many copies take as long."""
        gc.collect()
        gc.disable()

    def do_prove(self) -> Request:
        """Which code and which torch this process runs."""
        for name in ("mnv1.blocks", "mnv1.model"):
            importlib.import_module(name)
        files = {
            name: module.__file__
            for name, module in sorted(sys.modules.items())
            if name.split(".")[0] == "mnv1" and getattr(module, "__file__", None)
        }
        return {
            "files": {
                name: [file, hashlib.sha256(Path(file).read_bytes()).hexdigest()]
                for name, file in files.items()
                if file
            },
            "torch": self.torch.__version__,
            "torch_file": self.torch.__file__,
            "python": sys.executable,
            "threads": self.torch.get_num_threads(),
        }

    def do_prepare(self, case: str, about: Request, count: bool = False) -> Request:
        """Build a case and run it once; when asked, also say what is deterministic about it."""
        call, module = self._control(about), None
        if call is None:
            call, module = self._subject(about)
        self.calls[case] = call, about["device"]
        output = call()
        return {} if module is None or not count else self._counts(call, module, output)

    def do_sample(self, case: str, calls: int, extra: float = 0.0) -> Request:
        """Seconds of some calls after one that is not timed; `extra` is the share of more work that is injected."""
        call, device = self.calls[case]
        more, rest = divmod(round(calls * extra, 9), 1)
        copies = self._copies(case, rest) if rest else 0
        source, target = self._traffic(device) if copies else (None, None)
        call()
        wait = self._wait(device)
        wait()
        start = time.perf_counter()
        for _ in range(calls + int(more)):
            call()
        for _ in range(copies):
            target.copy_(source)  # type: ignore[union-attr]
        wait()
        return {"seconds": time.perf_counter() - start}

    def slowed(self, case: str, extra: float) -> Call:
        """A case's call with a share of more work after each call, for timers that call one thing again and again."""
        call, device = self.calls[case]
        if not extra:
            return call
        copies, (source, target) = self._copies(case, extra), self._traffic(device)

        def more() -> None:
            call()
            for _ in range(copies):
                target.copy_(source)

        return more

    def _wait(self, device: str) -> Callable[[], None]:
        """Waits until the device has done what it was given."""
        return self.torch.cuda.synchronize if device == "cuda" else lambda: None

    def _traffic(self, device: str) -> tuple[Any, Any]:
        if device not in self.traffic:
            source = self.torch.ones(COPIED // 2, dtype=self.torch.uint8, device=device)
            self.traffic[device] = source, self.torch.empty_like(source)
        return self.traffic[device]

    def _copies(self, case: str, share: float) -> int:
        """How many copies take about as long as a share of a call; found once for a case."""
        if (case, share) not in self.copies:
            call_time = self._typical(case, 0)
            number = 1
            # The first copy after a call is slow, its memory has left the caches: time as many as there will be.
            for _ in range(3):
                each = self._typical(case, number) / number
                number = max(1, round(share * call_time / each))
            self.copies[case, share] = number
        return self.copies[case, share]

    def _typical(self, case: str, copies: int) -> float:
        """The median seconds of a call, or of so many copies right after a call."""
        call, device = self.calls[case]
        source, target = self._traffic(device)
        wait: Callable[[], None] = self._wait(device)
        seconds = []
        for _ in range(7):
            call()
            wait()
            start = time.perf_counter()
            if not copies:
                call()
            for _ in range(copies):
                target.copy_(source)
            wait()
            seconds.append(time.perf_counter() - start)
        return median(seconds)

    def _subject(self, about: Request) -> tuple[Call, Any]:
        """The call of a block or network under test, and its module."""
        from mnv1.model import MobileNetV1
        from mnv1.net import blocks

        torch, device = self.torch, about["device"]
        torch.manual_seed(0)
        kinds = {"standard": blocks.conv_standard, "separable": blocks.conv_dw}
        if "alpha" in about:
            module: Any = MobileNetV1(1000, about["alpha"], kinds[about["kind"]])
        else:
            module = kinds[about["kind"]](about["in_channels"], about["out_channels"], about["stride"])
        module = module.eval().to(device)
        images = torch.randn(about["input_shape"], generator=torch.Generator().manual_seed(0)).to(device)
        dtype, amp = getattr(torch, about["amp_dtype"]), about["precision"] == "amp"

        def call() -> Any:
            with torch.inference_mode(), torch.autocast(device, dtype, enabled=amp):
                return module(images)

        return call, module

    def _control(self, about: Request) -> Call | None:
        """Work that holds no code under test; None for a case."""
        torch, name = self.torch, about.get("control")
        if name is None:
            return None
        if name == "python":
            return lambda: sum(number * number for number in range(20_000))
        if name == "gemm":
            left, right = torch.randn(2, 256, 256, device=about["device"])
            return lambda: torch.mm(left, right)
        source = torch.ones(2**25, dtype=torch.uint8, device=about["device"])
        target = torch.empty_like(source)
        return lambda: target.copy_(source)

    def _counts(self, call: Call, module: Any, output: Any) -> Request:
        from torch.profiler import ProfilerActivity, profile
        from torch.utils.flop_counter import FlopCounterMode

        with FlopCounterMode(display=False) as counter:
            call()
        on_cuda, cuda = output.is_cuda, self.torch.cuda
        before = cuda.memory_allocated() if on_cuda else 0
        if on_cuda:
            cuda.reset_peak_memory_stats()
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
            call()
        return {
            "macs": counter.get_total_flops() // 2,
            "params": sum(weight.numel() for weight in module.parameters()),
            "peak_memory": cuda.max_memory_allocated() - before if on_cuda else _peak(profiler),
            "operators": sum(one.cpu_parent is None and one.name != "[memory]" for one in profiler.events()),
            "output": self._digest(output),
        }

    def _digest(self, output: Any) -> list[float]:
        """Some elements of an output at fixed places, and its mean and standard deviation."""
        flat = output.detach().float().flatten()
        places = self.torch.linspace(0, flat.numel() - 1, SAMPLED).long()
        return [*flat[places].tolist(), float(flat.mean()), float(flat.std())]


def _peak(profiler: Any) -> int:
    """The most bytes that were allocated at once, from the events of torch's CPU allocator."""
    events = profiler.profiler.kineto_results.events()
    allocated = peak = 0
    for event in sorted((one for one in events if one.name() == "[memory]"), key=lambda one: one.start_ns()):
        allocated += event.nbytes()
        peak = max(peak, allocated)
    return peak


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
