"""One `pytest benchmarks`: what is measured, with what, and what is known so far. Needs no torch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from mnv1.base.facts import Facts
from mnv1.cases import Case, Pair
from mnv1.measure.child import unheard_signals
from mnv1.measure.facts import Record, better_of, launching
from mnv1.measure.messages import Failed
from mnv1.measure.quota import Quotas, facts, verdict
from mnv1.measure.states import MIXED
from mnv1.measure.supervisor import Supervisor, SupervisorError
from mnv1.measure.timing import Policy
from mnv1.report.progress import Progress, progress_line, visit_line
from mnv1.report.summary import verdict_text
from mnv1.report.units import duration, percent
from mnv1.store import runs as results
from mnv1.suite.journal import Journal, JournalError, interrupted, is_running
from mnv1.suite.profiles import Profile
from mnv1.suite.sweep import Sweep, unlike

EARLY = 110.0
"""Seconds after which the verdict is said as far as it is known."""

TRACE_TIME = 0.22
"""Share of the sweep's time in which it is looked at what runs in cases, about."""
TRACE_TRIES = 10
"""How often that is tried at most for one, because the machine was in another state."""

CEILING_TIME = 0.6
"""Seconds of a ceiling, or a hundredth of the sweep where that is less."""


Say = Callable[..., None]
"""Writes a line: `say(text)`, or `say(text, red=True)`."""


