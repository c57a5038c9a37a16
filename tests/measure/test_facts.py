"""When sampling of a case is over, and its figures: visits are made up, no time passes."""

import json
import math
import re

import numpy as np
import pytest

from mnv1.cases import Block, Case, Conditions, Network, Pair, Reference, Training
from mnv1.claims.judge import judge
from mnv1.measure.facts import better_of, conclude, record
from mnv1.measure.timing import Policy, Visit
from mnv1.net.published import claims
from mnv1.store.columns import COLUMNS
from mnv1.store.runs import Results, load

CPU = Conditions(1, "cpu", "fp32")
CASE = Case(Network("separable", 1.0, 224), CPU)
PAIR = Pair(Case(Network("standard", 1.0, 224), CPU), CASE)
POLICY = Policy(visit_time=0.1, max_time=10.0, min_visits=6)


def latency(samples=(0.010,) * 8, disturbed=None, stopped="precise", call_time=0.1, **more):
    bad = tuple(disturbed) if disturbed else (False,) * len(samples)
    return Visit((tuple(samples),), bad, (3,), call_time, stopped, **more)


USUAL = (7e-6, 180e-6, 60e-6)


def pair_visit(ratio, separable=0.010, rounds=2, disturbed=False, call_time=0.1, slowness=1.0):
    return Visit(
        ((separable * ratio,) * rounds, (separable,) * rounds),
        (disturbed,) * rounds,
        (1, 2),
        call_time,
        "time budget",
        controls=((7e-6 * slowness, 180e-6, 60e-6),) * (rounds + 1),
    )


def facts_of(case, visits, stopped="precise"):
    return record(case, visits, stopped, USUAL).facts


def test_a_latency_is_over_with_its_first_undisturbed_visit():
    for stopped in ("precise", "time budget", "round limit", "no longer improving"):
        assert conclude(CASE, [latency(stopped=stopped)], POLICY) == stopped


def test_a_disturbed_latency_is_visited_again_but_not_for_ever():
    disturbed = latency(disturbed=(True,) * 8, stopped="disturbed")
    assert conclude(CASE, [disturbed], POLICY) is None
    assert conclude(CASE, [disturbed], POLICY, hurry=True) == "disturbed"
    assert conclude(CASE, [disturbed] * 3, POLICY) == "disturbed"
    half = latency(disturbed=(True,) * 5 + (False,) * 3, stopped="disturbed")
    assert conclude(CASE, [half, half], POLICY) == "time budget"  # six undisturbed rounds in all


def test_disturbed_rounds_count_only_when_they_must():
    visit = latency(samples=(0.010,) * 6 + (0.020,) * 6, disturbed=(False,) * 6 + (True,) * 6)
    facts = facts_of(CASE, [visit])
    assert (facts["latency_p50"], facts["rounds"], facts["disturbed_rounds"]) == (0.010, 6, 6)
    facts = facts_of(CASE, [visit], "disturbed")
    assert (facts["latency_p50"], facts["rounds"], facts["disturbed_rounds"]) == (0.015, 12, 6)


def test_another_packages_network_has_the_counts_that_were_found_with_it():
    case = Case(Reference("resnet18", 224), Conditions(8, "cpu", "fp32"))
    facts = facts_of(case, [latency(extras={"macs": 8 * 1_814_073_344, "params": 11_689_512}), latency()])
    assert (facts["macs"], facts["params"], facts["kind"], facts["shape"]) == (
        8 * 1_814_073_344,
        11_689_512,
        "resnet18",
        "r224",
    )
    assert facts["macs_per_second"] == pytest.approx(8 * 1_814_073_344 / 0.010)
    assert not {"alpha", "min_bytes", "memory_floor"} & set(facts)
    assert facts_of(Case(Reference("timm", 96, 0.5), CPU), [latency(extras={"macs": 1, "params": 1})])["alpha"] == 0.5


def test_facts_of_a_latency():
    extras = {"first_call": 0.5, "peak_memory": 9_633_792, "process_peak": 13_000_000}
    facts = facts_of(CASE, [latency(extras=extras)])
    assert facts["throughput"] == pytest.approx(100)
    assert facts["macs_per_second"] == pytest.approx(568_740_352 / 0.010)
    assert facts["memory_floor"] == 4 * (32 + 64) * 112 * 112  # the first pointwise layer's input and output
    assert facts["calls_per_round"] == 3
    assert facts.items() >= extras.items()
    assert set(facts) <= set(COLUMNS)
    assert json.loads(json.dumps(facts)) == facts


