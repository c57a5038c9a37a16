"""What a ledger shows, from simulated self-tests."""

import numpy as np
import pytest

from mnv1.regression import self_tests
from mnv1.regression.other_tools import other_tools_table
from mnv1.regression.plan import Plan
from mnv1.regression.resampling import Cost, identical, pool_of, simulated, slowed
from mnv1.regression.stored import append_line, is_of_identical_code
from mnv1.regression.verdicts import Rules
from scripts.method import false_alarms
from tests.simulated_pairs import CASES, entry, run

PLAN, RULES = Plan(), Rules()
PATIENT = Plan(patience=1e9)


@pytest.fixture(scope="module")
def ledger():
    slowed = dict.fromkeys(list(CASES)[:12], 0.05)
    return [
        *(entry(seed, wall_time=200.0 + 10 * seed) for seed in range(4)),
        *(entry(10 + seed, extra=slowed, wall_time=400.0) for seed in range(2)),
        entry(20, quick=True, wall_time=100.0),
        *(entry(30 + seed, whole=True) for seed in range(3)),
    ]


@pytest.fixture(scope="module")
def pool(ledger):
    return pool_of(ledger)


def test_only_whole_runs_of_identical_code_are_pooled(ledger, pool):
    assert pool.pairs == 3 * RULES.looks[-1]
    assert pool.cases == tuple(sorted(CASES))
    assert pool.runs[1][:, pool.cases.index("case-3")].tolist() == ledger[8]["ratios"]["case-3"]
    with pytest.raises(ValueError, match="there is no self-test that measured all cases to the end"):
        pool_of(ledger[:7])


def test_what_a_pair_costs_is_found_from_how_many_cases_it_measured(ledger, pool):
    few = {**ledger[7], "pair_times": [(24, 4.0 + 0.6 * 24), (3, 4.0 + 0.6 * 3)]}
    found = pool_of([few, *ledger[8:]]).cost
    assert (found.pair, found.case) == (pytest.approx(4.0), pytest.approx(0.6))
    assert pool.cost.of(24) == pytest.approx(4.0 + 0.6 * 24), "where all pairs measured as many"


def test_a_resampled_run_decides_as_a_real_one_does(pool):
    """The same pairs, given to the comparison and to its stand-in."""
    found, _ = run(31, whole=True)
    drawn = np.array([found.ratios[name] for name in pool.cases]).T
    again = simulated(drawn, PLAN, RULES, Cost(0.0, 0.0))
    assert dict(zip(pool.cases, again.words, strict=True)) == {name: one.word for name, one in found.verdicts.items()}


def test_a_resampled_run_ends_when_its_time_is_spent():
    drawn = np.tile([[0.2], [-0.2]], (32, len(CASES)))
    found = simulated(drawn, PATIENT, RULES, Cost(10.0, 1.0))
    assert set(found.words) == {"UNDECIDED"}
    assert PLAN.time - 34.0 < found.seconds <= PLAN.time
    late = simulated(drawn, PLAN, RULES, Cost(1000.0, 1.0))
    assert late.pairs == RULES.looks[0], "but every case gets its first look"


@pytest.mark.parametrize("by_run", [False, True])
def test_resampled_identical_code_gives_hardly_any_alarm(pool, by_run):
    found = identical(pool, PLAN, RULES, 200, seed=1, by_run=by_run)
    assert sum(one.is_alarm for one in found) <= 2


def test_resampling_sees_an_alarm_where_there_is_one():
    """Pairs that are all slow in one case, unless the sides are exchanged at random: which is what `by_run` leaves."""
    biased = pool_of([entry(seed, slower={"case-3": 0.06}, whole=True) for seed in range(2)])
    assert sum(one.is_alarm for one in identical(biased, PLAN, RULES, 40, seed=1, by_run=True)) >= 36
    assert sum(one.is_alarm for one in identical(biased, PLAN, RULES, 40, seed=1, by_run=False)) <= 2


def test_power_grows_with_the_effect(pool):
    found = []
    for effect in (0.0, 0.02, 0.03, 0.05):
        words = [word for word, _ in slowed(pool, PLAN, RULES, effect, 72, seed=2)]
        found.append(words.count("SLOWER") / len(words))
    assert found == sorted(found)
    assert found[0] == 0
    assert found[2] >= 0.95
    assert found[3] == 1


def test_resampling_repeats(pool):
    assert identical(pool, PLAN, RULES, 20, 5, False) == identical(pool, PLAN, RULES, 20, 5, False)


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


def test_a_comparison_of_identical_code_is_one_whatever_its_revisions_were_called(ledger):
    def with_side(**head):
        return {**ledger[0], "about": about, "sides": {**sides, "head": {**sides["head"], **head}}}

    about, sides = {**ledger[0]["about"], "self_test": False}, ledger[0]["sides"]
    assert is_of_identical_code(with_side(revision="working tree"))
    assert not is_of_identical_code(with_side(code="1" * 64))
    assert not is_of_identical_code(with_side(torch="2.16.0"))
    assert not is_of_identical_code({**with_side(), "about": {**about, "installed": True}})
    counted = self_tests.identical_table([with_side(), with_side(code="1" * 64)]).splitlines()[-1]
    assert counted.startswith("| default | 1 |")


def test_scatter_is_that_within_runs(pool, monkeypatch):
    monkeypatch.setattr(self_tests, "RESAMPLED_SLOW", len(CASES))
    *_, first, last = self_tests.scatter_table(pool).splitlines()
    spread = float(last.split("|")[2].strip(" %"))
    assert spread == pytest.approx(100 * np.hypot(0.01 / np.sqrt(2), 0.005), abs=0.3)
    assert first.split("|")[3].strip().endswith("%")


def test_the_command(ledger, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(self_tests, "RESAMPLED", 20)
    monkeypatch.setattr(self_tests, "RESAMPLED_SLOW", len(CASES))
    path = tmp_path / "ledger.jsonl"
    for one in ledger:
        append_line(path, one)
    assert false_alarms.main([str(path), "--out", str(tmp_path / "out.md")]) == 0
    text = (tmp_path / "out.md").read_text()
    assert text == capsys.readouterr().out
    assert "from 192 process pairs of runs that measured all cases to the end (runs: 3)" in text
    assert "0 of 20 runs (0.00 %)" in text
    assert false_alarms.main([str(tmp_path / "none")]) == 1
    assert capsys.readouterr().err.startswith("error: ")
    append_line(tmp_path / "injected", ledger[4])
    assert false_alarms.main([str(tmp_path / "injected")]) == 1
    assert capsys.readouterr().err.endswith("add some with --self-test --whole\n")


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
    head = ledger[0]["sides"]["head"] | {"code": "1" * 64}
    changed = {"about": ledger[0]["about"] | {"self_test": False}, "sides": ledger[0]["sides"] | {"head": head}}
    assert other_tools_table(answers, [*ledger, ledger[0] | changed]).splitlines()[2:] == [
        "| `asv continuous --factor 1.05` | identical | 2 | 1 | 3 of 52 (5.8 %) | 5:10 min |",
        "| `asv continuous --factor 1.05` | +5 % | 1 | 1 | 13 of 26 (50.0 %) | 5:00 min |",
        "| `python -m mnv1.regression` | identical | 4 | 0 | 0 of 96 (0.0 %) | 3:35 min |",
        "| `python -m mnv1.regression` | +5 % | 2 | 2 | 24 of 24 (100.0 %) | 6:40 min |",
    ]
