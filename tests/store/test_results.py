import json

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnv1.store.columns import CEILING_COLUMNS, COLUMNS, OPERATOR_COLUMNS, TIME_COLUMNS
from mnv1.store.runs import (
    ResultError,
    combine,
    find_runs,
    from_facts,
    load,
    load_ceilings,
    load_operators,
    load_results,
    load_times,
    ratio,
)
from tests.conftest import ceiling, described, document, latency_facts, profiled, speedup_facts


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
    "difference",
    [
        {"packages": {"torch": "2.11.0"}},
        {"threads": 1},
        {"machine_state": "as-is"},
        {"gpu": "H100"},
        {"gpu_driver": "999"},
        {"cpu_capability": "AVX512"},
        {"thread_binding": "close"},
    ],
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
    "foreign": (
        '{"machine_info": {"node": "x"}, "benchmarks": []}',
        "but a pytest-benchmark file of another suite",
    ),
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


def test_a_ratio_needs_one_environment(store):
    here = load([store([latency_facts(kind="standard", latency=0.040), latency_facts()])])
    assert ratio(here.iloc[0], here.iloc[1]) == pytest.approx(4.0)
    assert ratio(here.iloc[0], here.iloc[1], "peak_memory") == pytest.approx(1.0)
    there = load([store([latency_facts()], name="0002_b.json", threads=1)])
    with pytest.raises(ResultError, match=r"unlike environments, so they have no ratio: .*threads 2.*; .*threads 1"):
        ratio(here.iloc[0], there.iloc[0])
    with pytest.raises(ResultError, match="one of them has no speedup"):
        ratio(here.iloc[0], here.iloc[1], "speedup")


def test_shards_of_one_machine_are_combined(store):
    one = load([store([latency_facts()], shard="1/2")])
    two = load([store([latency_facts(batch_size=8)], name="0002_b.json", shard="2/2")])
    assert len(combine([one, two])) == 2


CEILING = ceiling("gemm", 5e10, precision="fp32")


def test_ceilings_are_a_table_of_their_own(store):
    table = load_ceilings([store([latency_facts()], ceilings=[CEILING])])
    assert list(table.columns) == list(CEILING_COLUMNS)
    assert table.iloc[0]["value"] == 5e10
    assert table.iloc[0]["environment"] == load([store([latency_facts()])]).iloc[0]["environment"]
    assert load_ceilings([store([latency_facts()], ceilings=[])]).empty
    for damaged in ([3], 3, [CEILING | {"value": "fast"}], [CEILING | {"device": None}], [{"ceiling": "gemm"}]):
        with pytest.raises(ResultError, match="its ceilings are no list"):
            load_ceilings([store([latency_facts()], ceilings=damaged)])
    with pytest.raises(ResultError, match="no stored runs were given"):
        load_ceilings([])


def test_times_of_a_run(store):
    path = store([latency_facts()])
    assert load_times([path]).isna().iloc[0].tolist() == [False, True, True]  # a run of before they were kept
    stored = json.loads(path.read_text())
    path.write_text(json.dumps(stored | {"mnv1": {"wall_time": 500.0, "call_time": 400.0, "failed": {}}}))
    assert load_times([path]).iloc[0].tolist() == ["0001_a", 500.0, 400.0]
    path.write_text(json.dumps(stored | {"mnv1": {"wall_time": "long"}}))
    with pytest.raises(ResultError, match="what it says of its time is no number"):
        load_times([path])
    with pytest.raises(ResultError, match="no stored runs were given"):
        load_times([])


def test_every_case_knows_the_ceilings_of_its_run_device_and_precision(store):
    ceilings = [CEILING, ceiling("gemm", 9e10, precision="amp"), ceiling("copy beyond cache", 2e10)]
    facts = [latency_facts(), latency_facts(precision="amp"), latency_facts(device="cuda")]
    table = load([store(facts, ceilings=ceilings)])
    assert table["peak_rate"].tolist()[:2] == [5e10, 9e10]
    assert table["copy_rate"].tolist()[:2] == [2e10, 2e10]
    assert table.iloc[2][["peak_rate", "copy_rate"]].isna().all()