def test_launch_bound_is_a_call_that_takes_far_longer_than_its_kernels():
    on_cuda = Case(CASE.workload, Conditions(1, "cuda", "fp32"))
    for busy, launch_bound in ((0.009, False), (0.004, True)):
        facts = facts_of(on_cuda, [latency(extras={"device_busy": busy}, device=(0.0099,) * 8)])
        assert facts["launch_bound"] is launch_bound
        assert facts["device_latency_p50"] == 0.0099
    assert "launch_bound" not in facts_of(CASE, [latency()])


def test_throttling_of_any_visit_is_kept():
    first, second = (latency(extras={"throttled": text, "gpu_clock": 1e9}) for text in ("", "power cap"))
    assert facts_of(CASE, [first, second])["throttled"] == "power cap"
    assert facts_of(CASE, [second, first])["throttled"] == "power cap"
    assert facts_of(CASE, [first, first])["throttled"] == ""


def test_a_speedup_needs_its_visits_even_in_a_hurry():
    visits = [pair_visit(4.0)] * 5
    assert conclude(PAIR, visits, POLICY, hurry=True) is None
    assert conclude(PAIR, [*visits, pair_visit(4.0)], POLICY) == "precise"


def test_a_speedup_is_over_when_its_time_or_the_sweeps_is_spent():
    visits = [pair_visit(4.0 + number % 2) for number in range(10)]
    assert conclude(PAIR, visits, POLICY) is None
    assert conclude(PAIR, visits, POLICY, hurry=True) == "time budget"
    assert conclude(PAIR, [pair_visit(4.0 + number % 2, call_time=1.0) for number in range(10)], POLICY) == (
        "time budget"
    )


def test_a_speedup_that_more_visits_do_not_narrow_is_over():
    visits = [pair_visit(4.0 * math.exp(0.01 * number + 0.03 * (number % 2))) for number in range(5)]
    visits += [pair_visit(4.0 * math.exp(0.5 * (number % 2))) for number in range(20)]
    assert conclude(PAIR, visits, POLICY) == "no longer improving"


def test_rounds_count_by_how_quiet_the_machine_was():
    quiet, disturbed = pair_visit(5.0), pair_visit(4.0, disturbed=True, slowness=1.5)
    facts = facts_of(PAIR, [quiet] * 8 + [disturbed] * 4)
    weight = 1.5**-4
    assert facts["speedup"] == pytest.approx(math.exp((8 * math.log(5) + 4 * weight * math.log(4)) / (8 + 4 * weight)))
    assert facts["effective_rounds"] == pytest.approx((16 + 8 * weight) ** 2 / (16 + 8 * weight**2))
    assert (facts["rounds"], facts["visits"], facts["disturbed_rounds"]) == (24, 12, 8)
    alike = record(PAIR, [quiet] * 8 + [disturbed] * 4, "precise").facts  # nothing is known of the machine
    assert alike["speedup"] == pytest.approx(math.exp((8 * math.log(5) + 4 * math.log(4)) / 12))
    assert alike["effective_rounds"] == pytest.approx(24)


def test_a_speedup_hardly_depends_on_how_often_the_machine_is_disturbed():
    """Two runs of one machine, whose separable side loses more the slower the control is; truth: 5."""
    rng = np.random.default_rng(3)

    def run(share):
        visits = []
        for _ in range(400):
            slowness = 1 + (rng.random() < share) * rng.uniform(0.1, 1.0)
            visits.append(pair_visit(5.0 * slowness**-0.4 * math.exp(rng.normal(0, 0.02)), slowness=slowness))
        return visits

    calm, busy = (run(share) for share in (0.2, 0.7))
    alike = [record(PAIR, visits, "precise").facts["speedup"] for visits in (calm, busy)]
    weighed = [facts_of(PAIR, visits)["speedup"] for visits in (calm, busy)]
    assert alike[0] / alike[1] > 1.07
    assert weighed[0] / weighed[1] < 1.04
    assert weighed == pytest.approx([5.0, 5.0], rel=0.05)
    assert alike[1] < 0.9 * 5.0


def test_a_machine_that_is_hardly_ever_undisturbed_is_never_called_precise():
    visits = [pair_visit(5.0)] * 7 + [pair_visit(4.0, disturbed=True)] * 21
    assert conclude(PAIR, visits, POLICY, usual=USUAL) is None
    assert conclude(PAIR, visits, POLICY, hurry=True, usual=USUAL) == "disturbed"
    assert facts_of(PAIR, visits, "disturbed")["rounds"] == 56


