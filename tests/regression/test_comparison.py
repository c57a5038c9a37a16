"""A comparison with simulated processes: known times, no clock."""

import math
from contextlib import contextmanager

import pytest

from mnv1.regression.blocks import Blocks
from mnv1.regression.comparison import compare, output_difference
from mnv1.regression.pairs import WorkerDiedError, WorkerError
from mnv1.regression.verdicts import Rules
from tests.simulated_pairs import CASES, PLAN, Simulated, run

SOME = [20, pytest.param(60, marks=pytest.mark.slow)]


def test_identical_sides_pass():
    found, pairs = run()
    assert found.exit_status == 0
    assert {verdict.word for verdict in found.verdicts.values()} <= {"SAME", "UNDECIDED"}
    assert len(found.verdicts) == len(CASES)
    assert len(pairs) >= PLAN.first_pairs


def test_a_slowdown_is_confirmed_by_new_processes():
    found, pairs = run(slower={"case-3": 0.05})
    assert found.exit_status == 1
    assert found.regressions() == ["case-3"]
    assert found.verdicts["case-3"].effect.value == pytest.approx(0.05, abs=0.02)
    assert len(pairs) == PLAN.first_pairs + PLAN.second_pairs


def test_injected_work_is_found():
    found, _ = run(extra={"case-7": 0.10})
    assert found.verdicts["case-7"].word == "SLOWER"


def test_a_slowdown_of_everything_is_found_where_no_case_shows_it():
    found, pairs = run(slower=dict.fromkeys(CASES, 0.02), spread=0.005)
    assert found.words()["SLOWER"] == 0
    assert found.suite_slower
    assert found.exit_status == 1
    assert set(found.second) == set(CASES), "all cases are needed to confirm it"
    assert len(pairs) == PLAN.first_pairs + PLAN.second_pairs


def test_both_sides_get_the_same_calls_in_alternating_order():
    found, (first, *_) = run()
    samples = [(side, one["calls"]) for side, one in first.asked if one["case"] == "case-0" and one["do"] == "sample"]
    timed = [one for one in samples if one[1] == found.calls["case-0"]]
    assert [side for side, _ in timed[-16:]] == [
        *("base", "head", "head", "base", "head", "base", "base", "head") * 2,
    ]


def test_calls_are_found_on_base_once():
    found, pairs = run()
    assert found.calls["case-0"] == pytest.approx(PLAN.sample_time / 0.001, rel=0.25)
    single = [side for pair in pairs for side, one in pair.asked if one.get("calls") == 1]
    assert single
    assert set(single) == {"base"}
    assert not any(one.get("calls") == 1 for pair in pairs[1:] for _, one in pair.asked)


def test_what_is_deterministic_is_compared_exactly():
    found, _ = run(head_facts={"peak_memory": 2000})
    assert found.exact["case-0"] == {"peak_memory": (1000, 2000)}
    assert found.exit_status == 1
    less, _ = run(head_facts={"operators": 4})
    assert less.exact["case-0"] == {"operators": (5, 4)}
    assert less.exit_status == 0
    little, _ = run(head_facts={"peak_memory": 1005})
    assert little.exact["case-0"] == {"peak_memory": (1000, 1005)}, "a small change is shown all the same"
    assert little.exit_status == 0


def test_more_memory_counts_even_where_times_cannot_be_trusted():
    found, _ = run(head_facts={"peak_memory": 2000}, slower={"gemm": 0.05})
    assert found.unusable
    assert found.exit_status == 1


def test_outputs_that_differ_are_no_comparison():
    found, _ = run(head_facts={"output": [1.0, 2.5]})
    assert found.exit_status == 4
    assert found.wrong_outputs["case-0"] == pytest.approx(0.25)
    assert output_difference([1.0], [1.0, 2.0]) == math.inf
    assert output_difference([1.0], [math.nan]) == math.inf


def test_a_case_that_one_side_lacks_is_listed():
    found, _ = run(broken={("base", "case-5")})
    assert found.failed == {"case-5": "base: ValueError: no such block"}
    assert found.exit_status == 0
    assert "case-5" not in found.verdicts


def test_controls_that_differ_make_it_inconclusive():
    found, _ = run(slower={"gemm": 0.05})
    assert found.unusable
    assert found.exit_status == 3


def test_a_machine_that_is_too_noisy_makes_it_inconclusive():
    found, _ = run(spread=0.2)
    assert found.exit_status == 3
    assert found.words()["SLOWER"] == 0


