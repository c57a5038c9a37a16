"""`reproduce.py` from a stored run to its exit status: sweeps whose figures are made up, or stored runs."""

import itertools
import json
import os
import re

import pytest

from scripts import reproduce
from tests.conftest import MADE_UP, ROOT, latency_facts, speedup_facts, sweep

TINY = ("--profile", "smoke", "--alphas", "0.25", "--resolutions", "32", "--batch-sizes", "2", "--precisions", "fp32")
CASES = (*TINY, "--devices", "cpu", "--run-to-run", "3", "-k", "model")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A stored sweep of three cases whose figures are made up."""
    path = tmp_path_factory.mktemp("runs") / "0001_before.json"
    done = sweep(*MADE_UP, *CASES, "--benchmark-json", str(path))
    assert done.returncode == 0, done.stdout
    return path


@pytest.fixture
def made_up(monkeypatch):
    """Whatever measures in a process of its own makes its figures up."""
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p benchmark -p tests.made_up -p no:cacheprovider")
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    for name in [name for name in os.environ if name.startswith("PYTEST_XDIST") or name == "PYTEST_CURRENT_TEST"]:
        monkeypatch.delenv(name)


def test_a_run_knows_the_options_that_it_was_measured_with(run):
    options = reproduce.options_of(json.loads(run.read_text()))
    given = dict(zip(options[::2], options[1::2], strict=True))
    assert given == dict(zip(CASES[::2], CASES[1::2], strict=True))


def test_a_run_of_an_earlier_revision_is_measured_with_what_it_says():
    machine = {"profile": "default", "threads": 2, "machine_state": "as-is"}
    options = reproduce.options_of({"machine_info": {"mnv1": machine}})
    assert options == ["--profile", "default", "--threads", "2", "--machine-state", "as-is"]


@pytest.mark.usefixtures("made_up")
def test_the_same_again_is_reproduced(run, tmp_path, capfd):
    assert reproduce.main([str(run), "--keep", str(tmp_path / "kept")]) == 0
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["0001_again.json"]
    assert (
        capfd.readouterr().out.splitlines()[-1] == "reproduced: of 3 figures 3 reproduced, 0 differ, 0 cannot be told"
    )


@pytest.mark.usefixtures("made_up")
def test_what_differs_is_measured_twice(run, tmp_path, capfd):
    document = json.loads(run.read_text())
    (pair,) = (one["extra_info"] for one in document["benchmarks"] if "speedup" in one["extra_info"])
    for one in (pair, *pair["states"]):
        one |= {name: 2 * one[name] for name in ("speedup", "speedup_low", "speedup_high")}
    other = tmp_path / "0001_other.json"
    other.write_text(json.dumps(document))
    assert reproduce.main([str(other)]) == 1
    said = capfd.readouterr().out
    assert "1 figures differ: they are measured once more" in said
    assert said.splitlines()[-1] == "differs: of 3 figures 2 reproduced, 1 differ, 0 cannot be told"


RUNS = sorted((ROOT / "results" / "published").glob("amd-epyc-avx512-2cpu/Linux*/*.json"))
PUBLISHED = [path for path in RUNS if re.search(r'"profile": ?"default"', path.read_text()[:50_000])]
"""The default runs of one machine."""
NEIGHBOURS = [(number, (number + 1) % len(PUBLISHED)) for number in range(len(PUBLISHED))]
OTHERS = [pair for pair in itertools.combinations(range(len(PUBLISHED)), 2) if pair not in NEIGHBOURS]


def test_there_are_runs_to_compare():
    assert len(PUBLISHED) >= 8


@pytest.mark.parametrize(
    ("one", "other"), [*NEIGHBOURS, *(pytest.param(*pair, marks=pytest.mark.slow) for pair in OTHERS)]
)
def test_no_two_published_runs_are_said_to_differ(one, other, capsys):
    before, after = (str(PUBLISHED[place]) for place in (one, other))
    assert reproduce.main([before, "--with", after]) in (0, 3)
    assert capsys.readouterr().out


def test_a_second_stored_run_confirms_what_the_first_one_says(store, capsys):
    before = store([with_states(speedup_facts(speedup=4.0))])
    other, same = (
        store([with_states(speedup_facts(speedup=speedup))], name)
        for speedup, name in ((9.0, "0002_b.json"), (4.0, "0003_c.json"))
    )
    assert reproduce.main([str(before), "--with", str(other)]) == 3
    assert "1 figures differ, which one run alone cannot tell: name a second --with RUN" in capsys.readouterr().out
    assert reproduce.main([str(before), "--with", str(other), "--with", str(same)]) == 3
    assert reproduce.main([str(before), "--with", str(other), "--with", str(other)]) == 1


def test_a_difference_that_does_not_repeat_is_none(store):
    def figures(speedup):
        return reproduce._compared(
            store([speedup_facts()]), store([speedup_facts(speedup=speedup)], "0002_b.json"), 10.0
        )

    assert [one.word for one in reproduce.confirmed(figures(9.0), figures(9.0))] == ["differs"]
    assert [one.word for one in reproduce.confirmed(figures(9.0), figures(4.0))] == ["cannot tell"]
    assert [one.word for one in reproduce.confirmed(figures(9.0), figures(1.0))] == ["cannot tell"]


def with_states(facts):
    """Facts as a run has them that read the states of the machine, without any that carries a figure."""
    return facts | {"states": [], "state": "", "visits": 9}


def test_stored_runs_are_compared_without_measuring(store, capsys):
    facts = [with_states(one) for one in (speedup_facts(), latency_facts())]
    before, after = store(facts), store(facts, "0002_b.json")
    assert reproduce.main([str(before), "--with", str(after)]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("reproduced: of 2 figures")


def test_another_machine_is_compared_in_what_may_be(store, capsys):
    facts = [with_states(one) for one in (speedup_facts(), latency_facts())]
    before, after = store(facts), store(facts, "0002_b.json", machine="another-cpu")
    assert reproduce.main([str(before), "--with", str(after)]) == 3
    said = capsys.readouterr().out
    assert "faster side: the same in 1 of 1 speedups" in said
    assert "peak memory: equal in 1 of 1 cases" in said


def test_nothing_in_common_is_one_line(store, capsys):
    one, other = (with_states(facts) for facts in (latency_facts(), speedup_facts()))
    assert reproduce.main([str(store([one])), "--with", str(store([other], "0002_b.json"))]) == 2
    assert "have no figure in common" in capsys.readouterr().err
