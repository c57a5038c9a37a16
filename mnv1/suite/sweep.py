"""A sweep: which case is visited when, and when it is over. Needs neither torch nor pytest."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby

from mnv1.base.facts import Facts
from mnv1.cases import Case, Pair
from mnv1.measure.by_state import by_state, is_precise
from mnv1.measure.facts import Record, record
from mnv1.measure.messages import Failed
from mnv1.measure.states import State, about_states, find_states, state_of
from mnv1.measure.supervisor import Supervisor
from mnv1.measure.timing import Policy, Stopped, Visit
from mnv1.suite.journal import Journal
from mnv1.suite.profiles import Profile

LONG_LATENCY = 0.25
"""Seconds of a visit beyond which a latency gets figures of the state with the nearest CPUs first."""

OFTEN = 0.05
"""Share of all rounds above which a state was there long enough to wait for figures of it."""

UNKNOWN = ""
"""Stands for the state where none can be told: messages cannot be read, or it is on a change."""


@dataclass
class _Kept:
    """What a sweep keeps of a case between its visits."""

    case: Case | Pair
    policy: Policy
    is_first: bool
    """Whether it answers the suite's question, so that it should have a figure early."""
    weight: float
    visits: list[Visit] = field(default_factory=list)
    rounds: dict[str, int] = field(default_factory=dict)
    """By state."""
    times: dict[str, int] = field(default_factory=dict)
    """How often it was visited in each state."""
    spent: float = 0.0
    """Seconds of all its calls."""
    cost: float = 0.0
    """Seconds of its last visit, warm-up and copies included."""
    is_precise: bool = False

    def add(self, visit: Visit, state: str, wall: float) -> None:
        """Keep a visit that was made in a state and took `wall` seconds in all."""
        self.cost = wall if self.visits else sum(visit.seconds)  # the first one took much that others do not
        self.visits.append(visit)
        self.rounds[state] = self.rounds.get(state, 0) + len(visit.sides[0])
        self.times[state] = self.times.get(state, 0) + 1
        self.spent += visit.call_time

    def lacks(self, state: str) -> bool:
        """Whether it has no figure of this state yet."""
        return not self.policy.is_enough(self.times.get(state, 0), self.rounds.get(state, 0))

    @property
    def is_long_latency(self) -> bool:
        """Whether it is a latency of long calls: dear, and hardly different from one state to the other."""
        return len(self.case.sides) == 1 and self.cost > LONG_LATENCY

    def urgency(self, state: str, is_nearest: bool) -> tuple[float, ...]:
        """The case with the lowest is visited next: first what lacks a figure, and of that what answers the question.

        What all have is refined where a visit tells most for its time: an interval narrows with the root of the number
        of visits, so that their number goes with the inverse root of what one costs.
        """
        visits = self.times.get(state, 0)
        if self.lacks(state) and (is_nearest or not self.visits or not self.is_long_latency):
            return (not self.is_first, visits / self.policy.enough_visits)
        return (2.0, visits * math.sqrt(self.cost) / self.weight)


