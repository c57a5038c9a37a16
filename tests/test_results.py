import json

import pandas as pd
import pytest

from mnv1.results import COLUMNS, ResultError, combine, find_runs, load
from tests.conftest import document, latency_facts, speedup_facts


def test_table_is_tidy(store):
    path = store([latency_facts(), speedup_facts()])
    table = load([path])
    assert list(table.columns) == list(COLUMNS)
    assert len(table) == 2
    case = table.iloc[0]
    assert case["run"] == "0001_a"
    assert case["commit"] == "0123456789ab"
    assert case["machine"] == "test-cpu"
    assert case["latency_p50"] == 0.010
    assert case["time"] == pd.Timestamp("2026-01-02T03:04:05Z")
    assert pd.isna(case["speedup"])
    assert table.iloc[1]["speedup"] == 4.0


def test_several_runs_are_stacked(store):
    table = load([store([latency_facts()]), store([latency_facts(batch_size=8)], name="0002_b.json")])
    assert list(table["run"]) == ["0001_a", "0002_b"]


def test_newest_measurement_of_a_case_wins(store):
    old = load([store([latency_facts(latency=1.0), latency_facts(batch_size=8)])])
    new = load([store([latency_facts(latency=2.0)], name="0002_b.json", time="2026-02-02T03:04:05+00:00")])
    for order in ([old, new], [new, old]):
        combined = combine(order).set_index("id")
        assert len(combined) == 2
        assert combined.loc[latency_facts()["id"], "latency_p50"] == 2.0


def test_unlike_environments_are_not_mixed(store):
    here = load([store([latency_facts()])])
    there = load([store([latency_facts()], name="0002_b.json", machine="other-cpu")])
    with pytest.raises(
        ResultError, match=r"2 unlike environments, render one at a time: 0001_a: machine test-cpu.*0002_b"
    ):
        combine([here, there])


@pytest.mark.parametrize(
    "difference", [{"packages": {"torch": "2.11.0"}}, {"threads": 1}, {"machine_state": "as-is"}, {"gpu": "H100"}]
)
def test_what_makes_environments_unlike(store, difference):
    here = load([store([latency_facts()])])
    there = load([store([latency_facts()], name="0002_b.json", **difference)])
    with pytest.raises(ResultError, match="unlike environments"):
        combine([here, there])


DAMAGED = {
    "empty": ("", "the file is empty"),
    "blank": ("\n  \n", "the file is empty"),
    "truncated": (json.dumps(document([latency_facts()]))[:-40], "damaged or truncated JSON"),
    "binary": ("\x00\x01", "damaged or truncated JSON"),
    "deep": ("[" * 100_000, "damaged or truncated JSON"),
    "list": ("[]", "not a file of pytest-benchmark"),
    "no benchmarks": ('{"machine_info": {}}', "not a file of pytest-benchmark"),
    "foreign": ('{"machine_info": {"node": "x"}, "benchmarks": []}', "of another suite than mnv1"),
    "newer": ('{"machine_info": {"mnv1": {"schema": 99}}, "benchmarks": []}', "layout 99, this version reads 1"),
    "no case": (json.dumps(document([])), "damaged: it holds no case"),
    "no date": (json.dumps(document([latency_facts()], time="yesterday")), "damaged: it has no valid date"),
    "no machine": (json.dumps(document([latency_facts()], machine=None)), "machine's description is incomplete"),
    "no packages": (json.dumps(document([latency_facts()], packages=3)), "machine's description is incomplete"),
    "no id": (json.dumps(document([latency_facts(id=7)])), "damaged: case 1 has no id"),
    "text for a number": (
        json.dumps(document([latency_facts(latency_low="fast")])),
        "damaged: case model-separable-a1.00-r224-b1-cpu-fp32 has no valid latency_low",
    ),
    "number for a text": (json.dumps(document([latency_facts(stopped=1)])), "has no valid stopped"),
    "truth for a number": (json.dumps(document([latency_facts(rounds=True)])), "has no valid rounds"),
    "case is no object": (json.dumps(document([]) | {"benchmarks": [3]}), "damaged: case 1 has no id"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_file_gets_one_clear_line(tmp_path, name):
    text, complaint = DAMAGED[name]
    path = tmp_path / "0001_x.json"
    path.write_text(text)
    with pytest.raises(ResultError) as error:
        load([path])
    assert str(error.value).startswith(f"{path}: ")
    assert complaint in str(error.value)
    assert "\n" not in str(error.value)


def test_file_in_another_encoding_is_named(tmp_path):
    path = tmp_path / "0001_x.json"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ResultError, match="cannot be read"):
        load([path])


def test_missing_file_and_missing_fact(tmp_path, store):
    with pytest.raises(ResultError, match="no such file"):
        load([tmp_path / "0009_none.json"])
    facts = speedup_facts()
    del facts["speedup_low"]
    with pytest.raises(ResultError, match="has no valid speedup_low"):
        load([store([facts])])
    with pytest.raises(ResultError, match="no stored runs were given"):
        load([])


def test_find_runs(tmp_path, store):
    with pytest.raises(ResultError, match="no stored runs here; measure first: pytest benchmarks --benchmark-autosave"):
        find_runs(tmp_path / "results")
    path = store([latency_facts()])
    (path.parent.parent / "rendered").mkdir()
    (path.parent.parent / "rendered" / "verdict.json").write_text("{}")
    assert find_runs(tmp_path / "results") == [path]
    assert find_runs(str(tmp_path / "results")) == [path]
