"""Asks the process of one rung. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from mnv1.base.facts import Facts
from mnv1.ladder.rungs import Rung
from mnv1.measure.messages import Failed
from mnv1.measure.supervisor import Supervisor


class RungProcess(Supervisor):
    """The process that runs one rung. What fails is answered by `Failed`, and the process is ended then."""

    def __init__(self, rung: Rung, timeout: float, variables: Mapping[str, str]) -> None:
        super().__init__(rung.state, rung.threads, timeout, "mnv1.measure.rung_worker", variables)
        self._case = rung.case

    def compile_something(self) -> Failed | None:
        """Do what only the first compilation on a machine takes, which belongs to no rung."""
        return cast("Failed | None", self._ask("compile_something", self._case.conditions.device))

    def build(self) -> Facts | Failed:
        """Make the rung's case ready, and say what was found of it."""
        return cast("Facts | Failed", self._ask("build", self._case))

    def block(self) -> float | Failed:
        """Seconds a call, over one block."""
        return cast("float | Failed", self._ask("block"))
