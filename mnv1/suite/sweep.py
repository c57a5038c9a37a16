"""A sweep: which case is visited when, and when it is over. Needs neither torch nor pytest."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from mnv1.cases import Case, Pair
from mnv1.measure.facts import Record, conclude, record
from mnv1.measure.messages import Failed
from mnv1.measure.quiet import Reading, usual
from mnv1.measure.supervisor import Supervisor
from mnv1.measure.timing import Stopped, Visit
from mnv1.suite.journal import Journal
from mnv1.suite.profiles import Profile

T = TypeVar("T")

PASSES = 40
"""Passes over the speedups among which the latencies are spread, so that visits to a speedup lie far apart."""

LATENCIES_END = 0.9
"""Share of the sweep's time by which all latencies should be finished."""

TURN_TIME = 0.4
"""Seconds of calls that a speedup may take in each pass on average; one that takes longer is visited less often."""

MAX_STRIDE = 8
"""The dearest speedup is visited in one of so many passes."""


class Sweep:
    """Visits cases until each has its figures, and keeps every visit in the journal before the next begins.

    `now` is a clock in seconds.
    """

    def __init__(self, profile: Profile, supervisor: Supervisor, journal: Journal, now: Callable[[], float]) -> None:
        self._profile, self._supervisor, self._journal, self._now = profile, supervisor, journal, now
        self._start = now() - self.call_time
        self._turns: Counter[str] = Counter()
        visits = [visit for visits in journal.entries.visits.values() for visit in visits]
        self._rounds = Counter(disturbed for visit in visits for disturbed in visit.disturbed)
        """Rounds so far, by whether the machine was disturbed."""
        self._readings = [reading for visit in visits for reading in visit.controls]

    @property
    def call_time(self) -> float:
        """Seconds that calls of the cases took so far, warm-up included, in this process and before it."""
        return sum(visit.call_time for visits in self._journal.entries.visits.values() for visit in visits)

    @property
    def elapsed(self) -> float:
        """Seconds since the sweep began; what was measured before an interruption counts as its calls took."""
        return self._now() - self._start

    def run(
        self, cases: Sequence[Case | Pair], visited: Callable[[Case | Pair], None] = lambda _: None
    ) -> Iterator[tuple[Case | Pair, Record | Failed]]:
        """Visit the cases until all are over. Yields each once, when it is over: its figures, or why it has none.

        Passes over the speedups, which come first, with latencies among them. `visited` is called after each visit to a
        case that is not over yet. Raises `mnv1.suite.journal.JournalError` when a visit cannot be kept.
        """
        queue = sorted(cases, key=lambda case: not isinstance(case, Pair))
        for position, case in enumerate(queue):  # which grows
            figures = self.advance(case)
            if figures is None:
                visited(case)
                place_again(queue, position, lambda one: isinstance(one, Pair), self._latencies_a_pass(cases))
            else:
                yield case, figures

    def _latencies_a_pass(self, cases: Sequence[Case | Pair]) -> int:
        over = {*self._journal.entries.finished, *self._journal.entries.failed}
        latencies = [case for case in cases if not isinstance(case, Pair)]
        waiting, finished = (
            [self._profile.expected_seconds(case) for case in latencies if (case.id in over) is done]
            for done in (False, True)
        )
        return latencies_a_pass(waiting, finished, self.elapsed / self._profile.sweep_time)

    def advance(self, case: Case | Pair) -> Record | Failed | None:
        """Visit a case, once, if it is its turn. Returns its figures, or why it has none; None when it is not over yet.

        A case that was finished before an interruption is not visited. Raises `mnv1.suite.journal.JournalError` when a
        visit cannot be kept.
        """
        entries, policy = self._journal.entries, self._profile.policy_for(case)
        if case.id in entries.failed:
            return Failed(entries.failed[case.id])
        visits = entries.visits.setdefault(case.id, [])
        if case.id not in entries.finished:
            hurry = self.elapsed >= self._profile.sweep_time
            if self._is_due(case, visits) and not (hurry and len(visits) >= policy.min_visits):
                visit = self._supervisor.visit(case, policy, visits[0] if visits else None)
                if isinstance(visit, Failed):
                    self._journal.failed(case.id, visit.reason)
                    entries.failed[case.id] = visit.reason
                    return visit
                self._journal.visited(case.id, visit)
                visits.append(visit)
                self._rounds.update(visit.disturbed)
                self._readings += visit.controls
            is_pair = isinstance(case, Pair)
            usually = self._usual if is_pair else ()
            stopped = conclude(case, visits, policy, hurry if is_pair else hurry or self._is_hardly_ever_quiet, usually)
            if stopped is None:
                return None
            self._journal.finished(case.id, stopped)
            entries.finished[case.id] = stopped
        stopped_as: Stopped = entries.finished[case.id]  # type: ignore[assignment]  # a journal holds text
        return record(case, visits, stopped_as, self._usual if isinstance(case, Pair) else ())

    def _is_due(self, case: Case | Pair, visits: Sequence[Visit]) -> bool:
        """Whether a case is visited in this pass: a speedup of long calls is left out of some, but never for long."""
        turn = self._turns[case.id]
        self._turns[case.id] += 1
        if not visits or not isinstance(case, Pair):
            return True
        return turn % min(MAX_STRIDE, math.ceil(visits[-1].call_time / TURN_TIME)) == 0

    @property
    def _is_hardly_ever_quiet(self) -> bool:
        """Whether waiting for an undisturbed machine is in vain."""
        return self._rounds[True] > self._rounds[False]

    @property
    def _usual(self) -> Reading:
        """What controls take on the undisturbed machine, from all that was read so far."""
        return usual(self._readings)

    def visits(self, case: Case | Pair) -> int:
        """How often a case was visited so far."""
        return len(self._journal.entries.visits.get(case.id, ()))

    def share(self, case: Case | Pair) -> float:
        """How much of its own time, or of the sweep's, a case has had."""
        spent = sum(visit.call_time for visit in self._journal.entries.visits.get(case.id, ()))
        return max(spent / self._profile.policy_for(case).max_time, self.elapsed / self._profile.sweep_time)


def latencies_a_pass(waiting: Sequence[float], finished: Sequence[float], elapsed: float) -> int:
    """How many of the waiting latencies follow a pass over the speedups.

    Both are given by their expected seconds, the waiting ones in their order; `elapsed` is the share of the sweep's
    time that is over. As much of their time as should be over by then is made up for, so that all are finished a little
    before the end.
    """
    due = (sum(waiting) + sum(finished)) * min(1.0, elapsed / LATENCIES_END) - sum(finished)
    number = 0
    for cost in waiting:
        if due <= 0:
            break
        due -= cost
        number += 1
    return max(1, -(-(len(waiting) + len(finished)) // PASSES), number)


def place_again(queue: list[T], current: int, is_pair: Callable[[T], bool], latencies: int) -> None:
    """Put the item at `current` into the queue once more: after the rest of this pass over the speedups, some
    latencies, and what already waits for the next pass.

    So latencies are spread among the passes, and visits to one speedup over the whole sweep.
    """
    place = current + 1
    while place < len(queue) and is_pair(queue[place]):
        place += 1
    end = min(place + latencies, len(queue))
    while place < end and not is_pair(queue[place]):
        place += 1
    while place < len(queue) and is_pair(queue[place]):
        place += 1
    queue.insert(place, queue[current])


def unlike(stored: Sequence[tuple[str, object]], current: dict[str, object]) -> list[str]:
    """Names of stored facts about the environment that are different now."""
    return [name for name, value in stored if current.get(name) != value]
