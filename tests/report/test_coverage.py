"""Whether intervals hold for the next run: made-up runs whose truth is known."""

import math

import numpy as np
import pandas as pd
import pytest

from mnv1.report.coverage import checks, coverage, coverage_table
from mnv1.store.figures import FIGURE_COLUMNS, load_figures
from mnv1.store.runs import ResultError
from tests.conftest import latency_facts, speedup_facts


def runs(number, cases=40, between=0.0, half=0.02, state="CPUs share a cache", seed=1, told=0.0):
    """Figures whose visits tell the truth of a run by itself, while runs differ by `between` as well.

    Intervals have a component of `told` between runs.
    """
    wide = math.hypot(half, 1.96 * told)
    rng = np.random.default_rng(seed)
    rows = []
    for run in range(number):
        for case in range(cases):
            log = rng.normal(0, half / 1.96) + rng.normal(0, between)
            value, low, high = (math.exp(log + shift) for shift in (0, -wide, wide))
            figure = ("speedup", value, low, high, told, 10**6, 10**7)
            rows.append((f"000{run}", f"case-{case}", "speedup", state, 1e-7, *figure))
    return pd.DataFrame(rows, columns=list(FIGURE_COLUMNS))


def test_honest_intervals_cover_and_others_do_not():
    (honest,) = coverage(runs(8)).to_dict("records")
    assert honest["covered"] == pytest.approx(0.95, abs=0.03)
    assert honest["covered_low"] < honest["covered"] < honest["covered_high"]
    assert honest["cv"] == pytest.approx(0.02 / 1.96, rel=0.15)
    assert honest["half_width"] == pytest.approx(0.02)
    (shaken,) = coverage(runs(8, between=0.03)).to_dict("records")
    assert shaken["covered"] < 0.6
    assert shaken["cv_tail"] > shaken["cv"] > honest["cv"]


def test_what_runs_differ_by_is_found_and_intervals_with_it_cover():
    (found,) = coverage(runs(12, cases=200, between=0.03, told=0.03)).to_dict("records")
    assert found["run_to_run"] == pytest.approx(0.03, rel=0.05)
    assert found["covered"] == pytest.approx(0.95, abs=0.02)
    assert found["visits_cover"] < 0.6
    (none,) = coverage(runs(12, cases=200)).to_dict("records")
    assert none["run_to_run"] < 0.003
    (untold,) = coverage(runs(12, cases=200, between=0.03)).to_dict("records")
    assert untold["covered"] == untold["visits_cover"] < 0.6
    assert untold["foretold_cover"] == pytest.approx(0.95, abs=0.02)
    assert none["visits_cover"] == none["covered"]


def test_by_hand():
    # Three runs of one figure: each against the mean of the other two, with its interval times the root of 1.5.
    logs, half = (0.00, 0.03, 0.06), 0.02
    rows = [
        (
            f"000{run}",
            "a",
            "latency",
            "",
            None,
            "latency",
            *(math.exp(log + one) for one in (0, -half, half)),
            0.0,
            9,
            9,
        )
        for run, log in enumerate(logs)
    ]
    found = checks(pd.DataFrame(rows, columns=list(FIGURE_COLUMNS)))
    assert list(found["others"]) == pytest.approx([0.045, 0.03, 0.015])
    assert list(found["holds"]) == [False, True, False]


def test_states_are_judged_apart():
    both = pd.concat([runs(4), runs(4, state="CPUs apart", between=0.05, seed=2)])
    assert list(coverage(both)["state"]) == ["CPUs share a cache", "CPUs apart"]


def test_a_figure_that_few_runs_have_is_left_out():
    few = runs(2)
    with pytest.raises(ResultError, match="at least 3 runs have in the same state"):
        coverage(few)
    assert coverage(pd.concat([runs(4, cases=3), runs(2, cases=9)]), fewest=5)["cases"].item() == 3


def test_the_table():
    text = coverage_table(coverage(runs(8, cases=200)))
    assert text.splitlines()[0].startswith("| figure | state | runs | cases | CV between runs | 90th percentile |")
    assert text.splitlines()[2].startswith("| speedup | CPUs share a cache | 8 | 200 | 1")


def test_figures_of_stored_runs(store):
    of_states = [
        {"state": "CPUs share a cache", "message": 1e-7, "visits": 8, "rounds": 16},
        {"state": "CPUs apart", "message": 3e-7, "visits": 5, "rounds": 10},
    ]
    facts = speedup_facts(speedup=4.0)
    known = {name: facts[name] for name in ("latency_p50", "latency_low", "latency_high")}
    states = [one | known | {"speedup": 4.0, "speedup_low": 3.9, "speedup_high": 4.1} for one in of_states]
    table = load_figures([store([facts | {"states": states}, latency_facts()])])
    assert list(table["state"]) == ["CPUs share a cache", "CPUs apart", ""]
    assert list(table["figure"]) == ["speedup", "speedup", "latency"]
    assert list(table["value"])[:2] == [4.0, 4.0]
    with pytest.raises(ResultError, match="are damaged"):
        load_figures([store([facts | {"states": [{"state": "CPUs apart"}]}])])
