"""When sampling of a case is over, and its figures: visits are made up, no time passes."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from mnv1.base.run_to_run import RunToRun, run_to_run_of
from mnv1.cases import Block, Case, Conditions, Gain, Network, Pair, Reference, Training
from mnv1.claims.judge import judge
from mnv1.measure.by_state import LAST, SPEEDUP, by_state, every_state, is_precise
from mnv1.measure.facts import better_of, launching, record
from mnv1.measure.states import APART, MIXED, SHARED, State
from mnv1.measure.timing import Policy, Visit
from mnv1.net.published import claims
from mnv1.store.columns import COLUMNS
from mnv1.store.runs import Results, load

CPU = Conditions(1, "cpu", "fp32")
CASE = Case(Network("separable", 1.0, 224), CPU)
PAIR = Pair(Case(Network("standard", 1.0, 224), CPU), CASE)
POLICY = Policy(visit_time=0.1, max_time=10.0, min_visits=4)

NEAR, AWAY = State(SHARED, 90e-9, 170e-9, 115e-9), State(APART, 170e-9, 480e-9, 290e-9)
STATES = (NEAR, AWAY)


def around(state, rounds):
    """What was read around rounds in a state; on a change, for None."""
    low, high = (state.message, state.message) if state else (NEAR.message, AWAY.message)
    return ((low, high),) * rounds


def latency(samples=(0.010,) * 8, state=NEAR, call_time=0.1, **more):
    return Visit((tuple(samples),), (3,), call_time, messages=around(state, len(samples)), **more)


def pair_visit(ratio, separable=0.010, rounds=2, state=NEAR, call_time=0.1, **more):
    sides = (separable * ratio,) * rounds, (separable,) * rounds
    return Visit(sides, (1, 2), call_time, messages=around(state, rounds), **more)


def facts_of(case, visits, stopped="precise", states=STATES, policy=POLICY):
    return record(case, visits, stopped, policy, states).facts


def scattered(centre, visits, state=NEAR, spread=0.01, seed=0, **more):
    rng = np.random.default_rng(seed)
    return [pair_visit(centre * math.exp(rng.normal(0, spread)), state=state, **more) for _ in range(visits)]


def test_the_figure_is_that_of_the_state_with_the_nearest_cpus():
    facts = facts_of(PAIR, [*scattered(5.0, 8), *scattered(3.5, 12, AWAY, separable=0.015)])
    assert facts["state"] == SHARED
    assert facts["speedup"] == pytest.approx(5.0, rel=0.01)
    assert facts["latency_p50"] == pytest.approx(0.010)
    assert (facts["visits"], facts["rounds"], facts["other_rounds"]) == (8, 16, 24)
    near, away = facts["states"]
    assert (near["state"], near["visits"], near["rounds"]) == (SHARED, 8, 16)
    assert near["speedup"] == facts["speedup"]
    assert (away["state"], away["message"]) == (APART, pytest.approx(290e-9))
    assert away["speedup"] == pytest.approx(3.5, rel=0.01)
    assert away["speedup_low"] < away["speedup"] < away["speedup_high"]
    assert away["latency_p50"] == pytest.approx(0.015)


def test_a_state_without_enough_visits_or_rounds_has_no_figure():
    some = [*scattered(5.0, 3, rounds=8), *scattered(3.5, 12, AWAY)]
    assert [one["state"] for one in facts_of(PAIR, some)["states"]] == [APART]
    assert facts_of(PAIR, some)["state"] == APART
    few = [*scattered(5.0, 4), *scattered(3.5, 4, AWAY)]  # eight rounds of each
    assert facts_of(PAIR, few)["states"] == []
    assert facts_of(PAIR, few)["state"] == MIXED
    assert facts_of(PAIR, few)["rounds"] == 16


def test_few_long_rounds_of_one_state_are_named_by_it():
    facts = facts_of(PAIR, scattered(4.0, 5, rounds=1))
    assert (facts["state"], facts["rounds"], facts["states"]) == (SHARED, 5, [])


def test_six_visits_carry_a_figure_whatever_their_rounds():
    (one,) = facts_of(PAIR, [*scattered(4.0, 6, rounds=1), *scattered(3.0, 3, AWAY)])["states"]
    assert (one["state"], one["visits"], one["rounds"]) == (SHARED, 6, 6)


def test_rounds_on_a_change_are_left_out():
    facts = facts_of(PAIR, [*scattered(5.0, 8), *scattered(4.0, 4, None)])
    assert (facts["speedup"], facts["rounds"], facts["other_rounds"]) == (pytest.approx(5.0, rel=0.01), 16, 8)


def test_without_readings_all_rounds_count_and_no_state_is_named():
    visits = [Visit(((0.04,) * 2, (0.01,) * 2), (1, 1), 0.1) for _ in range(6)]
    facts = facts_of(PAIR, visits, states=())
    assert (facts["state"], facts["states"], facts["rounds"]) == ("", [], 12)


def test_rounds_in_which_the_kernel_stopped_the_process_do_not_count():
    stopped = [pair_visit(2.0, throttled=(True, True)) for _ in range(3)]
    facts = facts_of(PAIR, [*scattered(4.0, 8), *stopped])
    assert facts["speedup"] == pytest.approx(4.0, rel=0.01)
    assert (facts["visits"], facts["other_rounds"]) == (8, 6)
    assert facts_of(PAIR, stopped * 2)["speedup"] == pytest.approx(2.0)  # unless there are no others


def test_every_round_is_stored_with_what_was_read_around_it():
    late = pair_visit(4.0123456, state=None, throttled=(False, True), at=7.25)
    stored = json.loads(json.dumps(facts_of(PAIR, [*scattered(5.0, 8), late])["visit_rounds"]))
    assert len(stored) == 9
    assert stored[-1] == {
        "at": 7.25,
        "sides": [[0.040123, 0.040123], [0.01, 0.01]],  # five digits
        "messages": [[115, 290, 2]],  # nanoseconds, of two rounds alike
        "throttled": [False, True],
    }


def test_precise_is_a_case_whose_figures_of_every_state_are():
    near, away = scattered(5.0, 16), scattered(3.5, 16, AWAY)
    assert is_precise(PAIR, [*near, *away], POLICY, STATES)
    assert not is_precise(PAIR, near, POLICY, STATES)
    assert is_precise(PAIR, near, POLICY, STATES[:1])
    assert not is_precise(PAIR, [*near, *scattered(3.5, 16, AWAY, spread=0.2)], POLICY, STATES)
    assert is_precise(PAIR, near, POLICY, ())
    assert not is_precise(PAIR, near[:15], POLICY, ())  # a few may agree by chance


@pytest.mark.parametrize("number", [1, 2])
def test_the_interval_is_over_visits_not_over_rounds(number):
    """Rounds of a visit that repeat each other tell nothing new."""
    visits = scattered(4.0, 12, rounds=2, spread=0.05)
    more = [
        Visit(tuple(side * number for side in one.sides), one.calls, 0.1, messages=one.messages * number)
        for one in visits
    ]
    once, often = (by_state(some, STATES)[0].mean(lambda times: math.log(times[0])) for some in (visits, more))
    assert often == pytest.approx(once, rel=1e-6)


def test_another_packages_network_has_the_counts_that_were_found_with_it():
    case = Case(Reference("resnet18", 224), Conditions(8, "cpu", "fp32"))
    facts = facts_of(case, [latency(extras={"macs": 8 * 1_814_073_344, "params": 11_689_512}), *[latency()] * 4 * 3])
    assert (facts["macs"], facts["params"], facts["kind"], facts["shape"]) == (
        8 * 1_814_073_344,
        11_689_512,
        "resnet18",
        "r224",
    )
    assert facts["macs_per_second"] == pytest.approx(8 * 1_814_073_344 / 0.010)
    assert not {"alpha", "min_bytes", "memory_floor"} & set(facts)
    assert (
        facts_of(Case(Reference("timm", 96, 0.5), CPU), [latency(extras={"macs": 1, "params": 1})] * 4)["alpha"] == 0.5
    )


def test_facts_of_a_latency():
    extras = {"first_call": 0.5, "peak_memory": 9_633_792, "process_peak": 13_000_000}
    facts = facts_of(CASE, [latency(extras=extras)] * 4)
    assert facts["throughput"] == pytest.approx(100)
    assert facts["macs_per_second"] == pytest.approx(568_740_352 / 0.010)
    assert facts["memory_floor"] == 4 * (32 + 64) * 112 * 112  # the first pointwise layer's input and output
    assert facts["calls_per_round"] == 3
    assert facts.items() >= extras.items()
    assert set(facts) - {"visit_rounds", "states"} <= set(COLUMNS)
    assert json.loads(json.dumps(facts)) == facts


def test_launch_bound_is_a_call_that_takes_far_longer_than_its_kernels():
    on_cuda = Case(CASE.workload, Conditions(1, "cuda", "fp32"))
    facts = facts_of(on_cuda, [latency(device=(0.0099,) * 8)] * 4)
    assert facts["device_latency_p50"] == 0.0099
    for busy, kernels, launch_bound in ((0.009, 84, False), (0.004, 84, True), (0.004, 4300, False)):
        told = launching(facts | {"device_busy": busy, "device_kernels": kernels})
        assert told == {"launch_bound": launch_bound}, "a microsecond between kernels is the device's own"
    assert launching(facts) == {}, "where nobody saw kernels nothing is said"


def test_throttling_of_any_visit_is_kept():
    first, second = (latency(extras={"throttled": text, "gpu_clock": 1e9}) for text in ("", "power cap"))
    assert facts_of(CASE, [first, second])["throttled"] == "power cap"
    assert facts_of(CASE, [second, first])["throttled"] == "power cap"
    assert facts_of(CASE, [first, first])["throttled"] == ""


RATIOS = (3.9, 4.0, 4.1, 3.95, 4.05, 4.0)


def test_facts_of_a_speedup():
    facts = facts_of(PAIR, [pair_visit(ratio) for ratio in RATIOS])
    assert facts["speedup_low"] < facts["speedup"] < facts["speedup_high"]
    assert facts["speedup"] == pytest.approx(4.0, rel=1e-3)
    assert facts["standard_latency_p50"] == pytest.approx(0.040, rel=1e-3)
    assert facts["latency_low"] <= facts["latency_p50"] <= facts["latency_high"]
    assert facts["macs_ratio"] == facts["standard_macs"] / facts["macs"]
    assert facts["rounds"] == 12
    assert set(facts) - {"standard_calls_per_round", "visit_rounds", "states"} <= set(COLUMNS)


STEP = Case(Training("separable", 1.0, 224), Conditions(8, "cpu", "amp"))
STEPS = Pair(Case(Training("standard", 1.0, 224), STEP.conditions), STEP)


def test_facts_of_a_training_step():
    facts = facts_of(STEP, [latency(extras={"peak_memory": 5, "forward_time": 0.003})] * 4)
    assert (facts["id"], facts["measures"], facts["subject"]) == (STEP.id, "training", "model")
    assert (facts["kind"], facts["shape"], facts["amp_dtype"]) == ("separable", "a1.00-r224", "bfloat16")
    assert facts["macs"] == 8 * (3 * 568_740_352 - 10_838_016)  # no gradient of the images
    assert facts["throughput"] == pytest.approx(800)
    assert facts["forward_time"] == 0.003
    assert not {"min_bytes", "memory_floor"} & set(facts)
    assert set(facts) - {"visit_rounds", "states"} <= set(COLUMNS)
    assert json.loads(json.dumps(facts)) == facts


def test_facts_of_a_training_speedup():
    facts = facts_of(STEPS, [pair_visit(ratio) for ratio in RATIOS])
    assert (facts["id"], facts["measures"]) == ("training-speedup-a1.00-r224-b8-cpu-amp", "training speedup")
    assert facts["speedup"] == pytest.approx(4.0, rel=1e-3)
    assert facts["macs_ratio"] == pytest.approx((3 * 4_867_293_184 - 10_838_016) / (3 * 568_740_352 - 10_838_016))
    assert "memory_floor" not in facts


def test_stored_training_steps_judge_the_articles_claims(store):
    """From visits to verdicts, as facts are stored and loaded."""
    on_cuda = Conditions(32, "cuda", "fp32")
    facts = [facts_of(STEPS, [pair_visit(ratio) for ratio in (3.4, 3.5, 3.6, 3.5, 3.45, 3.55)])]
    for kind, peak, seconds in (("separable", 700, 0.010), ("standard", 500, 0.035)):
        case = Case(Training(kind, 1.0, 224), on_cuda)
        facts.append(facts_of(case, [latency((seconds,) * 8, extras={"peak_memory": peak})] * 4))
    amp = Case(Training("separable", 1.0, 224), Conditions(32, "cuda", "amp"))
    facts.append(facts_of(amp, [latency((0.004,) * 8, extras={"peak_memory": 400})] * 4))
    run = load([store(facts)])
    judged = {one.claim.id: one for one in judge(claims(), [Results(run)])}
    epoch, memory, faster = (judged[f"article-{name}"] for name in ("epoch", "gpu-memory", "amp"))
    assert epoch.ours == "3.50× [3.28, 3.73] (cpu, amp, batch 8)"
    assert (epoch.verdict, epoch.why) == ("measured", "holds; by `0001_a`")
    assert (memory.ours, memory.why) == ("1.40× (cuda, fp32, batch 32)", "does not hold; by `0001_a`")
    assert (faster.ours, faster.why) == ("2.50× [2.10, 2.98] (cuda, amp, batch 32)", "holds; by `0001_a`")


def test_a_layers_facts_name_its_shape():
    facts = facts_of(Case(Block("pointwise", 8, 16, 2, 10), CPU), [latency()] * 4)
    assert (facts["in_channels"], facts["out_channels"], facts["stride"], facts["side"]) == (8, 16, 2, 10)
    assert facts["subject"] == "layer"


@pytest.mark.parametrize("speedups", [200, pytest.param(1000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("spread", [0.02, 0.06, 0.15])
def test_coverage_of_a_speedups_interval_with_the_stopping_rule(spread, speedups):
    """Of speedups whose visits vary, and whose rounds vary within a visit, how many intervals hold the truth.

    Rounds have long tails (Student's t with 4 degrees), as rounds on a shared machine have.
    """
    rng = np.random.default_rng(7)
    hits = 0
    for _ in range(speedups):
        visits = []
        while len(visits) < 60 and not (visits and is_precise(PAIR, visits, POLICY, STATES[:1])):
            shift = rng.normal(0, spread)  # what a visit's rounds have in common
            ratios = 4.0 * np.exp(shift + 0.03 * rng.standard_t(4, 3))
            visits.append(Visit((tuple(0.01 * ratios), (0.01,) * 3), (1, 1), 0.2, messages=around(NEAR, 3)))
        (found,) = by_state(visits, STATES[:1])
        _, low, high = found.mean(SPEEDUP)  # by visits alone: what is between runs is not simulated
        hits += low <= math.log(4.0) <= high
    assert abs(hits / speedups - 0.95) <= 0.025 * math.sqrt(1000 / speedups)


def test_what_is_stored_has_a_component_between_runs():
    visits = [pair_visit(ratio) for ratio in (3.4, 3.5, 3.6, 3.5, 3.45, 3.55)]
    facts, (found,) = facts_of(PAIR, visits), by_state(visits, STATES[:1]) or [every_state(visits, ())]
    value, low, high = found.mean(SPEEDUP)
    assert (facts["run_to_run"], facts["latency_run_to_run"]) == (RunToRun.speedup, RunToRun.latency)
    assert math.log(facts["speedup"]) == pytest.approx(value)
    for end, stored in ((low, facts["speedup_low"]), (high, facts["speedup_high"])):
        assert abs(math.log(stored) - value) == pytest.approx(math.hypot(end - value, 1.959964 * RunToRun.speedup))
    value, low, high = found.mean(LAST)
    for end, stored in ((low, facts["latency_low"]), (high, facts["latency_high"])):
        assert abs(math.log(stored) - value) == pytest.approx(math.hypot(end - value, 1.959964 * RunToRun.latency))


def test_the_component_is_of_the_kind_of_figure():
    found = RunToRun(latency=0.04, speedup=0.02, gain=0.0)
    assert [found.of(kind, SHARED) for kind in ("latency", "training", "speedup", "training speedup", "gain")] == [
        *(0.04, 0.04, 0.02, 0.02, 0.0)
    ]
    gain = Gain(PAIR.standard, PAIR.separable)
    visits = [pair_visit(ratio) for ratio in (3.4, 3.5, 3.6, 3.5, 3.45, 3.55)]
    facts = facts_of(gain, visits, policy=replace(POLICY, run_to_run=found))
    assert (facts["run_to_run"], facts["latency_run_to_run"]) == (0.0, 0.04)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3", RunToRun(0.03, 0.03, 0.03)),
        ("0", RunToRun(0.0, 0.0, 0.0)),
        ("latency=4, gain=0", RunToRun(latency=0.04, gain=0.0)),
        ("apart=2", RunToRun(apart=0.02)),
        (str(RunToRun()), RunToRun()),
    ],
)
def test_components_are_read_as_they_are_said(text, expected):
    assert run_to_run_of(text) == expected


@pytest.mark.parametrize("text", ["", "-1", "inf", "nan", "a", "latency", "latency=", "latency=-1", "time=3", "3,4"])
def test_components_that_make_no_sense(text):
    with pytest.raises(ValueError, match=r"is not valid; valid values: per cent, such as 3, or by kind of figure"):
        run_to_run_of(text)


def test_while_cpus_are_apart_the_component_is_larger():
    """They are apart in more than one way, with the same messages."""
    small = run_to_run_of("1")
    assert small.of("speedup", APART) == RunToRun.apart > RunToRun.latency
    assert run_to_run_of("20").of("speedup", APART) == 0.2
    assert small.of("speedup", SHARED) == small.of("speedup", "") == small.of("speedup", None) == 0.01
    known = run_to_run_of("speedup=1,latency=6,apart=2")
    assert (known.of("speedup", APART), known.of("latency", APART)) == (0.02, 0.06)


def test_a_machine_whose_component_is_known_has_intervals_of_its_own():
    visits = [pair_visit(ratio) for ratio in (3.4, 3.5, 3.6, 3.5, 3.45, 3.55)]
    narrow = facts_of(PAIR, visits, policy=replace(POLICY, run_to_run=run_to_run_of("1")))
    wide = facts_of(PAIR, visits, policy=replace(POLICY, run_to_run=run_to_run_of("5")))
    assert narrow["run_to_run"] == 0.01
    for name in ("speedup", "latency"):
        assert narrow[f"{name}_high"] / narrow[f"{name}_low"] < wide[f"{name}_high"] / wide[f"{name}_low"]


def test_of_ceilings_that_were_measured_twice_the_higher_one_is_kept():
    def one(name, value, precision="fp32"):
        return {"ceiling": name, "device": "cpu", "precision": precision, "value": value}

    before = [one("gemm", 5.0), one("gemm", 9.0, "amp"), one("copy beyond cache", 2.0, "")]
    after = [one("gemm", 7.0), one("gemm", 8.0, "amp")]
    assert better_of(before, after) == [one("gemm", 7.0), one("gemm", 9.0, "amp"), one("copy beyond cache", 2.0, "")]
    assert better_of([], after) == after
