"""The process of one rung of a ladder: it makes one network ready to run in one mode, and times blocks when asked.

Each rung has a process of its own: a mode that crashes takes nothing with it, what a compiler or another package keeps
in a process meets nobody else, and processes can differ in the state of the machine (allocator, threads). Started by
`mnv1.ladder.processes` as `python -m mnv1.measure.rung_worker FD PARENT STATE THREADS`.
"""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from mnv1.base.facts import Facts
from mnv1.cases import Case
from mnv1.measure.child import connection_of
from mnv1.measure.children import die_with_parent
from mnv1.measure.messages import Described
from mnv1.measure.state import State, hand_back_freed_memory, prepare, take_huge_pages
from mnv1.measure.timing import Policy, block, calls_of_block
from mnv1.measure.worker import serve

POLICY = Policy(visit_time=0.0, max_time=0.0, block_time=30e-3, warmup_time=0.2)
"""A block is as long as the machine's scheduler and the caches need to forget the process before."""


class RungBench:
    """What a rung's process can be asked to do: every public method."""

    def __init__(self, settings: dict[str, object]) -> None:
        self._settings = settings
        self._held = contextlib.ExitStack()

    def describe(self) -> Described:
        """The environment, with the settings of the machine's state, and its warnings."""
        from mnv1.measure import environment

        return environment.described(self._settings)

    def compile_something(self, device: str) -> None:
        """Leave in the compiler's cache what only the first compilation on a machine makes: precompiled headers."""
        import torch

        with torch.inference_mode():
            torch.compile(lambda values: values + 1)(torch.zeros(64, device=device))

    def build(self, case: Case) -> Facts:
        """Make a case ready; what was found of it: see `mnv1.measure.execution`, and its peak memory."""
        from mnv1.cases.precisions import fp32_computed_in
        from mnv1.measure.execution import execute
        from mnv1.measure.modules import module_and_images

        self._held.enter_context(fp32_computed_in(case.conditions.precision))  # one rung is all of this process
        module, (images,) = module_and_images(case)
        made = execute(case.conditions, module, images)
        device = case.conditions.on
        self._call, self._clock = made.call, device.clock()
        facts = dict(made.facts)
        if case.conditions.how.in_torch and "peak_memory" not in facts:
            facts |= device.peak_memory(made.call)
        self._calls = calls_of_block(made.call, self._clock, POLICY)
        gc.collect()
        # Thirty processes that keep what compiling took would leave no memory to the last of them.
        hand_back_freed_memory()
        return facts | {"calls": self._calls}

    def block(self) -> float:
        """Seconds a call, over one block."""
        return block(self._call, self._clock, self._calls)


def main(arguments: Sequence[str]) -> int:
    """Serve requests on the pipe of the given file descriptor."""
    descriptor, parent, state, threads = arguments
    die_with_parent(int(parent))
    with contextlib.suppress(OSError):  # when memory runs out, the kernel should end this process
        Path("/proc/self/oom_score_adj").write_text("1000")
    settings = prepare(cast(State, state), int(threads) if threads else None, take_huge_pages())
    serve(connection_of(descriptor), RungBench(settings))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
