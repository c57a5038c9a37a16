"""A comparison with simulated processes: known times, no clock."""

import math
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise

import pytest

from mnv1.regression.blocks import Blocks
from mnv1.regression.measuring import compare
from mnv1.regression.outputs import difference
from mnv1.regression.pairs import WorkerDiedError, WorkerError
from mnv1.regression.plan import Plan
from mnv1.regression.verdicts import Rules
from tests.simulated_pairs import CASES, PLAN, Simulated, run

SOME = [20, pytest.param(60, marks=pytest.mark.slow)]
FIRST = Rules().looks[0]
LOOSE = Rules(false_alarms=1e-300, same_within=1e-9, suite_effect=1.0)
"""Nothing is decided by these."""
FEW = dict(list(CASES.items())[:4])


def test_identical_sides_pass():
    found, pairs = run()
    assert found.exit_status == 0
    assert {verdict.word for verdict in found.verdicts.values()} <= {"SAME", "UNDECIDED"}
    assert len(found.verdicts) == len(CASES)
    assert len(pairs) >= FIRST


def test_a_slowdown_is_found_and_told():
    found, _ = run(slower={"case-3": 0.05})
    assert found.exit_status == 1
    assert found.regressions() == ["case-3"]
    assert found.verdicts["case-3"].effect.value == pytest.approx(0.05, abs=0.02)


def test_what_is_decided_is_measured_no_more():
    found, pairs = run(slower={"case-3": 0.02}, spread=0.02)
    sampled = [{one["case"] for _, one in pair.asked if one["do"] == "sample"} & set(CASES) for pair in pairs]
    assert sampled[0] == set(CASES)
    assert all(later <= earlier for earlier, later in pairwise(sampled))
    assert 0 < len(sampled[-1]) < len(CASES)
    assert {len(one) for one in found.ratios.values()} <= {*Rules().looks}
    assert [cases for cases, _ in found.pair_times][: len(sampled)] == [len(one) for one in sampled]


def test_a_whole_run_measures_every_case_to_the_last_look():
    found, pairs = run(whole=True)
    assert len(pairs) == Rules().looks[-1]
    assert {len(ratios) for ratios in found.ratios.values()} == {len(pairs)}
    assert found.verdicts == run()[0].verdicts, "and decides as any other"


def test_injected_work_is_found():
    found, _ = run(extra={"case-7": 0.10})
    assert found.verdicts["case-7"].word == "SLOWER"


def test_a_slowdown_of_everything_is_found_where_no_case_shows_it():
    found, _ = run(slower=dict.fromkeys(CASES, 0.013), spread=0.005)
    assert found.words()["SLOWER"] <= 2
    assert found.suite_slower
    assert found.suite.value == pytest.approx(0.013, abs=0.004)
    assert found.exit_status == 1


def test_both_sides_get_the_same_calls_in_alternating_order():
    found, (first, *_) = run()
    samples = [(side, one["calls"]) for side, one in first.asked if one["do"] == "sample" and one["case"] == "case-0"]
    timed = [one for one in samples if one[1] == found.calls["case-0"]]
    assert [side for side, _ in timed[-16:]] == [
        *("base", "head", "head", "base", "head", "base", "base", "head") * 2,
    ]


def test_calls_are_found_on_base_once():
    found, pairs = run()
    assert found.calls["case-0"] == pytest.approx(PLAN.sample_time / 0.001, rel=0.5)
    single = [side for pair in pairs for side, one in pair.asked if one.get("calls") == 1]
    assert single
    assert set(single) == {"base"}
    assert not any(one.get("calls") == 1 for pair in pairs[1:] for _, one in pair.asked)


def test_calls_shorter_than_the_clocks_ticks_are_counted_by_many():
    class Quick(Simulated):
        def ask(self, side, **request):
            answer = super().ask(side, **request)
            return {"seconds": 1e-4 * answer["seconds"]} if "seconds" in answer else answer

    @contextmanager
    def open_pair(number):
        yield Quick(number)

    found = compare({"case-0": 1e-4}, open_pair, PLAN, Rules(), now=lambda: 0.0)
    assert found.calls["case-0"] == pytest.approx(PLAN.sample_time / 1e-7, rel=0.3)