WHOLE = json.dumps(
    document([latency_facts(), speedup_facts(), latency_facts("layer")], ceilings=[CEILING])
    | {"mnv1": {"wall_time": 500.0, "call_time": 400.0}}
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def loads_or_says_why(path, data):
    """Damaged data is loaded as a table, or refused in one line that names the file: nothing else."""
    path.write_bytes(data)
    for read, columns in ((load, COLUMNS), (load_ceilings, CEILING_COLUMNS), (load_times, TIME_COLUMNS)):
        try:
            assert list(read([path]).columns) == list(columns)
        except ResultError as error:
            message = str(error)
        else:
            continue
        assert message.startswith(f"{path}: ")
        assert "\n" not in message


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzzed") / "0001_x.json"


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(WHOLE)), st.integers(0, 40), st.binary(max_size=40))
def test_loader_survives_bytes_that_were_cut_and_overwritten(fuzzed, place, removed, inserted):
    data = WHOLE.encode()
    loads_or_says_why(fuzzed, data[:place] + inserted + data[place + removed :])


@settings(max_examples=100, deadline=None)
@given(st.integers(0, len(WHOLE)))
def test_loader_survives_truncation(fuzzed, length):
    loads_or_says_why(fuzzed, WHOLE.encode()[:length])


def places(value, path=()):
    """The path of every value in a document."""
    yield path
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(inner, (*path, key))


PLACES = [place for place in places(json.loads(WHOLE)) if place]


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(PLACES), JSON, st.booleans())
def test_loader_survives_any_value_in_any_place(fuzzed, place, value, removed):
    damaged = json.loads(WHOLE)
    parent = damaged
    for key in place[:-1]:
        parent = parent[key]
    if removed:
        del parent[place[-1]]
    else:
        parent[place[-1]] = value
    loads_or_says_why(fuzzed, json.dumps(damaged).encode())


def test_operators_are_a_table_of_their_own(store):
    facts = [latency_facts(operators=profiled(pointwise=0.006, depthwise=0.004)), latency_facts(batch_size=8)]
    table = load_operators([store(facts)])
    assert list(table.columns) == list(OPERATOR_COLUMNS)
    assert list(table["operator"]) == ["pointwise", "depthwise"]
    assert set(table["id"]) == {latency_facts()["id"]}
    assert load_operators([store([latency_facts()])]).empty
    for damaged in ({}, [1], [{"operator": "pointwise"}], [profiled(pointwise=1.0)[0] | {"seconds": "1"}]):
        with pytest.raises(ResultError, match="has operators that are no list of facts"):
            load_operators([store([latency_facts(operators=damaged)])])


@pytest.mark.parametrize(
    ("name", "value"),
    [("kind", "<script>"), ("precision", "fp 8"), ("device", ""), ("subject", "none"), ("measures", "luck")],
)
def test_an_unknown_choice_is_damage(store, name, value):
    with pytest.raises(ResultError, match=f"has no valid {name}"):
        load([store([latency_facts() | {name: value}])])


def test_cases_know_the_peak_rate_and_the_cache_of_their_run(store):
    ceilings = [
        ceiling("gemm", 7e10, precision="fp32"),
        ceiling("convolution", 9e10, precision="fp32"),
        ceiling("gemm", 2e11, precision="amp"),
        ceiling("copy within cache", 1e11, size=2**23),
    ]
    plain, amp = (load([store([latency_facts(precision=one)], ceilings=ceilings)]).iloc[0] for one in ("fp32", "amp"))
    assert (plain["peak_rate"], amp["peak_rate"]) == (9e10, 2e11)
    assert (plain["cache_rate"], plain["cache_size"]) == (1e11, 2**25)  # the copy moves a quarter of the cache
    assert pd.isna(plain["copy_rate"])
    assert plain["threads"] == 2


def test_history_is_of_the_same_machine_and_leaves_damaged_runs_out(store):
    here = store([speedup_facts()])
    earlier = store([speedup_facts()], name="0002_b.json", time="2025-01-01T00:00:00+00:00", threads=1)
    elsewhere = store([speedup_facts()], name="0003_c.json", machine="other")
    broken = store([speedup_facts()], name="0004_d.json")
    broken.write_text("{")
    results = load_results([here], others=[here, earlier, elsewhere, broken])
    assert sorted(results.history["run"]) == ["0001_a", "0002_b"]
    assert list(results.cases["run"]) == ["0001_a"]
    assert results.environment["packages: torch"] == "2.15.0"
    assert "ceilings" not in results.environment


def test_facts_that_are_not_stored_yet_give_the_same_results(store):
    facts = [latency_facts(operators=profiled(pointwise=0.01)), speedup_facts()]
    stored, fresh = load_results([store(facts)]), from_facts(facts, described())
    about_run = ["run", "time", "machine", "environment", "commit"]
    pd.testing.assert_frame_equal(
        stored.cases.drop(columns=about_run), fresh.cases.drop(columns=about_run), check_dtype=False
    )
    assert list(stored.operators["seconds"]) == list(fresh.operators["seconds"])