def test_facts_of_a_speedup():
    facts = facts_of(PAIR, [pair_visit(ratio) for ratio in (3.9, 4.0, 4.1, 3.95, 4.05, 4.0)])
    assert facts["speedup_low"] < facts["speedup"] < facts["speedup_high"]
    assert facts["speedup"] == pytest.approx(4.0, rel=1e-3)
    assert facts["standard_latency_p50"] == pytest.approx(0.040, rel=1e-3)
    assert facts["latency_low"] <= facts["latency_p50"] <= facts["latency_high"]
    assert facts["macs_ratio"] == facts["standard_macs"] / facts["macs"]
    assert len(facts["standard_samples"]) == facts["rounds"] == 12
    assert set(facts) - {"standard_samples", "standard_calls_per_round", "visit_rounds"} <= set(COLUMNS)


STEP = Case(Training("separable", 1.0, 224), Conditions(8, "cpu", "amp"))
STEPS = Pair(Case(Training("standard", 1.0, 224), STEP.conditions), STEP)


def test_facts_of_a_training_step():
    facts = facts_of(STEP, [latency(extras={"peak_memory": 5, "forward_time": 0.003})])
    assert (facts["id"], facts["measures"], facts["subject"]) == (STEP.id, "training", "model")
    assert (facts["kind"], facts["shape"], facts["amp_dtype"]) == ("separable", "a1.00-r224", "bfloat16")
    assert facts["macs"] == 8 * (3 * 568_740_352 - 10_838_016)  # no gradient of the images
    assert facts["throughput"] == pytest.approx(800)
    assert facts["forward_time"] == 0.003
    assert not {"min_bytes", "memory_floor"} & set(facts)
    assert set(facts) <= set(COLUMNS)
    assert json.loads(json.dumps(facts)) == facts


def test_facts_of_a_training_speedup():
    facts = facts_of(STEPS, [pair_visit(ratio) for ratio in (3.9, 4.0, 4.1, 3.95, 4.05, 4.0)])
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
        facts.append(facts_of(case, [latency((seconds,) * 8, extras={"peak_memory": peak})]))
    amp = Case(Training("separable", 1.0, 224), Conditions(32, "cuda", "amp"))
    facts.append(facts_of(amp, [latency((0.004,) * 8, extras={"peak_memory": 400})]))
    run = load([store(facts)])
    judged = {one.claim.id: one for one in judge(claims(), [Results(run)])}
    epoch, memory, faster = (judged[f"article-{name}"] for name in ("epoch", "gpu-memory", "amp"))
    assert re.fullmatch(r"3\.50× \[3\.4\d, 3\.5\d\] \(cpu, amp, batch 8\)", epoch.ours)
    assert (epoch.verdict, epoch.why) == ("measured", "holds; by `0001_a`")
    assert (memory.ours, memory.why) == ("1.40× (cuda, fp32, batch 32)", "does not hold; by `0001_a`")
    assert (faster.ours, faster.why) == ("2.50× (cuda, amp, batch 32)", "holds; by `0001_a`")


def test_a_layers_facts_name_its_shape():
    facts = facts_of(Case(Block("pointwise", 8, 16, 2, 10), CPU), [latency()])
    assert (facts["in_channels"], facts["out_channels"], facts["stride"], facts["side"]) == (8, 16, 2, 10)
    assert facts["subject"] == "layer"


@pytest.mark.parametrize("speedups", [200, pytest.param(1000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("spread", [0.02, 0.06, 0.15])
def test_coverage_of_a_speedups_interval_with_the_stopping_rule(spread, speedups):
    """Of speedups whose visits vary, and whose rounds vary within a visit, how many intervals hold the truth."""
    rng = np.random.default_rng(7)
    hits = 0
    for _ in range(speedups):
        visits, stopped = [], None
        while stopped is None:
            shift = rng.normal(0, spread)  # what a visit's rounds have in common
            ratios = 4.0 * np.exp(shift + rng.normal(0, 0.03, 3))
            visits.append(Visit((tuple(0.01 * ratios), (0.01,) * 3), (False,) * 3, (1, 1), 0.2, "time budget"))
            stopped = conclude(PAIR, visits, POLICY)
        facts = facts_of(PAIR, visits, stopped)
        hits += facts["speedup_low"] <= 4.0 <= facts["speedup_high"]
    assert abs(hits / speedups - 0.95) <= 0.02 * math.sqrt(1000 / speedups)


def test_of_ceilings_that_were_measured_twice_the_higher_one_is_kept():
    def one(name, value, precision="fp32"):
        return {"ceiling": name, "device": "cpu", "precision": precision, "value": value}

    before = [one("gemm", 5.0), one("gemm", 9.0, "amp"), one("copy beyond cache", 2.0, "")]
    after = [one("gemm", 7.0), one("gemm", 8.0, "amp")]
    assert better_of(before, after) == [one("gemm", 7.0), one("gemm", 9.0, "amp"), one("copy beyond cache", 2.0, "")]
    assert better_of([], after) == after
