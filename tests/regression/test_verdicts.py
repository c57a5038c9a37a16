"""Verdicts on simulated process pairs: no process is started and no time passes."""

import math

import numpy as np
import pytest

from mnv1.regression.verdicts import (
    Rules,
    effect_of,
    is_candidate,
    is_uniform_slowdown,
    judge,
    suite_effect,
    unusable,
)

RULES = Rules()
RUNS = 2000


def runs(effect, spread, pairs, seed, count=RUNS):
    """Log ratios of simulated runs: head takes `1 + effect` times as long, with some scatter between processes."""
    return np.random.default_rng(seed).normal(math.log1p(effect), spread, (count, pairs))


def words(effect, spread, seed=0, pairs=(8, 10)):
    """How often each verdict is given over many simulated runs of one case."""
    found = {"SLOWER": 0, "FASTER": 0, "SAME": 0, "UNDECIDED": 0}
    for first, second in zip(
        runs(effect, spread, pairs[0], seed), runs(effect, spread, pairs[1], seed + 1), strict=True
    ):
        verdict = judge(first, second if is_candidate(first, RULES) else None, RULES)
        found[verdict.word] += 1
    return {word: number / RUNS for word, number in found.items()}


@pytest.mark.parametrize("spread", [0.005, 0.01, 0.02, 0.04])
def test_identical_code_gives_hardly_any_alarm(spread):
    found = words(0.0, spread)
    assert found["SLOWER"] + found["FASTER"] <= 0.001


def test_a_steady_suite_of_identical_code_gives_no_alarm_in_a_hundred_runs():
    alarms = 0
    for seed in range(100):
        firsts, seconds = runs(0, 0.02, 8, 2 * seed, 60), runs(0, 0.02, 12, 2 * seed + 1, 60)
        alarms += any(
            judge(first, second if is_candidate(first, RULES) else None, RULES).word in ("SLOWER", "FASTER")
            for first, second in zip(firsts, seconds, strict=True)
        )
    assert alarms <= 1


@pytest.mark.parametrize(("effect", "power"), [(0.05, 0.95), (0.10, 0.99)])
def test_slowdowns_are_found(effect, power):
    assert words(effect, 0.02)["SLOWER"] >= power


def test_speedups_are_found_as_well():
    assert words(-0.06, 0.015)["FASTER"] >= 0.95


def test_steady_identical_code_is_shown_to_be_the_same():
    assert words(0.0, 0.02)["SAME"] >= 0.95


def test_heavy_tails_do_not_raise_alarms():
    rng = np.random.default_rng(3)
    alarms = 0
    for _ in range(RUNS):
        first, second = (0.02 * rng.standard_t(3, size) for size in (8, 10))
        alarms += judge(first, second if is_candidate(first, RULES) else None, RULES).word in ("SLOWER", "FASTER")
    assert alarms / RUNS <= 0.002


def test_one_slow_process_is_no_slowdown():
    first = [0.0, 0.01, -0.01, 0.005, -0.005, 0.0, 0.01, 0.5]
    assert not is_candidate(first, RULES)


def test_a_candidate_that_is_not_confirmed_is_no_slowdown():
    first = [0.05, 0.06, 0.04, 0.05, 0.06, 0.05, 0.04, 0.05]
    assert is_candidate(first, RULES)
    second = [0.001, -0.002] * 6
    assert judge(first, second, RULES).word == "SAME"
    confirmed = judge(first, [0.05, 0.06] * 6, RULES)
    assert (confirmed.word, confirmed.stages) == ("SLOWER", 2)
    assert confirmed.effect.value == pytest.approx(math.expm1(0.055))


def test_a_certain_but_tiny_difference_is_not_reported():
    ratios = [0.010, 0.011, 0.009, 0.010, 0.011, 0.009, 0.010, 0.010]
    assert not is_candidate(ratios, RULES)
    assert judge(ratios, None, RULES).word == "SAME"


def test_intervals_cover_the_truth():
    inside = [effect.low <= 0.05 <= effect.high for effect in (effect_of(one, 0.01) for one in runs(0.05, 0.03, 8, 7))]
    assert 0.93 <= np.mean(inside) <= 0.97


def test_what_is_detectable_is_detected_in_four_runs_of_five():
    detectable = np.median([effect_of(one, 0.01).detectable for one in runs(0, 0.02, 12, 5)])
    found = [effect_of(one, 0.01).p_slower <= 0.01 for one in runs(detectable, 0.02, 12, 6)]
    assert 0.75 <= np.mean(found) <= 0.87


def test_a_uniform_slowdown_shows_in_the_suite():
    slow = {f"case {n}": row for n, row in enumerate(runs(0.02, 0.02, 8, 11, 24))}
    assert is_uniform_slowdown(suite_effect(slow, RULES), RULES)
    same = {f"case {n}": row for n, row in enumerate(runs(0.0, 0.02, 8, 12, 24))}
    assert not is_uniform_slowdown(suite_effect(same, RULES), RULES)


def test_controls_that_differ_or_scatter_make_a_run_unusable():
    steady = [0.001, -0.001, 0.002, -0.002, 0.0, 0.001, -0.001, 0.0]
    assert unusable({"python": steady}, RULES) == []
    assert unusable({"gemm": [one + 0.03 for one in steady]}, RULES) == [
        "control gemm differs between the sides by +3.0 %"
    ]
    (line,) = unusable({"copy": [0.1, -0.1, 0.08, -0.09, 0.1, -0.1, 0.05, -0.05]}, RULES)
    assert line.startswith("control copy scatters by ")
    assert unusable({"python": [0.1, -0.1, 0.08, -0.09, 0.1, -0.1, 0.05, -0.05]}, RULES) == []
    assert unusable({"python": [0.1, 0.12, 0.11, 0.1, 0.12, 0.11, 0.1, 0.12]}, RULES) == [
        "control python differs between the sides by +11.6 %"
    ]


def test_too_few_pairs():
    with pytest.raises(ValueError, match="at least 3 pairs"):
        effect_of([0.0, 0.1], 0.01)
