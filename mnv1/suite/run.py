"""One `pytest benchmarks`: what is measured, with what, and what is known so far. Needs no torch."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from mnv1.base.facts import Facts
from mnv1.cases import Case, Pair
from mnv1.measure.facts import better_of
from mnv1.measure.messages import Failed
from mnv1.measure.quota import Quotas, facts, verdict
from mnv1.measure.supervisor import Supervisor, SupervisorError
from mnv1.measure.timing import Policy
from mnv1.report.progress import Progress, progress_line, visit_line
from mnv1.report.summary import verdict_text
from mnv1.report.units import duration, percent
from mnv1.store import runs as results
from mnv1.suite.journal import Journal, JournalError, interrupted, is_running
from mnv1.suite.profiles import Cases, Profile
from mnv1.suite.storage import Replay, WholeFiles
from mnv1.suite.sweep import Sweep, latencies_a_pass, unlike

CEILING_TIME = 0.6
"""Seconds of a ceiling, or a hundredth of the sweep where that is less."""


class CaseFailedError(Exception):
    """A case could not be measured."""


class Run:
    """What pytest's hooks share.

    `journal` is that of an interrupted sweep, if one is continued; `about` is recorded with the environment. Raises
    `SupervisorError` when nothing can be measured here, `JournalError` when the rest would not belong to the journal.
    """

    def __init__(
        self,
        profile: Profile,
        cases: Cases,
        supervisor: Supervisor,
        journal: Journal | None,
        about: dict[str, object],
    ) -> None:
        self.profile = profile
        self.cases: dict[str, tuple[Case, ...] | tuple[Pair, ...]] = {
            "layer_case": cases.layers,
            "model_case": cases.models,
            "pair": cases.pairs,
            "training_case": cases.trainings,
            "training_pair": cases.training_pairs,
        }
        self.by_id: dict[str, Case | Pair] = {case.id: case for group in self.cases.values() for case in group}
        self.supervisor = supervisor
        self.journal = journal
        described = supervisor.describe()
        self.warnings = described.warnings
        self.environment: dict[str, Any] = {"schema": results.SCHEMA, **about, **described.environment}
        if journal:
            self._check_that_nothing_changed(journal)
        self._quotas = Quotas()
        self._counted = self._quotas.counts()
        self.replay = Replay()
        self.facts: dict[str, Facts] = {}
        self.folder = Path()
        """Where the results go, and the journal."""
        self.storage: WholeFiles | None = None
        self.sweep: Sweep | None = None
        """What visits the cases; None as long as nothing is measured, or nothing at all is."""
        self.progress: Progress | None = None
        self.position = 0
        """Place of the running test among the session's."""
        self.again = False
        """Whether the running test's case is to be visited again."""
        self._finished_before: frozenset[str] = frozenset()
        self._told: set[str] = set()

    def _check_that_nothing_changed(self, journal: Journal) -> None:
        names = ("machine", "packages", "threads", "thread_binding", "allocator", "kernel", "revision")
        before = journal.header["environment"]
        changed = unlike([(name, before.get(name)) for name in names], self.environment)
        if changed:
            raise JournalError(
                f"{journal.path}: begun under another {' and '.join(changed)}, so the rest would not belong to it: "
                "restore that, or delete the journal and measure anew"
            )

    def begin(self, cases: Sequence[Case | Pair], options: dict[str, object], storage: WholeFiles) -> None:
        """Measure what the machine can do at best, open the journal, and be ready for visits.

        Raises `JournalError` or `SupervisorError`.
        """
        if options["machine_state"] == "controlled":
            self.supervisor.watch()
        self._counted = self._quotas.counts()
        if self.journal:
            self.environment = dict(self.journal.header["environment"])
        else:
            self.environment["ceilings"] = self._ceilings(cases)
            header = {"options": options, "environment": self.environment, "cases": [case.id for case in cases]}
            self.journal = Journal.begin(self.folder, header)
        self.storage = storage
        self.sweep = Sweep(self.profile, self.supervisor, self.journal, time.monotonic)
        self.progress = Progress(self.profile.expected_shares(cases), time.monotonic)
        self._finished_before = frozenset(self.journal.entries.finished)

    def _ceilings(self, cases: Sequence[Case | Pair]) -> list[Facts]:
        found = []
        seconds = min(CEILING_TIME, self.profile.sweep_time / 100)
        policy = Policy(visit_time=seconds, max_time=seconds, min_time=0.2)
        conditions = [case.conditions for case in cases]
        for device in dict.fromkeys(one.device for one in conditions):
            # int8 has no ceiling: no view compares it with one.
            here = [one.precision for one in conditions if one.device == device and one.precision != "int8"]
            precisions = list(dict.fromkeys(here))
            measured = self.supervisor.ceilings(device, precisions, policy)
            if isinstance(measured, Failed):
                raise SupervisorError(f"the ceilings of {device} cannot be measured: {measured.reason}")
            found += measured
        return found

    def look_at_ceilings_again(self) -> None:
        """Measure the ceilings once more after the last case, and keep the higher ones.

        A machine that was busy for the seconds before the first case would otherwise seem slower than its own layers.
        """
        if self.complete and self.sweep:
            names = self.facts.keys() & set(self.by_id)
            again = self._ceilings([self.by_id[name] for name in names])
            self.environment["ceilings"] = better_of(self.environment.get("ceilings", []), again)

    def record_throttling(self) -> None:
        """Keep how often the kernel stopped this process for its quota since the first case."""
        found = self._quotas.since(self._counted)
        self.environment |= facts(found)
        said = verdict(found, self.environment["threads"])
        self.environment |= {"throttling": said} if said else {}

    def case_of(self, item: pytest.Item) -> Case | Pair | None:
        """The case that a test measures; None for pytest's placeholder of an empty list of cases."""
        params = cast(pytest.Function, item).callspec.params
        return next((self.by_id.get(str(params[name])) for name in self.cases if name in params), None)

    def is_pair(self, item: pytest.Item) -> bool:
        """Whether a test measures a speedup."""
        return isinstance(self.case_of(item), Pair)

    @property
    def latencies_a_pass(self) -> int:
        """How many latencies follow this pass over the speedups."""
        assert self.journal is not None
        assert self.sweep is not None
        over = {*self.journal.entries.finished, *self.journal.entries.failed}
        latencies = [name for name in self.journal.header["cases"] if not isinstance(self.by_id[name], Pair)]
        waiting, finished = (
            [self.profile.expected_seconds(self.by_id[name]) for name in latencies if (name in over) is done]
            for done in (False, True)
        )
        return latencies_a_pass(waiting, finished, self.sweep.elapsed / self.profile.sweep_time)

    @property
    def complete(self) -> bool:
        """Whether every case of the sweep has its figures, or a reason why not."""
        if not self.journal:
            return False
        entries = self.journal.entries
        return set(self.journal.header["cases"]) <= {*entries.finished, *entries.failed}

    def measure(self, case: Case | Pair, benchmark: Any) -> None:
        """Visit a case, and after the last visit hand its rounds to pytest-benchmark for its statistics and its file.

        pytest-benchmark decides its rounds from the first, cold call and never synchronises a GPU, so the rounds are
        timed by this suite. It learns of them through its own interface: a clock that replays them. Raises
        `CaseFailedError` when the case cannot be measured.
        """
        if self.sweep is None:
            failed = self.supervisor.check(case)
            if failed:
                raise CaseFailedError(failed.reason)
            benchmark.pedantic(lambda: None)
            return
        try:
            record = self.sweep.advance(case)
        except JournalError as error:
            pytest.exit(str(error), returncode=pytest.ExitCode.INTERNAL_ERROR)
        if isinstance(record, Failed):
            raise CaseFailedError(record.reason)
        if record is None:
            self.again = True
            pytest.skip("to be visited again")  # not reported: the test is put into the queue again
        self.replay.load([sample * record.calls_per_round for sample in record.samples])
        benchmark.pedantic(lambda: None, rounds=len(record.samples), iterations=record.calls_per_round)
        benchmark.extra_info.update(record.facts)
        self.facts[case.id] = record.facts

    def tell_visit(self, case: Case | Pair, reporter: Any) -> None:
        """Count a visit to a case that is not over, and write a line after the first."""
        if self.progress and self.sweep:
            self.progress.advance(case.id, self.sweep.share(case))
            if self.sweep.visits(case) == 1 and case.id not in self._told:
                self._told.add(case.id)
                reporter.write_line(visit_line(self.progress.counter, case.id, self.progress.remaining))

    def tell(self, case: Case | Pair, failure: str | None, reporter: Any) -> None:
        """Write the line of a case that is over now; one that was over before an interruption had its line."""
        if not self.progress:
            return
        counter, remaining = self.progress.finish(case.id)
        if failure:
            reporter.write_line(f"{counter} {case.id}  FAILED: {failure}", red=True)
        elif case.id in self.facts and case.id not in self._finished_before:
            reporter.write_line(progress_line(counter, self.facts[case.id], remaining))

    def header(self) -> list[str]:
        """What is said before the first case."""
        machine, threads = self.environment["machine"], self.environment["threads"]
        about = f"mnv1: profile {self.environment['profile']} on {machine}, {threads} threads"
        lines = [about, *(f"warning: {warning}" for warning in self.warnings)]
        if self.journal:
            lines.append(f"resuming {self.journal.path.name}: {self._how_many_are_over(self.journal)}")
        else:
            waiting = [path for path in interrupted(self.folder) if not is_running(path)]
            lines += [
                f"note: {path} is an interrupted sweep: continue it with --resume, or delete it" for path in waiting
            ]
        return lines

    def closing(self) -> list[str]:
        """What is said after the last case: the verdict, failed cases, and whether anything is left to do."""
        if not (self.journal and self.sweep):
            return []
        lines = []
        if self.facts:
            share = percent(self.sweep.call_time / self.sweep.elapsed)
            lines = [
                verdict_text(results.from_facts(self.facts.values(), self.environment)),
                f"{duration(self.sweep.elapsed)} min, {share} of it in calls that were timed",
            ]
        throttled = verdict(self._quotas.since(self._counted), self.environment["threads"])
        lines += [f"warning: {throttled}"] if throttled else []
        lines += [f"failed: {case_id}: {reason}" for case_id, reason in self.journal.entries.failed.items()]
        if not self.complete:
            lines.append(
                f"interrupted: {self._how_many_are_over(self.journal)}, and visits to others are kept; "
                "continue with: pytest benchmarks --resume"
            )
        return lines

    @staticmethod
    def _how_many_are_over(journal: Journal) -> str:
        over = len(journal.entries.finished) + len(journal.entries.failed)
        return f"{over} of {len(journal.header['cases'])} cases are over"

    def summary(self) -> Facts:
        """What is stored of the run as a whole."""
        assert self.sweep is not None
        assert self.journal is not None
        return {
            "wall_time": self.sweep.elapsed,
            "call_time": self.sweep.call_time,
            "failed": dict(self.journal.entries.failed),
        }

    def close(self) -> None:
        """End the measuring process; the journal stays when the sweep is not over or its results are not kept."""
        self.supervisor.close()
        if self.journal:
            options = self.journal.header["options"]
            to_be_stored = options["benchmark_autosave"] or options["benchmark_save"]
            stored = self.storage is not None and self.storage.saved
            self.journal.close(complete=self.complete and (stored or not to_be_stored))
