"""When a sweep visits what, and what it keeps: a made-up measuring process and clock."""

import math
from dataclasses import replace

import pytest

from mnv1.cases import Case, Conditions, Network, Pair
from mnv1.measure.facts import Record
from mnv1.measure.messages import Failed
from mnv1.measure.timing import Visit
from mnv1.suite.journal import Journal
from mnv1.suite.profiles import PROFILES
from mnv1.suite.sweep import MAX_STRIDE, Sweep, unlike

CPU = Conditions(1, "cpu", "fp32")
CASE = Case(Network("separable", 1.0, 224), CPU)
PAIR = Pair(Case(Network("standard", 1.0, 224), CPU), CASE)
PROFILE = PROFILES["default"]


class FakeSupervisor:
    """Each visit takes `seconds`; speedups scatter, so that they are never precise."""

    def __init__(self, seconds=0.1, disturbed=False, fails=()):
        self.seconds, self.disturbed, self.fails = seconds, disturbed, fails
        self.now = 0.0
        self.asked = []

    def visit(self, case, policy, earlier):
        assert policy == PROFILE.policy_for(case)
        self.now += self.seconds
        self.asked.append((case.id, earlier))
        if case.id in self.fails:
            return Failed("out of memory")
        if isinstance(case, Pair):
            sides = ((0.04 + 0.02 * (len(self.asked) % 2),), (0.01,))
            return Visit(sides, (self.disturbed,), (1, 1), self.seconds, "time budget")
        return Visit(
            ((0.01,) * 6,), (self.disturbed,) * 6, (1,), self.seconds, "disturbed" if self.disturbed else "precise"
        )


@pytest.fixture
def begun(tmp_path):
    """A sweep over a new journal: `begun(supervisor)`; over the same one again once it is closed: `begun(…, True)`."""
    journals = []

    def begin(supervisor, again=False):
        if journals:
            journals[-1].close(complete=False)
        journal = Journal.resume(tmp_path) if again else Journal.begin(tmp_path, {"cases": [CASE.id, PAIR.id]})
        journals.append(journal)
        return Sweep(PROFILE, supervisor, journal, lambda: supervisor.now)

    yield begin
    journals[-1].close(complete=True)


def test_a_latency_takes_one_visit(begun):
    sweep = begun(FakeSupervisor())
    assert isinstance(sweep.advance(CASE), Record)
    assert sweep.visits(CASE) == 1


def test_a_speedup_is_visited_until_its_time_is_spent(begun):
    supervisor = FakeSupervisor()
    sweep = begun(supervisor)
    record = None
    while record is None:
        record = sweep.advance(PAIR)
    assert sweep.call_time == pytest.approx(PROFILE.budgets["model"].pair, abs=0.2)
    first = supervisor.asked[0][1], supervisor.asked[1][1]
    assert first[0] is None
    assert first[1].calls == (1, 1)  # later visits know the first


def test_a_sweep_whose_time_is_spent_takes_no_more_visits_than_it_needs(begun):
    supervisor = FakeSupervisor()
    sweep = begun(supervisor)
    for _ in range(PROFILE.min_visits):
        assert sweep.advance(PAIR) is None
    supervisor.now = PROFILE.sweep_time
    assert sweep.advance(PAIR).facts["visits"] == PROFILE.min_visits
    assert len(supervisor.asked) == PROFILE.min_visits