@pytest.mark.parametrize(("cases", "seconds"), [(1, 1.0), (10, 0.4), (26, 0.25)])
def test_the_time_of_a_pair_is_shared_by_its_cases(cases, seconds):
    assert Plan().case_time(cases) == pytest.approx(seconds)
    assert Plan().blocks(0.4, 0.005) == 20
    assert Plan().blocks(0.4, 0.1) == 4, "but no fewer, however long its calls are"


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
    found, _ = run(head_output={"numbers": [1.0, 2.5], "others": "same"})
    assert found.exit_status == 4
    assert found.wrong_outputs["case-0"] == pytest.approx(0.25)
    found, _ = run(head_output={"numbers": [1.0, 2.0], "others": "other"})
    assert found.wrong_outputs["case-0"] == math.inf


@pytest.mark.parametrize(
    ("one", "other", "off"),
    [
        ([1.0], [1.0, 2.0], math.inf),
        ([1.0], [math.nan], math.inf),
        ([math.nan, 1.0], [math.nan, 1.0], 0.0),
        ([math.inf], [-math.inf], math.inf),
        ([2.0, -4.0], [2.0, -4.4], 0.1),
        ([], [], 0.0),
    ],
)
def test_how_far_outputs_differ(one, other, off):
    told = [{"numbers": numbers, "others": ""} for numbers in (one, other)]
    assert difference(*told) == pytest.approx(off)


def test_a_case_that_one_side_lacks_is_listed():
    found, _ = run(broken={("base", "case-5")})
    assert found.failed == {"case-5": "base: ValueError: no such block"}
    assert found.exit_status == 0
    assert "case-5" not in found.verdicts


def test_a_case_that_head_cannot_run_is_no_green_run():
    found, _ = run(broken={("head", "case-5")})
    assert found.failed == {"case-5": "head: ValueError: no such block"}
    assert len(found.verdicts) == len(CASES) - 1
    assert found.exit_status == 4


def test_a_control_that_a_side_lacks_is_left_out():
    found, _ = run(missing={"gemm"})
    assert set(found.controls) == {"python", "copy"}
    assert found.exit_status == 0


def test_a_slower_part_is_named_but_not_of_injected_work():
    parts = {"base": {"conv": [10, 0.10]}, "head": {"conv": [10, 0.10], "copy_": [20, 0.02]}}
    found, _ = run(slower={"case-3": 0.10}, parts=parts)
    assert found.hints["case-3"].part == "copy_"
    assert found.hints["case-3"].low == pytest.approx(0.2)
    assert run(extra={"case-3": 0.10}, parts=parts)[0].hints == {}


def test_a_profiler_that_fails_loses_nothing():
    class Unprofiled(Simulated):
        def ask(self, side, **request):
            if request["do"] == "profile":
                raise WorkerError("head: no answer within 120 s to: profile case-3")
            return super().ask(side, **request)

    @contextmanager
    def open_pair(number):
        yield Unprofiled(number, slower={"case-3": 0.10})

    told = []
    found = compare(CASES, open_pair, PLAN, Rules(), tell=told.append, now=lambda: 0.0)
    assert (found.regressions(), found.hints) == (["case-3"], {})
    assert told[-1] == "head: no answer within 120 s to: profile case-3; what is slower is not told"


def test_a_machine_that_is_never_long_in_one_state_gives_no_verdict_and_no_error():
    """Each pair of processes meets a state of its own."""
    opened = []

    class Restless(Blocks):
        def taken(self, take):
            return take(), (len(opened), len(opened))

        def names(self):
            return lambda around: f"state {around[0]}"

    @contextmanager
    def open_pair(number):
        opened.append(number)
        yield Simulated(number)

    found = compare(CASES, open_pair, PLAN, Rules(), now=lambda: 0.0, watched=Restless())
    assert found.failed["case-0"] == "fewer than 3 pairs of processes were in one state of the machine"
    assert (found.verdicts, found.controls, found.exit_status) == ({}, {}, 4)


def test_controls_that_differ_make_it_inconclusive():
    found, _ = run(slower={"gemm": 0.05})
    assert found.unusable
    assert found.exit_status == 3


def test_a_machine_that_is_too_noisy_makes_it_inconclusive():
    found, _ = run(spread=0.4)
    assert found.exit_status == 3
    assert found.words()["SLOWER"] == 0


def test_nothing_to_compare():
    found, _ = run(broken={("head", name) for name in CASES})
    assert found.exit_status == 4


@pytest.mark.parametrize("runs", SOME)
def test_false_alarms_of_whole_simulated_runs(runs):
    assert sum(run(seed)[0].exit_status == 1 for seed in range(runs)) == 0


