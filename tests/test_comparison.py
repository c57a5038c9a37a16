"""A comparison with simulated processes: known times, no clock."""

import math
from contextlib import contextmanager

import numpy as np
import pytest

from mnv1.compare.comparison import compare, output_difference
from mnv1.compare.plan import Plan
from mnv1.compare.verdicts import Rules

CASES = {f"case-{n}": {"precision": "fp32", "device": "cpu"} for n in range(24)}
FACTS = {"macs": 100, "params": 10, "peak_memory": 1000, "operators": 5, "output": [1.0, 2.0]}
PLAN = Plan(blocks=4)


class Simulated:
    """A pair of processes whose times have noise of their own, a drift, and perhaps a slower head."""

    def __init__(self, seed, slower=None, spread=0.015, head_facts=None, broken=()):
        self.rng = np.random.default_rng(seed)
        self.slower, self.head_facts, self.broken = slower or {}, head_facts or {}, broken
        self.process = {side: self.rng.normal(0, spread) for side in ("base", "head")}
        self.asked, self.moment = [], 0

    def ask(self, side, **request):
        self.asked.append((side, request))
        case = request["case"]
        if request["do"] == "prepare":
            if (side, case) in self.broken:
                return {"error": "ValueError: no such block"}
            if not request.get("count"):
                return {}
            return FACTS | (self.head_facts if side == "head" else {})
        self.moment += 1
        slower = 1 + (self.slower.get(case, 0.0) if side == "head" else 0.0)
        slower *= 1 + (request.get("extra", 0.0))
        drift = 1 + 0.001 * self.moment  # a machine that becomes slower and slower
        noise = math.exp(self.process[side] / 2 + self.rng.normal(0, 0.01))
        return {"seconds": 0.001 * request["calls"] * slower * drift * noise}


def run(seed=0, **how):
    pairs = []

    @contextmanager
    def open_pair(number):
        pairs.append(Simulated(10_000 * seed + number, **how))
        yield pairs[-1]

    extra = how.pop("extra", {})
    return compare(CASES, open_pair, PLAN, Rules(), extra, now=lambda: 0.0), pairs


def test_identical_sides_pass():
    found, pairs = run()
    assert found.exit_status == 0
    assert {verdict.word for verdict in found.verdicts.values()} <= {"SAME", "UNDECIDED"}
    assert len(found.verdicts) == len(CASES)
    assert len(pairs) >= PLAN.first_pairs


def test_a_slowdown_is_confirmed_by_new_processes():
    found, pairs = run(slower={"case-3": 0.05})
    assert found.exit_status == 1
    assert found.verdicts["case-3"].word == "SLOWER"
    assert found.verdicts["case-3"].effect.value == pytest.approx(0.05, abs=0.02)
    assert len(pairs) == PLAN.first_pairs + PLAN.second_pairs


def test_injected_work_is_found():
    found, _ = run(extra={"case-7": 0.10})
    assert found.verdicts["case-7"].word == "SLOWER"


def test_a_slowdown_of_everything_is_found():
    found, _ = run(slower=dict.fromkeys(CASES, 0.03), spread=0.005)
    assert found.suite_slower
    assert found.exit_status == 1


def test_both_sides_get_the_same_calls_in_alternating_order():
    found, (first, *_) = run()
    samples = [(side, one["calls"]) for side, one in first.asked if one["case"] == "case-0" and one["do"] == "sample"]
    timed = [one for one in samples if one[1] == found.calls["case-0"]]
    assert [side for side, _ in timed[-16:]] == [
        *("base", "head", "head", "base", "head", "base", "base", "head") * 2,
    ]


def test_what_is_deterministic_is_compared_exactly():
    found, _ = run(head_facts={"peak_memory": 2000})
    assert found.exact["case-0"] == {"peak_memory": (1000, 2000)}
    assert found.exit_status == 1
    less, _ = run(head_facts={"operators": 4})
    assert less.exact["case-0"] == {"operators": (5, 4)}
    assert less.exit_status == 0


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


def test_nothing_to_compare():
    found, _ = run(broken={("head", name) for name in CASES})
    assert found.exit_status == 4


def test_false_alarms_of_whole_simulated_runs():
    assert sum(run(seed)[0].exit_status == 1 for seed in range(40)) <= 1