def test_a_speedup_of_long_calls_is_left_out_of_some_passes_but_never_for_long(begun):
    for seconds, visits in ((0.1, 40), (1.0, math.ceil(40 / 3)), (60.0, 40 // MAX_STRIDE)):
        supervisor = FakeSupervisor(seconds)
        sweep = begun(supervisor)
        supervisor.now = -1e6  # the sweep's time is never spent
        for _ in range(40):
            if sweep.advance(PAIR) is not None:
                break
        assert len(supervisor.asked) == pytest.approx(min(visits, PROFILE.budgets["model"].pair / seconds + 5), abs=1)


def test_a_disturbed_latency_is_not_taken_anew_where_the_machine_is_hardly_ever_quiet(begun):
    sweep = begun(FakeSupervisor(disturbed=True))
    assert sweep.advance(CASE).facts["stopped"] == "disturbed"
    assert sweep.visits(CASE) == 1


def test_a_failed_case_is_kept_and_not_tried_again(begun):
    supervisor = FakeSupervisor(fails={CASE.id})
    assert begun(supervisor).advance(CASE) == Failed("out of memory")
    assert begun(supervisor, again=True).advance(CASE) == Failed("out of memory")
    assert len(supervisor.asked) == 1


def test_what_was_sampled_before_an_interruption_is_not_sampled_again(begun):
    supervisor = FakeSupervisor()
    sweep = begun(supervisor)
    before = sweep.advance(CASE)
    for _ in range(3):
        sweep.advance(PAIR)
    supervisor.now += 3600  # overnight
    sweep = begun(supervisor, again=True)
    assert sweep.advance(CASE) == before
    assert sweep.visits(PAIR) == 3
    assert len(supervisor.asked) == 4
    assert sweep.elapsed == pytest.approx(0.4)  # the night does not count


def test_the_share_that_is_done(begun):
    supervisor = FakeSupervisor()
    sweep = begun(supervisor)
    assert sweep.share(PAIR) == 0
    sweep.advance(PAIR)
    assert sweep.share(PAIR) == pytest.approx(0.1 / PROFILE.budgets["model"].pair)
    supervisor.now = PROFILE.sweep_time / 2
    assert sweep.share(PAIR) == pytest.approx(0.5)


PAIRS = [
    Pair(*(Case(Network(kind, alpha, 224), CPU) for kind in ("standard", "separable"))) for alpha in (1.0, 0.75, 0.5)
]
LATENCIES = [
    Case(Network(kind, alpha, 224), CPU)
    for kind in ("standard", "separable", "shallow")
    for alpha in (1.0, 0.75, 0.5, 0.25)
]
LETTERS = {case.id: letter for case, letter in zip(PAIRS + LATENCIES, "ABCabcdefghijkl", strict=True)}
"""Capitals are speedups."""


class Dearer(FakeSupervisor):
    """A is dear, so that it is left out of passes; the latency d fails, and the first visit to f is disturbed."""

    def visit(self, case, policy, earlier):
        letter = LETTERS[case.id]
        before, self.seconds = self.now, {"A": 0.9, "C": 0.05, "d": 0.01}.get(letter, 0.1)
        self.disturbed = letter == "f" and not earlier
        self.fails = {case.id} if letter == "d" else set()
        visit = super().visit(case, policy, earlier)
        assert self.now > before
        return visit


@pytest.mark.parametrize(
    ("sweep_time", "visits", "over"),
    [
        (5.0, "ABCabBCcBCdABCefgBCfhBCiABCjklBA", "abcdegfhijklCBA"),
        (20.0, "ABCaBCbBCcABCdBCeBCfABCgBCfBChABCiBCjBCkClCCCCCCCCCCC", "abcdegfhAijBklC"),
    ],
)
def test_the_order_of_the_visits(begun, monkeypatch, sweep_time, visits, over):
    monkeypatch.setattr("tests.suite.test_sweep_plan.PROFILE", replace(PROFILES["smoke"], sweep_time=sweep_time))
    supervisor = Dearer()
    cases = LATENCIES[:6] + PAIRS + LATENCIES[6:]
    again = []
    finished = list(begun(supervisor).run(cases, lambda case: again.append(LETTERS[case.id])))
    told = "".join(LETTERS[case_id] for case_id, _ in supervisor.asked)
    assert told == visits
    assert "".join(LETTERS[case.id] for case, _ in finished) == over  # each once
    assert [case.id for case, figures in finished if isinstance(figures, Failed)] == [LATENCIES[3].id]
    assert len(finished) + len(again) >= len(visits)  # a dear speedup's turn may pass without a visit


def test_a_sweep_that_its_consumer_ends_goes_on_later(begun):
    supervisor = FakeSupervisor(fails={CASE.id})
    other = Case(Network("shallow", 1.0, 224), CPU)
    cases = [CASE, other, PAIR]
    ended = next(iter(begun(supervisor).run(cases)))
    assert ended == (CASE, Failed("out of memory"))
    assert len(supervisor.asked) == 2  # the speedup, and the case that failed
    finished = list(begun(supervisor, again=True).run(cases))
    assert [case for case, _ in finished] == [CASE, other, PAIR]
    assert [case_id for case_id, _ in supervisor.asked].count(CASE.id) == 1


def test_what_is_unlike_is_named():
    assert unlike([("machine", "a"), ("threads", 2)], {"machine": "b", "threads": 2}) == ["machine"]