class Run:
    """What is measured in a session, and what is known of it.

    `journal` is that of an interrupted sweep, if one is continued; `about` is recorded with the environment. Raises
    `SupervisorError` when nothing can be measured here, `JournalError` when the rest would not belong to the journal.
    """

    def __init__(
        self, profile: Profile, supervisor: Supervisor, journal: Journal | None, about: dict[str, object]
    ) -> None:
        self.profile = profile
        self.supervisor = supervisor
        self.journal = journal
        described = supervisor.describe()
        self._warnings = described.warnings
        self.environment: dict[str, Any] = {"schema": results.SCHEMA, **about, **described.environment}
        if journal:
            self._check_that_nothing_changed(journal)
        self._quotas = Quotas()
        self._counted = self._quotas.counts()
        self._throttled = ""
        self.figures: dict[str, Record | Failed] = {}
        """What the sweep found, by the case's id."""
        self.sweep: Sweep | None = None
        """What visits the cases; None as long as nothing is measured, or nothing at all is."""
        self._wall_time = 0.0
        self.complete = False
        """Whether every case of the sweep has its figures, or a reason why not."""

    def _check_that_nothing_changed(self, journal: Journal) -> None:
        names = ("machine", "packages", "threads", "thread_binding", "allocator", "kernel", "revision")
        before = journal.header["environment"]
        changed = unlike([(name, before.get(name)) for name in names], self.environment)
        if changed:
            raise JournalError(
                f"{journal.path}: begun under another {' and '.join(changed)}, so the rest would not belong to it: "
                "restore that, or delete the journal and measure anew"
            )

    def begin(self, cases: Sequence[Case | Pair], options: dict[str, object], folder: Path) -> None:
        """Measure what the machine can do at best, open the journal in `folder`, and be ready for visits.

        Raises `JournalError` or `SupervisorError`.
        """
        watched = self.supervisor.watch()
        self._counted = self._quotas.counts()
        header: dict[str, object] = {}
        if self.journal:
            self.environment = dict(self.journal.header["environment"])
        else:
            self.environment |= watched
            self.environment["ceilings"] = self._ceilings(cases)
            header = {"options": options, "environment": self.environment, "cases": [case.id for case in cases]}
        with unheard_signals():  # a journal that nobody knows would be left behind without a word
            self.journal = self.journal or Journal.begin(folder, header)
            own = self.environment.get("message_own_time") or 0.0
            self.sweep = Sweep(self.profile, self.supervisor, self.journal, time.monotonic, own)

    def _ceilings(self, cases: Sequence[Case | Pair]) -> list[Facts]:
        found = []
        seconds = min(CEILING_TIME, self.profile.sweep_time / 100)
        policy = Policy(visit_time=seconds, max_time=seconds)
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

    def measure(self, cases: Sequence[Case | Pair], say: Say, most_failures: int) -> None:
        """Sweep over the cases, and say what becomes of each. Ends early after so many failures, unless that is 0.

        However it ends, what it found is kept in `figures`. Raises `JournalError` when a visit cannot be kept.
        """
        sweep, journal = self.sweep, self.journal
        assert sweep is not None
        assert journal is not None
        progress = Progress(len(cases), self._remaining)
        failed_before, told, finished = frozenset(journal.entries.failed), set(journal.entries.visits), set[str]()
        first = self.profile.first(cases)
        waiting_for = [case for case in cases if case.id in first]
        failures = 0
        try:
            for case in sweep.run(cases):
                over = sweep.has_failed(case) or sweep.is_finished(case)
                figures = sweep.figures(case) if over else None
                if isinstance(figures, Failed):
                    say(f"{progress.finish()} {case.id}  FAILED: {figures.reason}", red=True)
                    finished.add(case.id)
                    failures += case.id not in failed_before
                    if failures == most_failures > 0:
                        break
                elif isinstance(figures, Record):
                    say(progress_line(progress.finish(), figures.facts, progress.remaining))
                    finished.add(case.id)
                elif case.id not in told:
                    say(visit_line(progress.counter, case.id, progress.remaining))
                told.add(case.id)
                if waiting_for and (sweep.elapsed >= EARLY or all(map(sweep.has_figure, waiting_for))):
                    self._say_so_far(waiting_for, say)
                    waiting_for = []
            else:
                self.complete = True
                self._look_at_ceilings_again([case for case in cases if case.id not in journal.entries.failed])
        finally:
            self._record_throttling()
            self._wall_time = sweep.elapsed
            self.environment |= sweep.about_states(self.environment.get("claimed_shared_cache"))
            for case in cases:
                figures = sweep.figures(case)
                if figures is None:
                    continue
                self.figures[case.id] = figures
                if self.complete and isinstance(figures, Record) and case.id not in finished:
                    say(progress_line(progress.finish(), figures.facts, math.inf))

    def trace(self, cases: Sequence[Case | Pair], say: Say) -> None:
        """Look at what runs in the cases that reports explain, in a fresh process, and keep it with their figures.

        Of each in the machine's state that its figures are of, if that comes again in time.
        """
        sweep = self.sweep
        assert sweep is not None
        if not self.complete or self.profile.cold:  # traced calls are warm
            return
        waiting = {name: case for name, case in self.profile.explained(cases).items() if name in self.facts}
        if not waiting:
            return
        self._count_energy(waiting, say)
        self.supervisor.close()
        self.supervisor.look()  # and a fresh process is there
        start = time.monotonic()
        number, done, failed = len(waiting), set[str](), list[str]()
        for _ in range(TRACE_TRIES):
            for name, case in list(waiting.items()):
                if time.monotonic() - start > TRACE_TIME * self.profile.sweep_time:
                    break
                found = self.supervisor.trace(case)
                if isinstance(found, Failed):
                    failed.append(f"what runs in {name} cannot be told: {found.reason}")
                    del waiting[name]
                    continue
                facts = self.facts[name]
                state = sweep.state_of_messages(cast("list[tuple[float, float]]", found.pop("traced_messages")))
                as_measured = facts.get("state") in (state, MIXED)
                if as_measured or name not in done:
                    facts.update({"traced_call": facts["latency_p50"], **found, "traced_state": state})
                    facts.update(launching(facts))
                done.add(name)
                if as_measured:
                    del waiting[name]
        took = duration(time.monotonic() - start)
        say(f"what runs in a call: looked at {len(done)} of {number} cases in {took} min")
        for line in failed:
            say(line, red=True)

    def _count_energy(self, cases: Mapping[str, Case], say: Say) -> None:
        """Joules a call of networks in plain code, where a device counts them."""
        for name, case in cases.items():
            facts, conditions = self.facts[name], case.conditions
            if conditions.on.is_host or not (case.workload.is_profiled and conditions.how.is_plain):
                continue
            found = self.supervisor.energy(case)
            if isinstance(found, Failed):
                say(f"what energy {name} takes cannot be told: {found.reason}", red=True)
            else:
                facts.update(found)

    def _remaining(self) -> float:
        """Seconds until the sweep is over, at most; infinite where each case has its own time only."""
        return self.profile.sweep_time - self.sweep.elapsed if self.sweep else math.inf

    def _say_so_far(self, cases: Sequence[Case | Pair], say: Say) -> None:
        """The verdict as far as it is known: everything after it only makes intervals narrower."""
        assert self.sweep is not None
        found = [figures.facts for case in cases if isinstance(figures := self.sweep.figures(case), Record)]
        if found:
            say(f"so far, after {duration(self.sweep.elapsed)} min:")
            say(verdict_text(results.from_facts(found, self.environment)))

    def _look_at_ceilings_again(self, cases: Sequence[Case | Pair]) -> None:
        """Measure the ceilings once more after the last case, and keep the higher ones.

        A machine that was busy for the seconds before the first case would otherwise seem slower than its own layers.
        """
        with suppress(SupervisorError):  # the first ones stay
            again = self._ceilings(cases)
            self.environment["ceilings"] = better_of(self.environment.get("ceilings", []), again)

    def _record_throttling(self) -> None:
        """Keep how often the kernel stopped this process for its quota since the first case."""
        found = self._quotas.since(self._counted)
        self.environment |= facts(found)
        self._throttled = verdict(found, self.environment["threads"]) or ""
        self.environment |= {"throttling": self._throttled} if self._throttled else {}

    @property
    def facts(self) -> dict[str, Facts]:
        """Facts of the cases that could be measured, by their ids."""
        return {name: one.facts for name, one in self.figures.items() if isinstance(one, Record)}

    def header(self, folder: Path) -> list[str]:
        """What is said before the first case; `folder` is where the results go."""
        machine, threads = self.environment["machine"], self.environment["threads"]
        about = f"mnv1: profile {self.environment['profile']} on {machine}, {threads} threads"
        lines = [about, *(f"warning: {warning}" for warning in self._warnings)]
        if self.journal:
            lines.append(f"resuming {self.journal.path.name}: {self._how_far(self.journal)}")
        else:
            waiting = [path for path in interrupted(folder) if not is_running(path)]
            lines += [
                f"note: {path} is an interrupted sweep: continue it with --resume, or delete it" for path in waiting
            ]
        return lines

    def closing(self) -> list[str]:
        """What is said after the last case: the verdict, failed cases, and whether anything is left to do."""
        if not (self.journal and self.sweep):
            return []
        lines, found = [], self.facts
        if found:
            share = percent(self.sweep.call_time / self._wall_time)
            lines = [
                verdict_text(results.from_facts(found.values(), self.environment)),
                f"{duration(self._wall_time)} min, {share} of it in calls that were timed",
            ]
        lines += self._about_states()
        lines += [f"warning: {self._throttled}"] if self._throttled else []
        lines += [f"failed: {case_id}: {reason}" for case_id, reason in self.journal.entries.failed.items()]
        if not self.complete:
            lines.append(f"interrupted: {self._how_far(self.journal)}; continue with: pytest benchmarks --resume")
        return lines

    def _about_states(self) -> list[str]:
        """Which states the machine was in, if in several, and how many cases have no figure of each."""
        assert self.sweep is not None
        states = self.environment.get("states", [])
        if len(states) < 2:
            return []
        lacking = [
            f"{number} of {len(self.figures)} cases have too few rounds of the state “{state}” for a figure of it"
            for state, number in self.sweep.lacking().items()
            if number
        ]
        return [f"states of the machine: {results.states_text(states)}", *lacking]

    @staticmethod
    def _how_far(journal: Journal) -> str:
        visits = journal.entries.visits
        number = sum(map(len, visits.values()))
        return f"{number} visits to {len(visits)} of {len(journal.header['cases'])} cases are kept"

    def summary(self) -> Facts:
        """What is stored of the run as a whole."""
        assert self.sweep is not None
        assert self.journal is not None
        return {
            "wall_time": self._wall_time,
            "call_time": self.sweep.call_time,
            "failed": dict(self.journal.entries.failed),
        }
