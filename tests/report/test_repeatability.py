import pandas as pd
import pytest

from mnv1.measure.estimates import with_speedups_again
from mnv1.report.repeatability import case_table, repeatability, summary, time_table
from mnv1.store.runs import ResultError, load
from tests.conftest import latency_facts, speedup_facts


def runs(store, *figures, **environment):
    """Runs of one case with the given (speedup, why sampling stopped)."""
    paths = [
        store([speedup_facts(speedup=speedup, stopped=stopped), latency_facts()], name=f"000{n}_r.json", **environment)
        for n, (speedup, stopped) in enumerate(figures, start=1)
    ]
    return load(paths)


def test_variation_over_all_and_over_undisturbed_runs(store):
    table = repeatability(runs(store, (3.9, "precise"), (4.1, "time budget"), (2.0, "disturbed")))
    (row,) = table.to_dict("records")
    assert row["runs"] == 3
    assert row["undisturbed_runs"] == 2
    assert row["undisturbed_cv"] == pytest.approx(0.1 * 2**0.5 / 4.0)
    assert row["cv"] > 0.3
    assert summary(table).splitlines()[2:] == ["| all | 1 | 34.8 % | 34.8 % |", "| undisturbed | 1 | 3.5 % | 3.5 % |"]
    assert case_table(table).splitlines()[-1] == (
        "| speedup-model-a1.00-r224-b1-cpu-fp32 | 3 | 3.33× | 34.8 % | 2 | 3.5 % |"
    )


def test_a_case_without_two_undisturbed_runs_has_no_such_figure(store):
    table = repeatability(runs(store, (4.0, "disturbed"), (4.2, "disturbed")))
    assert "undisturbed" not in summary(table).split("CV |")[-1]
    assert case_table(table).endswith("| 0 |  |")


def test_unlike_or_single_runs_are_refused(store):
    with pytest.raises(ResultError, match="at least two runs"):
        repeatability(runs(store, (4.0, "precise")))
    here = store([speedup_facts()])
    there = store([speedup_facts()], name="0002_b.json", machine="other")
    with pytest.raises(ResultError, match="unlike environments"):
        repeatability(load([here, there]))


def test_times_and_the_share_of_calls():
    times = pd.DataFrame({"run": ["0001_a", "old"], "wall_time": [500.0, None], "call_time": [400.0, None]})
    assert time_table(times).splitlines()[2:] == ["| `0001_a` | 8:20 min | 80.0 % |"]


def test_speedups_are_estimated_again_from_the_stored_rounds(store):
    """Of runs that have what controls took; half of the rounds were disturbed, and lost a fifth of their speedup."""
    rounds = {"standard": [0.05, 0.05], "separable": [0.01, 0.01], "disturbed": [False, False]}
    quiet = rounds | {"controls": [[7e-6, 1.8e-4, 6e-5]] * 3}
    busy = rounds | {"standard": [0.04, 0.04], "controls": [[1.4e-5, 1.8e-4, 6e-5]] * 3}
    facts = speedup_facts(speedup=4.5) | {"visit_rounds": [quiet, quiet, quiet, busy, busy, busy]}
    path = store([facts, latency_facts()])
    again = with_speedups_again(load([path]), [path])
    (row,) = again[again["measures"] == "speedup"].to_dict("records")
    assert 4.9 < row["speedup"] < 5.0
    assert row["speedup_low"] < row["speedup"] < row["speedup_high"]
    assert row["effective_rounds"] < 7
    assert list(load([path])["speedup"].dropna()) == [4.5]
    old = store([speedup_facts(speedup=4.5) | {"visit_rounds": [rounds | {"slowness": [1.0]}]}], name="0002_a.json")
    assert list(with_speedups_again(load([old]), [old])["speedup"]) == [4.5]
    facts["visit_rounds"] = [{"controls": [[1.0]]}]
    damaged = store([facts], name="0003_a.json")
    with pytest.raises(ResultError, match="rounds of its speedups are damaged"):
        with_speedups_again(load([damaged]), [damaged])
