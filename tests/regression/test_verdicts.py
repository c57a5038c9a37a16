"""Verdicts on simulated process pairs: no process is started and no time passes."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnv1.regression.verdicts import QUICK, Rules, effect_of, suite_effect, suite_word, unusable, words_of
from tests.simulated_pairs import judge

RULES = Rules()
RUNS = 2000
STEADY = [0.001, -0.001, 0.002, -0.002, 0.0, 0.001, -0.001, 0.0]


def pairs(effect, spread, seed, count=RUNS, most=RULES.looks[-1]):
    """Log ratios of simulated runs, pairs by runs: head takes `1 + effect` times as long, with some scatter."""
    return np.random.default_rng(seed).normal(math.log1p(effect), spread, (most, count))


def decided(ratios, rules=RULES, cases=26):
    """How often each word comes out of runs in which each column is one of so many cases, and after how many pairs."""
    words, when = np.full(ratios.shape[1], "UNDECIDED"), np.full(ratios.shape[1], len(ratios))
    for look in rules.looks:
        wanted = np.flatnonzero(words == "UNDECIDED")
        if not len(wanted):
            break
        words[wanted] = words_of(ratios[:look, wanted], rules, cases)
        when[wanted[words[wanted] != "UNDECIDED"]] = look
    shares = {word: float(np.mean(words == word)) for word in ("SLOWER", "FASTER", "SAME", "UNDECIDED")}
    return shares, float(np.median(when))


@pytest.mark.parametrize("spread", [0.005, 0.01, 0.02, 0.04])
def test_identical_code_gives_hardly_any_alarm(spread):
    shares, _ = decided(pairs(0.0, spread, 0, 20_000))
    assert shares["SLOWER"] + shares["FASTER"] <= 0.0005


def test_the_alarms_of_a_run_stay_within_their_budget_whatever_the_number_of_cases():
    """With nothing but chance to go by: any difference would do."""
    rules = Rules(least_effect=1e-9, same_within=1e-9)
    for cases in (1, 20):
        words, _ = decided(pairs(0.0, 0.02, cases, 4000 * cases), rules, cases)
        runs_with_alarm = cases * words["SLOWER"]
        assert runs_with_alarm <= 1.5 * rules.false_alarms


@pytest.mark.parametrize(
    ("effect", "spread", "power"),
    [(0.03, 0.01, 0.98), (0.03, 0.02, 0.95), (0.05, 0.02, 0.99), (0.05, 0.03, 0.98), (0.10, 0.04, 0.99)],
)
def test_slowdowns_are_found(effect, spread, power):
    assert decided(pairs(effect, spread, 1))[0]["SLOWER"] >= power


def test_quick_finds_what_it_says():
    shares, _ = decided(pairs(0.05, 0.015, 2), QUICK)
    assert shares["SLOWER"] >= 0.95


def test_speedups_are_found_as_well():
    assert decided(pairs(-0.04, 0.015, 3))[0]["FASTER"] >= 0.95


def test_what_is_clear_is_decided_at_the_first_looks():
    same, when_same = decided(pairs(0.0, 0.01, 4))
    slower, when_slower = decided(pairs(0.15, 0.01, 5))
    assert same["SAME"] >= 0.99
    assert slower["SLOWER"] == 1
    assert (when_same, when_slower) == (6, 6)


def test_a_slowdown_at_the_limit_of_same_is_hardly_ever_called_the_same():
    shares, _ = decided(pairs(RULES.same_within, 0.02, 6))
    assert shares["SAME"] <= RULES.missed


def test_a_certain_but_tiny_difference_is_not_reported():
    ratios = [0.010, 0.011, 0.009, 0.010, 0.011, 0.009, 0.010, 0.010]
    assert judge(ratios, RULES, 1).word == "SAME"


def test_heavy_tails_do_not_raise_alarms():
    drawn = 0.02 * np.random.default_rng(3).standard_t(3, (RULES.looks[-1], 20_000))
    assert decided(drawn)[0]["SLOWER"] <= 0.0005


def test_one_slow_process_is_no_slowdown():
    assert judge([0.0, 0.01, -0.01, 0.005, -0.005, 0.0, 0.01, 0.5], RULES, 1).word == "UNDECIDED"


def test_a_verdict_says_why():
    assert (
        judge([0.05, 0.051, 0.049, 0.05, 0.052, 0.05], RULES, 10).why
        == "beyond chance (p ≤ 6e-05) and by 1.5 % or more"
    )
    assert judge(STEADY, RULES, 10).why == "equal within ±3 %"


def test_intervals_cover_the_truth_at_whichever_look_they_are_told():
    ratios = pairs(0.05, 0.03, 7)
    ever_outside = np.zeros(RUNS, bool)
    for look in RULES.looks:
        effects = [effect_of(one, 0.01, len(RULES.looks)) for one in ratios[:look].T.tolist()]
        ever_outside |= [not one.low <= 0.05 <= one.high for one in effects]
    assert ever_outside.mean() <= 0.05


def test_what_is_detectable_is_detected_in_four_runs_of_five():
    effects = [effect_of(one, 0.01) for one in pairs(0, 0.02, 5, most=12).T.tolist()]
    detectable = np.median([one.detectable for one in effects])
    found = [effect_of(one, 0.01).p_slower <= 0.01 for one in pairs(detectable, 0.02, 6, most=12).T.tolist()]
    assert 0.75 <= np.mean(found) <= 0.87


@given(st.lists(st.floats(-0.3, 0.3), min_size=3, max_size=30))
def test_exchanging_the_sides_exchanges_the_words(ratios):
    turned = {"SLOWER": "FASTER", "FASTER": "SLOWER"}
    word, other = (judge(one, RULES, 5).word for one in (ratios, [-ratio for ratio in ratios]))
    assert other == turned.get(word, word)


def by_pair(ratios):
    return [{f"case {n}": one for n, one in enumerate(row)} for row in ratios.tolist()]


def test_a_uniform_slowdown_shows_in_the_suite():
    slow = by_pair(pairs(0.02, 0.02, 11, 24, 8))
    assert suite_word(suite_effect(slow, RULES), RULES) == "SLOWER"
    same = by_pair(pairs(0.0, 0.02, 12, 24, 8))
    assert suite_word(suite_effect(same, RULES), RULES) == "SAME"


def test_one_slow_case_is_no_slow_suite():
    ratios = pairs(0.0, 0.005, 13, 10, 8)
    ratios[:, 3] += 0.5
    assert suite_word(suite_effect(by_pair(ratios), RULES), RULES) == "SAME"


def test_controls_that_differ_or_scatter_make_a_run_unusable():
    assert unusable({"python": STEADY}, RULES) == []
    assert unusable({"gemm": [one + 0.03 for one in STEADY]}, RULES) == [
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
