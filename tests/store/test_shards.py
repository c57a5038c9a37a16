"""What is missing of a sweep that several jobs measured, from stored runs that are made up."""

import json

import pytest

from mnv1.store.shards import WHOLE, lacking

CASES = [f"case-{number}" for number in range(6)]


@pytest.fixture
def shard(tmp_path):
    """Stores one shard of a sweep of six cases, two in each, and returns its path."""

    def stored(number, of=3, cases=None, whole=CASES):
        held = CASES[2 * number - 2 : 2 * number] if cases is None else cases
        machine = {"shard": f"{number}/{of}", WHOLE: whole, "schema": 5}
        path = tmp_path / f"{number}-{of}-{len(whole)}.json"
        document = {
            "benchmarks": [{"extra_info": {"id": one}} for one in held],
            "machine_info": {"mnv1": machine},
            "datetime": "2026-11-29T00:00:00",
        }
        path.write_text(json.dumps(document))
        return path

    return stored


@pytest.fixture(autouse=True)
def any_run(monkeypatch):
    """These runs hold no more than what is looked at."""
    monkeypatch.setattr("mnv1.store.shards.read", lambda path: json.loads(path.read_text()))


def test_all_shards_together_lack_nothing(shard):
    assert lacking([shard(1), shard(2), shard(3)]) == []
    assert lacking([shard(2), shard(2), shard(1), shard(3)]) == []


def test_a_shard_that_died_is_named_with_what_is_lost_and_what_to_do(shard):
    (found,) = lacking([shard(1), shard(3)])
    assert found.line == (
        "2 of the sweep's 6 cases are missing: case-2, case-3. There is no run of shard 2/3: complete it where it was "
        "begun with `pytest benchmarks --resume`, or measure it anew with --shard 2/3"
    )
    (found,) = lacking([shard(1)])
    assert found.shards == ("2/3", "3/3")
    assert found.line.startswith("4 of the sweep's 6 cases are missing: case-2, case-3, …. There is no run of")


def test_a_shard_that_lacks_a_case_is_told(shard):
    (found,) = lacking([shard(1), shard(2, cases=["case-2"]), shard(3)])
    assert found.line == (
        "1 of the sweep's 6 cases are missing: case-3; the shards that should hold them could not measure them, or "
        "were cut short"
    )


def test_sweeps_of_other_cases_or_parts_are_others(shard):
    assert len(lacking([shard(1), shard(2, of=2, whole=CASES[:4])])) == 2


def test_whole_runs_lack_nothing(tmp_path):
    path = tmp_path / "run.json"
    path.write_text(json.dumps({"benchmarks": [], "machine_info": {"mnv1": {}}}))
    assert lacking([path]) == []
