"""When a sweep visits what, and what it keeps: a made-up measuring process and clock."""

import random
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import pytest

from mnv1.cases import Block, Case, Conditions, Network, Pair
from mnv1.measure.facts import Record
from mnv1.measure.messages import Failed
from mnv1.measure.states import APART, SHARED
from mnv1.measure.timing import Visit
from mnv1.suite.journal import Journal
from mnv1.suite.profiles import PROFILES
from mnv1.suite.run import Run
from mnv1.suite.sweep import Sweep, unlike

CPU = Conditions(1, "cpu", "fp32")
CUDA = Conditions(1, "cuda", "fp32")
CASE = Case(Network("separable", 1.0, 224), CPU)
PAIR = Pair(Case(Network("standard", 1.0, 224), CPU), CASE)
SMALL = Pair(*(Case(Network(kind, 0.25, 224), CPU) for kind in ("standard", "separable")))
OTHERS = [Case(Network(kind, 0.5, 224), CPU) for kind in ("standard", "separable", "shallow")]
CASES = [CASE, *OTHERS, PAIR, SMALL]

MESSAGES = {SHARED: 115e-9, APART: 290e-9, None: None}


class FakeSupervisor:
    """Each visit takes `seconds`; figures scatter, so that they are never precise unless they are `steady`.

    The machine is in the state that `state_at` gives for a time.
    """

    def __init__(self, seconds=0.1, fails=(), state_at=lambda _: SHARED, steady=False, rounds=5):
        self.seconds, self.fails, self.state_at, self.steady, self.rounds = seconds, fails, state_at, steady, rounds
        self.now = 0.0
        self.asked = []
        self.random = random.Random(0)

    def look(self):
        return MESSAGES[self.state_at(self.now)]

    def visit(self, case, _policy, earlier):
        state = self.state_at(self.now)
        self.now += self.seconds
        self.asked.append((case.id, earlier, state))
        if case.id in self.fails:
            return Failed("out of memory")
        times = tuple(0.01 if self.steady else 0.01 * self.random.lognormvariate(0, 0.5) for _ in range(self.rounds))
        sides = (times, (0.01,) * self.rounds) if isinstance(case, Pair) else (times,)
        message = MESSAGES[state] if case.conditions.on.is_host else None
        read = [message * self.random.lognormvariate(0, 0.05) for _ in range(2)] if message else []
        around = ((min(read), max(read)),) * self.rounds if read else ()
        return Visit(sides, (1,) * len(sides), self.seconds, messages=around)


@pytest.fixture
def begun(tmp_path):
    """A sweep over a new journal: `begun(supervisor)`; over the same one again once it is closed: `begun(…, True)`."""
    journals = []

    def begin(supervisor, again=False, **profile):
        if journals:
            journals[-1].close(complete=False)
        journal = Journal.resume(tmp_path) if again else Journal.begin(tmp_path, {"cases": [CASE.id, PAIR.id]})
        journals.append(journal)
        changed = replace(PROFILES["default"], **{"sweep_time": 60.0, **profile})
        return Sweep(changed, supervisor, journal, lambda: supervisor.now, 80e-9)

    yield begin
    journals[-1].close(complete=True)


def ids(supervisor):
    return [name for name, *_ in supervisor.asked]


def test_a_sweep_takes_its_time_and_every_case_has_its_figures(begun):
    supervisor = FakeSupervisor()
    sweep = begun(supervisor)
    assert {case.id for case in sweep.run(CASES)} == {case.id for case in CASES}
    assert supervisor.now == pytest.approx(60.0, abs=0.2)
    assert all(isinstance(sweep.figures(case), Record) for case in CASES)
    assert sweep.figures(PAIR).facts["stopped"] == "time budget"
    first, second = [earlier for name, earlier, _ in supervisor.asked if name == PAIR.id][:2]
    assert first is None
    assert second.calls == (1, 1)  # later visits know the first


def test_what_answers_the_question_has_a_figure_first(begun):
    supervisor = FakeSupervisor()
    sweep = begun(supervisor)
    for _ in sweep.run(CASES):
        if sweep.has_figure(PAIR):
            break
    assert set(ids(supervisor)) == {PAIR.id}  # the largest network's speedup, not the smaller one's
    assert isinstance(sweep.figures(PAIR), Record)


