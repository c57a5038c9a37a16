"""What a ledger shows, from simulated self-tests."""

import numpy as np
import pytest

from mnv1.regression import self_tests
from mnv1.regression.other_tools import other_tools_table
from mnv1.regression.resampling import alarms, pool_of, power
from mnv1.regression.stored import append_line
from mnv1.regression.verdicts import Rules
from scripts.method import false_alarms
from tests.simulated_pairs import CASES, entry

RULES = Rules()
SIZES = (8, 10)


@pytest.fixture(scope="module")
def ledger():
    slowed = dict.fromkeys(list(CASES)[:12], 0.05)
    return [
        *(entry(seed, wall_time=200.0 + 10 * seed) for seed in range(4)),
        *(entry(10 + seed, extra=slowed, wall_time=400.0) for seed in range(2)),
        entry(20, quick=True, wall_time=100.0),
    ]


def test_only_identical_code_is_pooled(ledger):
    pool = pool_of(ledger)
    assert pool.pairs == 8 * 5
    assert pool.cases == tuple(sorted(CASES))
    assert pool.runs[1][:, pool.cases.index("case-3")].tolist() == ledger[1]["first"]["case-3"]
    with pytest.raises(ValueError, match="there is no self-test without injected work"):
        pool_of(ledger[4:6])


@pytest.mark.parametrize("by_run", [False, True])
def test_resampled_identical_code_gives_hardly_any_alarm(ledger, by_run):
    found = alarms(pool_of(ledger), SIZES, 300, RULES, seed=1, by_run=by_run)
    assert found.runs == 300
    assert found.verdicts == 300 * len(CASES)
    assert found.alarmed <= 3
    assert found.flagged <= 0.001 * found.verdicts


def test_resampling_sees_an_alarm_where_there_is_one():
    """Pairs that are all slow in one case, unless the sides are exchanged at random: which is what `by_run` leaves."""
    biased = [entry(seed, slower={"case-3": 0.06}) for seed in range(2)]
    assert alarms(pool_of(biased), SIZES, 50, RULES, seed=1, by_run=True).alarmed >= 45
    assert alarms(pool_of(biased), SIZES, 50, RULES, seed=1, by_run=False).alarmed <= 2


def test_power_grows_with_the_effect(ledger):
    found = [power(pool_of(ledger), SIZES, effect, 20, RULES, seed=2) for effect in (0.0, 0.03, 0.05, 0.10)]
    assert found == sorted(found)
    assert found[0] <= 0.01
    assert found[2] >= 0.95
    assert found[3] >= 0.99


def test_resampling_repeats(ledger):
    pool = pool_of(ledger)
    assert alarms(pool, SIZES, 20, RULES, 5, False) == alarms(pool, SIZES, 20, RULES, 5, False)
    assert np.isfinite(power(pool, SIZES, 0.05, 5, RULES, 5))


def test_the_table_of_identical_code(ledger):
    *_, default, quick = self_tests.identical_table(ledger).splitlines()
    assert default == "| default | 4 | 0 | 0 | 52.7 % | 96 | 0 (0.0 %) | 0 | 3:35 (3:50) min |"
    assert quick == "| --quick | 1 | 0 | 0 | 95.0 % | 24 | 0 (0.0 %) | 0 | 1:40 (1:40) min |"


def test_the_table_of_injected_work(ledger):
    (row,) = self_tests.injected_table(ledger).splitlines()[2:]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[:5] == ["default", "+5 %", "2", "2", "24"]
    assert cells[5].startswith("24 (100.0 % [")
    assert cells[8] == "0 of 24"
    assert self_tests.injected_table(ledger[:4]) == ""


def test_scatter_is_that_within_runs(ledger):
    table = self_tests.scatter_table(pool_of(ledger))
    spread = float(table.splitlines()[-1].split("|")[2].strip(" %"))
    assert spread == pytest.approx(100 * np.hypot(0.015 / np.sqrt(2), 0.005), abs=0.4)


def test_the_command(ledger, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(self_tests, "RESAMPLED", 20)
    monkeypatch.setattr(self_tests, "RESAMPLED_SLOW", 5)
    path = tmp_path / "ledger.jsonl"
    for one in ledger:
        append_line(path, one)
    assert false_alarms.main([str(path), "--out", str(tmp_path / "out.md")]) == 0
    text = (tmp_path / "out.md").read_text()
    assert text == capsys.readouterr().out
    assert "from the 32 process pairs of 4 default self-tests" in text
    assert "0 of 20 runs (0.00 %)" in text
    assert false_alarms.main([str(tmp_path / "none")]) == 1
    assert capsys.readouterr().err.startswith("error: ")
    append_line(tmp_path / "injected", ledger[4])
    assert false_alarms.main([str(tmp_path / "injected")]) == 1
    assert capsys.readouterr().err.endswith("there is no self-test without injected work\n")


def test_other_tools_beside_this_one(ledger):
    answers = [
        {
            "tool": "asv",
            "code": "identical",
            "slowdown": 0.0,
            "red": True,
            "flagged": 3,
            "cases": 26,
            "wall_time": 300.0,
        },
        {
            "tool": "asv",
            "code": "identical",
            "slowdown": 0.0,
            "red": False,
            "flagged": 0,
            "cases": 26,
            "wall_time": 320.0,
        },
        {
            "tool": "asv",
            "code": "slower",
            "slowdown": 0.05,
            "red": True,
            "flagged": 13,
            "cases": 26,
            "wall_time": 300.0,
        },
    ]
    assert other_tools_table(answers, ledger).splitlines()[2:] == [
        "| `asv continuous --factor 1.05` | identical | 2 | 1 | 3 of 52 (5.8 %) | 5:10 min |",
        "| `asv continuous --factor 1.05` | +5 % | 1 | 1 | 13 of 26 (50.0 %) | 5:00 min |",
        "| `compare_revisions.py` | identical | 4 | 0 | 0 of 96 (0.0 %) | 3:35 min |",
        "| `compare_revisions.py` | +5 % | 2 | 2 | 24 of 24 (100.0 %) | 6:40 min |",
    ]
