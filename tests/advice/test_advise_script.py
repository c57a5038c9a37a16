"""The command, with a measuring process whose figures are made up; and once with a real one."""

import json
from functools import partial
from pathlib import Path

import pytest
from torch import nn

import mnv1
from mnv1.base.errors import UserError
from mnv1.measure.supervisor import Supervisor
from scripts import advise

NETWORK = """
from torch import nn


def made():
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 1))
"""


@pytest.fixture
def network(tmp_path, monkeypatch):
    (tmp_path / "own.py").write_text(NETWORK)
    monkeypatch.chdir(tmp_path)
    return "own.py:made"


@pytest.fixture
def made_up(monkeypatch):
    monkeypatch.setattr("mnv1.advice.advise.Supervisor", partial(Supervisor, worker="tests.made_up_worker"))


def advised(*arguments, folder="answers"):
    return advise.main([*arguments, "--input", "3x16x16", "--out", folder])


@pytest.mark.usefixtures("made_up")
def test_an_answer_is_stored_and_told(network, tmp_path, capsys):
    assert advised(network, "--time-budget", "2") == 0
    said = capsys.readouterr().out
    assert "2 shapes of 2 convolutions to measure" in said
    assert "not replaced: 3: its kernel is 1 already" in said
    assert "Every convolution gains, so the chosen twin is the full one." in said
    (stored,) = (tmp_path / "answers").glob("*.json")
    document = json.loads(stored.read_text())
    assert document["network"] == network
    assert [one["name"] for one in document["layers"]] == ["0", "2"]
    assert all(one["verdict"] == "replace" and one["visit_rounds"] for one in document["layers"])
    for name in ("full", "chosen"):
        needed = {"measured_time", "predicted_time", "speedup", "speedup_low", "speedup_high", "macs", "params"}
        assert needed <= document[name].keys()
        assert document[name]["speedup"] == pytest.approx(4, rel=0.01)
    assert list((tmp_path / "answers").glob("*.html"))
    assert not list((tmp_path / "answers").rglob("*.journal"))


@pytest.mark.usefixtures("made_up")
def test_what_was_interrupted_goes_on(network, tmp_path, capsys, monkeypatch):
    from mnv1.advice.measured import Advisor

    whole = Advisor._run

    def interrupted(self, part, *arguments):
        if part == "networks":
            raise KeyboardInterrupt
        return whole(self, part, *arguments)

    monkeypatch.setattr(Advisor, "_run", interrupted)
    assert advised(network, "--time-budget", "2") == 130
    assert "go on with the same command and --resume" in capsys.readouterr().err
    (journal,) = tmp_path.rglob("*.journal")
    before = journal.read_text().count('"visit"')
    assert before
    monkeypatch.setattr(Advisor, "_run", whole)
    assert advised(network, "--time-budget", "2", "--resume") == 0
    assert not list(tmp_path.rglob("*.journal"))


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["own.py:made", "--input", "224"], "--input: '224' is no shape; one is such as 3x224x224"),
        (["own.py:made", "--batch-size", "0"], "--batch-size: 0 is not valid; valid: positive numbers"),
        (["own.py:made", "--time-budget", "-1"], "--time-budget: -1 is not valid"),
        (["own.py:made", "--precision", "int8"], "eager does not exist in int8 on cpu"),
        (["own.py:other"], "own.py:other: own.py has no callable 'other'"),
        (["nothing.py:other"], "nothing.py: there is no such file"),
    ],
)
@pytest.mark.usefixtures("network")
def test_bad_input_is_a_line(capsys, arguments, why):
    assert advise.main(arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"error: {why}")
    assert error.count("\n") == 1


@pytest.mark.usefixtures("made_up")
def test_a_network_that_a_program_passes(tmp_path):
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1))
    said = []
    answer = mnv1.advise(network.train(), (3, 16, 16), time_budget=2, out=tmp_path, say=said.append)
    assert answer["network"] == "Sequential"
    assert answer["chosen"]["replaced"] == ["0", "2"]
    assert said[0] == "2 shapes of 2 convolutions to measure"
    stored, page = map(Path, answer["files"])
    assert json.loads(stored.read_text())["full"] == answer["full"]
    assert "separable_twin(network)" in page.read_text()
    assert network.training, "the caller's own stays as it was"


def test_a_network_that_no_other_process_can_have(monkeypatch):
    class Own(nn.Sequential):
        pass

    network = Own(nn.Conv2d(3, 3, 3, padding=1))
    with pytest.raises(UserError, match="Own: cannot be handed to the process that measures"):
        mnv1.advise(network, (3, 8, 8))
    monkeypatch.setattr(Own, "__module__", "__main__")
    with pytest.raises(UserError, match="Own is defined in the program itself"):
        mnv1.advise(network, (3, 8, 8))


@pytest.mark.slow
def test_a_real_network_is_measured(network, tmp_path):
    assert advised(network, "--time-budget", "4") == 0
    (stored,) = (tmp_path / "answers").glob("*.json")
    document = json.loads(stored.read_text())
    assert document["full"]["measured_time"] > 0
    assert document["original"]["peak_memory"] > 0