def test_visits_to_a_case_are_spread_over_the_sweep(begun):
    supervisor = FakeSupervisor()
    list(begun(supervisor).run(CASES))
    for case in CASES:
        places = [place for place, name in enumerate(ids(supervisor)) if name == case.id]
        refined = places[len(places) // 4 :]
        assert max(after - before for before, after in pairwise(refined)) <= 3 * len(CASES)


def test_a_visit_that_costs_more_is_made_less_often_but_each_case_has_enough(begun):
    class Dear(FakeSupervisor):
        def visit(self, case, policy, earlier):
            self.seconds = 1.6 if case is OTHERS[0] else 0.1
            return super().visit(case, policy, earlier)

    supervisor = Dear()
    sweep = begun(supervisor)
    list(sweep.run(CASES))
    dear, cheap = sweep.visits(OTHERS[0]), sweep.visits(OTHERS[1])
    assert 4 <= dear < cheap
    assert cheap / dear == pytest.approx(4, rel=0.3)  # the root of what it costs
    assert sweep.visits(SMALL) == pytest.approx(3 * cheap, rel=0.3)  # a speedup counts more


def test_a_latency_of_long_calls_has_figures_of_the_state_with_the_nearest_cpus_first(begun):
    class Dear(FakeSupervisor):
        def visit(self, case, policy, earlier):
            self.seconds = 0.8 if case is OTHERS[0] else 0.1
            return super().visit(case, policy, earlier)

    supervisor = Dear(state_at=lambda now: SHARED if now < 20 or now > 40 else APART, rounds=1)
    list(begun(supervisor).run(CASES))
    met = [state for name, _, state in supervisor.asked if name == OTHERS[0].id]
    assert met.count(SHARED) > met.count(APART)
    assert [state for name, _, state in supervisor.asked if name == OTHERS[1].id].count(APART) >= 6


def test_what_the_first_visit_takes_beside_its_rounds_makes_no_long_latency(begun):
    class Slow(FakeSupervisor):
        def visit(self, case, policy, earlier):
            self.seconds = 0.1 if earlier else 2.0  # to build, to check, and what is measured beside
            return super().visit(case, policy, earlier)

    # The nearest state is met, but not when a latency is visited for the first time.
    supervisor = Slow(state_at=lambda now: SHARED if now < 3 else APART)
    sweep = begun(supervisor, sweep_time=15.0)
    list(sweep.run([PAIR, SMALL, CASE]))
    latency = [place for place, (name, *_) in enumerate(supervisor.asked) if name == CASE.id]
    small = [place for place, (name, *_) in enumerate(supervisor.asked) if name == SMALL.id]
    assert latency[3] < small[8]  # it has a figure before others are refined


def test_each_state_that_is_met_gets_its_figures(begun):
    supervisor = FakeSupervisor(state_at=lambda now: SHARED if now % 20 < 12 else APART)
    sweep = begun(supervisor)
    list(sweep.run(CASES))
    assert [one.name for one in sweep.states] == [SHARED, APART]
    assert sweep.lacking() == {SHARED: 0, APART: 0}
    for case in CASES:
        facts = sweep.figures(case).facts
        assert [one["state"] for one in facts["states"]] == [SHARED, APART]
        assert facts["state"] == SHARED
    about = sweep.about_states(True)
    assert [one["share"] for one in about["states"]] == [pytest.approx(0.6, abs=0.02), pytest.approx(0.4, abs=0.02)]
    assert "state_note" in about


def test_a_state_that_comes_late_is_chased(begun):
    supervisor = FakeSupervisor(state_at=lambda now: SHARED if now < 50 else APART)
    sweep = begun(supervisor)
    list(sweep.run(CASES))
    assert sweep.lacking() == {SHARED: 0, APART: 0}


def test_a_state_that_does_not_come_back_is_not_waited_for(begun):
    supervisor = FakeSupervisor(state_at=lambda now: APART if 20 <= now < 20.5 else SHARED)
    sweep = begun(supervisor)
    list(sweep.run(CASES))
    assert supervisor.now == pytest.approx(60.0, abs=0.2)
    assert sweep.lacking() == {SHARED: 0, APART: len(CASES)}


def test_precise_cases_are_not_visited_again_and_the_sweep_ends_early(begun):
    supervisor = FakeSupervisor(steady=True)
    sweep = begun(supervisor)
    list(sweep.run(CASES))
    assert supervisor.now < 20
    assert {sweep.figures(case).facts["stopped"] for case in CASES} == {"precise"}


def test_a_precise_case_is_visited_again_when_another_state_comes(begun):
    supervisor = FakeSupervisor(steady=True, state_at=lambda now: SHARED if now < 5 else APART)
    sweep = begun(supervisor)
    list(sweep.run(CASES))
    assert sweep.lacking() == {SHARED: 0, APART: 0}


def test_a_case_whose_own_time_is_spent_is_over(begun):
    supervisor = FakeSupervisor(seconds=25.0)
    sweep = begun(supervisor, sweep_time=float("inf"))
    list(sweep.run([CASE, PAIR]))
    assert (sweep.visits(CASE), sweep.visits(PAIR)) == (4, 4)  # the fewest, of 40 and 90 seconds
    assert sweep.is_finished(CASE)


def test_a_sweep_whose_time_is_spent_takes_no_more_visits_than_it_needs(begun):
    supervisor = FakeSupervisor(seconds=1000.0)
    sweep = begun(supervisor)
    list(sweep.run([CASE, PAIR]))
    assert (sweep.visits(CASE), sweep.visits(PAIR)) == (4, 4)


def test_on_a_machine_that_cannot_be_read_all_rounds_are_of_one_kind(begun):
    supervisor = FakeSupervisor(state_at=lambda _: None)
    sweep = begun(supervisor)
    list(sweep.run(CASES))
    assert sweep.states == []
    assert (sweep.about_states(None), sweep.figures(CASE).facts["state"]) == ({}, "")


def test_cases_on_another_device_have_no_state_and_their_share_of_the_time(begun):
    elsewhere = Case(Network("separable", 1.0, 224), CUDA)
    supervisor = FakeSupervisor(state_at=lambda now: SHARED if now % 20 < 12 else APART)
    sweep = begun(supervisor)
    list(sweep.run([CASE, elsewhere]))
    assert sweep.figures(elsewhere).facts["state"] == ""
    assert 0.2 < sweep.visits(elsewhere) / len(supervisor.asked) < 0.8
    assert sweep.lacking() == {SHARED: 0, APART: 0}


def test_a_failed_case_is_kept_and_not_tried_again(begun):
    supervisor = FakeSupervisor(fails={CASE.id})
    sweep = begun(supervisor)
    assert next(iter(sweep.run([CASE]))) == CASE
    assert sweep.figures(CASE) == Failed("out of memory")
    sweep = begun(supervisor, again=True)
    assert list(sweep.run([CASE])) == []
    assert sweep.figures(CASE) == Failed("out of memory")
    assert len(supervisor.asked) == 1


def test_what_was_sampled_before_an_interruption_is_not_sampled_again(begun):
    supervisor = FakeSupervisor()
    running = begun(supervisor).run([PAIR])
    for _ in range(7):
        next(running)
    supervisor.now += 3600  # overnight
    sweep = begun(supervisor, again=True)
    assert sweep.elapsed == pytest.approx(0.7)  # the night does not count
    next(sweep.run([PAIR]))
    assert sweep.visits(PAIR) == 8
    assert sweep.figures(PAIR).facts["stopped"] == "interrupted"


def test_too_few_visits_are_no_figure(begun):
    supervisor = FakeSupervisor()
    sweep = begun(supervisor)
    next(sweep.run([PAIR]))
    assert sweep.figures(PAIR) is None


def test_what_is_unlike_is_named():
    assert unlike([("machine", "a"), ("threads", 2)], {"machine": "b", "threads": 2}) == ["machine"]


def test_energy_is_counted_of_networks_in_plain_code_on_an_accelerator():
    asked, told = [], []

    def energy(case):
        asked.append(case.id)
        return Failed("no counter") if case.conditions.batch_size == 8 else {"energy": 0.5}

    def on_cuda(**how):
        return Case(Network("separable", 1.0, 224), replace(CUDA, **how))

    cases = [CASE, on_cuda(), on_cuda(batch_size=8), on_cuda(precision="fp16"), on_cuda(mode="graph")]
    cases.append(Case(Block("separable", 64, 128, 2, 112), CUDA))
    run = SimpleNamespace(supervisor=SimpleNamespace(energy=energy), facts={case.id: {} for case in cases})
    Run._count_energy(run, {case.id: case for case in cases}, lambda line, red: told.append((line, red)))
    assert asked == [cases[1].id, cases[2].id, cases[3].id]
    assert [name for name, facts in run.facts.items() if facts] == [cases[1].id, cases[3].id]
    assert told == [(f"what energy {cases[2].id} takes cannot be told: no counter", True)]


def test_of_an_accelerators_networks_all_are_looked_at_and_of_the_hosts_the_largest():
    shapes = [Network("separable", alpha, 224) for alpha in (1.0, 0.25)]
    cases = [Case(one, conditions) for one in shapes for conditions in (CPU, CUDA)]
    explained = PROFILES["default"].explained(cases)
    assert set(explained) == {cases[0].id, cases[1].id, cases[3].id}
    assert list(explained)[-1] == cases[3].id
