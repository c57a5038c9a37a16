"""The process that measures: it does one thing at a time that it is asked for through a pipe, and answers.

Apart from the process that plans and stores, so that a case that hangs, crashes or eats all memory takes nothing with
it. Started by `mnv1.measure.supervisor` as `python -m mnv1.measure.worker FD STATE THREADS`.
"""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, cast

from mnv1.base.facts import Facts
from mnv1.cases import Case, Pair
from mnv1.cases.precisions import fp32_computed_in
from mnv1.measure.child import connection_of
from mnv1.measure.children import die_with_parent, start_server, wait_for_server
from mnv1.measure.cores import CoreWatch, Messages, cpus_in_use
from mnv1.measure.messages import Described, Failed, Reply
from mnv1.measure.state import State, prepare, take_huge_pages
from mnv1.measure.timing import Policy, Visit
from mnv1.measure.watch import QuotaWatch

if TYPE_CHECKING:
    from mnv1.measure.tracing import Tracer


class Bench:
    """What the measuring process can be asked to do: every public method."""

    def __init__(self, settings: dict[str, object]) -> None:
        from mnv1.measure.runner import Runner

        self._tracer: Tracer | None = None
        self._settings = settings
        self._runner = Runner()
        self._runner.watch = QuotaWatch()

    def describe(self) -> Described:
        """The environment, with the settings of the machine's state, and its warnings."""
        from mnv1.measure import environment

        return environment.described(self._settings)

    def watch(self) -> Facts:
        """Read from now on how long messages take between the CPUs that compute; what was found of these.

        `no_messages` says why they cannot be read.
        """
        import torch

        torch.ones(2**20).add(1)  # threads exist, and are bound, from the first work that they share
        cpus = cpus_in_use()
        if len(cpus) < 2:
            threads = torch.get_num_threads()
            return {"no_messages": "threads are not bound to CPUs" if threads > 1 else "one thread sends no messages"}
        try:
            watch = CoreWatch(Messages(), cpus)
        except OSError as error:
            return {"no_messages": str(error)}
        self._runner.watch = watch
        return watch.describe

    def look(self) -> float | None:
        """Seconds of a message between the CPUs that compute, right now; None where it cannot be read."""
        return self._runner.watch.look()

    def ceilings(self, device: str, precisions: Sequence[str], policy: Policy) -> list[Facts]:
        """The ceilings of a device."""
        from mnv1.measure.ceilings import ceilings

        return ceilings(device, precisions, policy)

    def check(self, case: Case | Pair) -> None:
        """Build a case and check its output."""
        from mnv1.measure.runner import check

        with fp32_computed_in(case.conditions.precision):
            check(case)

    def trace(self, case: Case) -> Facts:
        """What runs in a call of a case.

        Nothing is timed for a figure in this process afterwards.
        """
        from mnv1.measure.tracing import Tracer

        self._tracer = self._tracer or Tracer(self._runner.watch)
        with fp32_computed_in(case.conditions.precision):
            return self._tracer.trace(case)

    def energy(self, case: Case) -> Facts:
        """Joules a call, where the device counts them."""
        with fp32_computed_in(case.conditions.precision):
            return self._runner.energy(case)

    def visit(self, case: Case | Pair, policy: Policy, earlier: Visit | None) -> Visit:
        """Sample a case."""
        with fp32_computed_in(case.conditions.precision):
            return self._runner.visit(case, policy, earlier)


def serve(connection: Connection, bench: object) -> None:
    """Answer requests, each a number, a method's name and its arguments, until the other side hangs up."""
    while True:
        try:
            number, name, arguments = connection.recv()
        except (EOFError, ConnectionError):
            return
        try:
            answer = getattr(bench, name)(*arguments)
        except Exception as error:  # whatever a case raises is its result, told to the user in a line
            answer = Failed(reason(error))
        with contextlib.suppress(ConnectionError):  # the other side is gone: the next recv ends this
            connection.send(Reply(number, answer))


def reason(error: Exception) -> str:
    """What went wrong, in one line."""
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    if "out of memory" in text.lower() or "can't allocate memory" in text or isinstance(error, MemoryError):
        return f"out of memory: {text}" if text else "out of memory"
    return f"{type(error).__name__}: {text}"


def _be_first_to_be_killed() -> None:
    """When memory runs out, the kernel should end this process, not the one that keeps the results."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def main(arguments: Sequence[str]) -> int:
    """Serve requests on the pipe of the given file descriptor."""
    descriptor, parent, state, threads = arguments
    die_with_parent(int(parent))
    _be_first_to_be_killed()
    # Before the machine's state is set: processes that measure their own peak memory start as they come, with all CPUs.
    huge_pages = take_huge_pages()
    start_server()
    bench = Bench(prepare(cast(State, state), int(threads) if threads else None, huge_pages))
    wait_for_server()
    gc.collect()
    gc.freeze()  # torch's own objects: looking through them takes a tenth of a second before each visit
    serve(connection_of(descriptor), bench)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