def test_nothing_to_compare():
    found, _ = run(broken={("head", name) for name in CASES})
    assert found.exit_status == 4


def test_another_machine_confirms_or_clears():
    first, _ = run(1, slower={"case-3": 0.05})
    cases = {"case-3": CASES["case-3"]}
    confirmed, pairs = run(2, slower={"case-3": 0.05}, earlier=first.first, cases=cases)
    assert confirmed.verdicts["case-3"].word == "SLOWER"
    assert confirmed.exit_status == 1
    assert len(pairs) == PLAN.second_pairs
    cleared, _ = run(3, earlier=first.first, cases=cases)
    assert cleared.verdicts["case-3"].word != "SLOWER"
    assert cleared.exit_status == 0


@pytest.mark.parametrize("runs", SOME)
def test_false_alarms_of_whole_simulated_runs(runs):
    assert sum(run(seed)[0].exit_status == 1 for seed in range(runs)) == 0


def test_one_slow_process_is_no_alarm():
    assert sum(run(seed, slow_pair=3)[0].exit_status == 1 for seed in range(10)) == 0


def test_processes_of_two_kinds_are_no_alarm():
    """A layout that costs 4 % hits each process with a chance of one half."""
    assert sum(run(seed, modes=0.04)[0].exit_status == 1 for seed in range(10)) == 0


@pytest.mark.parametrize("runs", SOME)
def test_power_of_whole_simulated_runs(runs):
    found = [run(seed, slower={"case-3": 0.05, "case-9": 0.10})[0].verdicts for seed in range(runs)]
    assert sum(one["case-3"].word == "SLOWER" for one in found) >= 0.95 * runs
    assert sum(one["case-9"].word == "SLOWER" for one in found) >= 0.99 * runs


@pytest.mark.parametrize(("pair_time", "pairs"), [(30.0, 10), (33.0, 9), (40.0, 6), (100.0, 6)])
def test_a_slow_machine_gets_fewer_pairs_in_the_second_stage_but_never_too_few(pair_time, pairs):
    found, _ = run(slower={"case-3": 0.10}, pair_time=pair_time)
    assert len(found.first["case-3"]) == PLAN.first_pairs
    assert len(found.second["case-3"]) == pairs
    assert found.verdicts["case-3"].word == "SLOWER"


class Dying(Simulated):
    """Dies at its so many-th sample."""

    def __init__(self, seed, at):
        super().__init__(seed)
        self.at = at

    def ask(self, side, **request):
        answer = super().ask(side, **request)
        if self.moment == self.at:
            raise WorkerDiedError("head: its process died of SIGKILL at: sample case-3")
        return answer


def run_with_deaths(*dying):
    opened = []

    @contextmanager
    def open_pair(number):
        opened.append(number)
        yield Dying(number, at=50 if len(opened) - 1 in dying else -1)

    told = []
    return compare(CASES, open_pair, PLAN, Rules(), tell=told.append, now=lambda: 0.0), opened, told


def test_a_pair_that_dies_is_measured_again_and_counts_whole():
    found, opened, told = run_with_deaths(2)
    assert opened[:5] == [1000, 1001, 1002, 1002, 1003]
    assert told[2] == "head: its process died of SIGKILL at: sample case-3; this pair is measured again"
    assert {len(ratios) for ratios in found.first.values()} == {PLAN.first_pairs}
    assert found.exit_status == 0


def test_processes_that_die_again_end_it():
    with pytest.raises(WorkerError, match="SIGKILL at: sample case-3"):
        run_with_deaths(2, 3)


def test_a_block_in_which_the_kernel_stopped_the_container_is_taken_again():
    plain, _ = run()
    calls = []

    def throttled():
        calls.append(None)
        return len(calls) == 2  # in the first block; asked once before each

    found, _ = run(watched=Blocks(throttled))
    assert {name: len(ratios) for name, ratios in found.first.items()} == {
        name: len(ratios) for name, ratios in plain.first.items()
    }
    blocks = sum(len(one["blocks"]) for one in found.raw)
    assert len(calls) == 2 * blocks + 1


def test_a_container_that_is_always_stopped_is_not_asked_for_ever():
    found, _ = run(watched=Blocks(lambda: True))
    assert found.verdicts


def test_a_comparison_says_how_often_the_machine_changed():
    readings = iter([110e-9] * 201 + [290e-9] * 10_000)
    found, _ = run(watched=Blocks(look=lambda: next(readings), own=80e-9))
    assert found.taken_again == 1
    assert list(found.states) == ["CPUs apart", "CPUs share a cache"]
    assert run()[0].states == {}