def test_one_slow_process_is_no_alarm():
    assert sum(run(seed, slow_pair=3, cases=FEW)[0].exit_status == 1 for seed in range(10)) == 0


def test_processes_of_two_kinds_are_no_alarm():
    """A layout that costs 4 % hits each process with a chance of one half."""
    assert sum(run(seed, modes=0.04, cases=FEW)[0].exit_status == 1 for seed in range(20)) <= 1


@pytest.mark.parametrize("runs", SOME)
def test_power_of_whole_simulated_runs(runs):
    found = [run(seed, slower={"case-3": 0.03, "case-9": 0.05})[0].verdicts for seed in range(runs)]
    assert sum(one["case-3"].word == "SLOWER" for one in found) >= 0.95 * runs
    assert sum(one["case-9"].word == "SLOWER" for one in found) >= 0.99 * runs


@pytest.mark.parametrize(("pair_time", "pairs"), [(1.0, 64), (15.0, 37), (60.0, 9), (200.0, FIRST)])
def test_no_pair_is_begun_that_would_end_too_late_but_every_case_gets_its_first_look(pair_time, pairs):
    found, _ = run(spread=0.1, pair_time=pair_time, plan=replace(PLAN, patience=math.inf))
    assert max(map(len, found.ratios.values())) == pairs
    assert len(found.verdicts) == len(CASES)


@pytest.mark.parametrize(("slower", "pairs"), [(0.0, 11), (0.03, 64)])
def test_after_some_time_only_a_case_that_looks_slower_is_measured_on(slower, pairs):
    """With so much scatter nothing is decided: at the look after the plan's patience is spent, 11 pairs are done."""
    found, _ = run(cases=FEW, slower=dict.fromkeys(FEW, slower), plan=Plan(patience=9.5), rules=LOOSE, pair_time=1.0)
    assert {len(ratios) for ratios in found.ratios.values()} == {pairs}
    assert found.words()["UNDECIDED"] == len(FEW)


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
    found = compare(CASES, open_pair, PLAN, Rules(), tell=told.append, now=lambda: 0.0)
    return found, opened, told


def test_a_pair_that_dies_is_measured_again_and_counts_whole():
    found, opened, told = run_with_deaths(2)
    assert opened[:5] == [0, 1, 2, 2, 3]
    assert told[2] == "head: its process died of SIGKILL at: sample case-3; this pair is measured again"
    assert min(len(ratios) for ratios in found.ratios.values()) == FIRST
    assert found.exit_status == 0


def test_processes_that_die_again_end_it():
    with pytest.raises(WorkerError, match="SIGKILL at: sample case-3"):
        run_with_deaths(2, 3)


def test_a_block_in_which_the_kernel_stopped_the_container_is_taken_again():
    calls = []

    def throttled():
        calls.append(None)
        return len(calls) == 2  # in the first block; asked once before each

    found, _ = run(watched=Blocks(throttled))
    blocks = sum(len(one["blocks"]) for one in found.raw)
    assert len(calls) == 2 * blocks + 1


def test_a_container_that_is_always_stopped_is_not_asked_for_ever():
    found, _ = run(watched=Blocks(lambda: True))
    assert found.verdicts


def test_a_comparison_says_how_often_the_machine_changed():
    readings = iter([110e-9] * 301 + [290e-9] * 100_000)
    found, _ = run(watched=Blocks(look=lambda: next(readings), own=80e-9))
    assert found.taken_again == 1
    assert list(found.states) == ["CPUs apart", "CPUs share a cache"]
    assert run()[0].states == {}


def test_pairs_of_processes_agree_in_the_state_of_the_machine():
    """Head is 20 % slower where the CPUs share a cache, which is rare: that is no part of the figure."""

    class Stated(Simulated):
        def ask(self, side, **request):
            answer = super().ask(side, **request)
            if "seconds" in answer and side == "head" and rare():
                answer["seconds"] *= 1.2
            return answer

    readings = []

    def rare():
        return 100 < len(readings) < 250

    def look():
        readings.append(None)
        return 110e-9 if rare() else 290e-9

    @contextmanager
    def open_pair(number):
        yield Stated(number)

    watched = Blocks(look=look, own=80e-9)
    found = compare(CASES, open_pair, PLAN, Rules(), now=lambda: 0.0, watched=watched)
    assert 0.02 < found.states["CPUs share a cache"] < 0.4
    assert max(abs(ratio) for ratios in found.ratios.values() for ratio in ratios) < 0.05
    assert found.exit_status == 0