class Sweep:
    """Visits cases until each has its figures, and keeps every visit in the journal before the next begins.

    `own` is the interpreter's share of what a message between CPUs takes, seconds. `now` is a clock in seconds.
    """

    def __init__(
        self,
        profile: Profile,
        supervisor: Supervisor,
        journal: Journal,
        now: Callable[[], float],
        own: float = 0.0,
    ) -> None:
        self._profile, self._supervisor, self._journal, self._now, self._own = profile, supervisor, journal, now, own
        self._start = now() - self.call_time
        self._kept: dict[str, _Kept] = {}
        self._messages: list[float] = []
        self.states: list[State] = []
        """What the machine was in so far."""

    @property
    def call_time(self) -> float:
        """Seconds that calls of the cases took so far, warm-up included, in this process and before it."""
        return sum(visit.call_time for visits in self._journal.entries.visits.values() for visit in visits)

    @property
    def elapsed(self) -> float:
        """Seconds since the sweep began; what was measured before an interruption counts as its calls took."""
        return self._now() - self._start

    def run(self, cases: Sequence[Case | Pair]) -> Iterator[Case | Pair]:
        """Visit the cases until all are over, or the time is. Yields each whenever it was visited.

        Raises `mnv1.suite.journal.JournalError` when a visit cannot be kept.
        """
        entries = self._journal.entries
        first = self._profile.first(cases)
        for case in cases:
            kept = _Kept(case, self._profile.policy_for(case), case.id in first, self._profile.weight_of(case))
            self._kept[case.id] = kept
            for visit in entries.visits.get(case.id, []):
                self._learn(visit)
                kept.add(visit, self._state_of(visit), visit.call_time)
        state = self._now_in()
        met: set[str] = set()
        while waiting := [one for one in self._kept.values() if not self._is_over(one)]:
            chosen = min(waiting, key=partial(self._urgency, state))
            before = self._now()
            earlier = chosen.visits[0] if chosen.visits else None
            visited = self._supervisor.visit(chosen.case, chosen.policy, earlier)
            if isinstance(visited, Failed):
                self._journal.failed(chosen.case.id, visited.reason)
                entries.failed[chosen.case.id] = visited.reason
            else:
                visited = replace(visited, at=round(before - self._start, 2))
                self._journal.visited(chosen.case.id, visited)
                entries.visits.setdefault(chosen.case.id, []).append(visited)
                self._learn(visited)
                chosen.add(visited, self._state_of(visited), self._now() - before)
                state = self._now_in(visited) or state
                often = {one.name for one in self._met()}
                for one in [chosen] if often == met else self._kept.values():  # another state: all lack it
                    one.is_precise = self._is_precise(one)
                met = often
            yield chosen.case

    def _urgency(self, state: str, kept: _Kept) -> tuple[float, ...]:
        if not kept.case.conditions.on.is_host:
            return kept.urgency(UNKNOWN, True)
        return kept.urgency(state, not self.states or state == self.states[0].name)

    def _is_over(self, kept: _Kept) -> bool:
        """Whether a case is not visited any more."""
        if kept.case.id in self._journal.entries.failed:
            return True
        if len(kept.visits) < kept.policy.min_visits:
            return False
        return kept.is_precise or kept.spent >= kept.policy.max_time or self.elapsed >= self._profile.sweep_time

    def is_finished(self, case: Case | Pair) -> bool:
        """Whether a case has its figures, or a reason why it has none, and is not visited any more."""
        return case.id in self._kept and self._is_over(self._kept[case.id])

    def figures(self, case: Case | Pair) -> Record | Failed | None:
        """The figures of a case from its visits so far, or why it has none; None where there are too few."""
        entries = self._journal.entries
        if case.id in entries.failed:
            return Failed(entries.failed[case.id])
        kept = self._kept.get(case.id)
        if kept is None or len(kept.visits) < kept.policy.min_visits:
            return None
        stopped: Stopped = "precise" if self._is_precise(kept) else "time budget"
        if not self._is_over(kept):
            stopped = "interrupted"
        return record(case, kept.visits, stopped, kept.policy, self._states_for(case))

    def has_failed(self, case: Case | Pair) -> bool:
        """Whether a case has a reason why it has no figures."""
        return case.id in self._journal.entries.failed

    def has_figure(self, case: Case | Pair) -> bool:
        """Whether a case has failed, or has enough rounds of a state of the machine for a figure of it."""
        kept = self._kept[case.id]
        return case.id in self._journal.entries.failed or not all(map(kept.lacks, kept.rounds or {UNKNOWN: 0}))

    def _is_precise(self, kept: _Kept) -> bool:
        """By the states that the machine was in often enough that the case could be visited in them."""
        met = self._met() if kept.case.conditions.on.is_host else []
        return len(kept.visits) >= kept.policy.min_visits and is_precise(kept.case, kept.visits, kept.policy, met)

    def _states_for(self, case: Case | Pair) -> list[State]:
        return self.states if case.conditions.on.is_host else []

    def visits(self, case: Case | Pair) -> int:
        """How often a case was visited so far."""
        return len(self._journal.entries.visits.get(case.id, ()))

    # States.

    def _learn(self, visit: Visit) -> None:
        if visit.messages:
            self._messages += [seconds for around, _ in groupby(visit.messages) for seconds in around]
            self.states = find_states(self._messages, self._own)

    def _state_of(self, visit: Visit) -> str:
        """The state of most of its rounds."""
        return self.state_of_messages(visit.messages, len(visit.sides[0]))

    def state_of_messages(self, messages: Sequence[tuple[float, float]], rounds: int | None = None) -> str:
        """The state in which more than half of some rounds were, by the messages around each."""
        found = [state_of(self.states, around) for around in messages]
        names = [one.name for one in found if one]
        several = 2 * len(names) > (len(messages) if rounds is None else rounds)
        return max(set(names), key=names.count) if several else UNKNOWN

    def _now_in(self, visit: Visit | None = None) -> str:
        """The state that the machine was in at the end of a visit, or is in now."""
        last = visit.messages[-1] if visit and visit.messages else None
        if last is None:
            seconds = self._supervisor.look() if visit is None else None
            last = (seconds, seconds) if seconds is not None else None
        found = state_of(self.states, last) if last else None
        return found.name if found else UNKNOWN

    def _seconds(self) -> dict[str, float]:
        """Seconds of rounds in each state, by name; on changes by no name."""
        found: dict[str, float] = {}
        for kept in self._kept.values():
            for visit in kept.visits:
                for around, seconds in zip(visit.messages, visit.seconds, strict=False):  # or no messages at all
                    state = state_of(self.states, around)
                    name = state.name if state else UNKNOWN
                    found[name] = found.get(name, 0.0) + seconds
        return found

    def _met(self) -> list[State]:
        """The states that were there long enough for figures of them."""
        rounds = {one.name: sum(kept.rounds.get(one.name, 0) for kept in self._kept.values()) for one in self.states}
        return [one for one in self.states if rounds[one.name] >= OFTEN * sum(rounds.values())]

    def about_states(self, claimed: bool | None) -> Facts:
        """What the environment of the run says of the states: see `mnv1.measure.states.about_states`."""
        return about_states(self.states, self._seconds(), claimed)

    def lacking(self) -> dict[str, int]:
        """By each state that was met, how many cases have no figure of it."""
        cases = [one for one in self._kept.values() if one.case.conditions.on.is_host and one.visits]
        return {
            state.name: sum(
                not any(found.carries(one.policy) for found in by_state(one.visits, [state])) for one in cases
            )
            for state in self.states
        }


def unlike(stored: Sequence[tuple[str, object]], current: dict[str, object]) -> list[str]:
    """Names of stored facts about the environment that are different now."""
    return [name for name, value in stored if current.get(name) != value]
