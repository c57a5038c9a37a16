"""Execution modes as data, cases that have one, and how the options choose them."""

import pytest

from mnv1.cases import DEVICES, MODES, Case, Conditions, Network, Pair
from mnv1.cases.grids import CaseError, Overrides
from mnv1.cases.modes import combinations, exists, mode
from mnv1.report import rows
from mnv1.report.views import BY_NAME
from mnv1.store.documents import ResultError, read
from mnv1.store.runs import from_facts
from mnv1.suite.profiles import select
from mnv1.suite.values import parse_modes
from tests.conftest import described, document, latency_facts, results_of, speedup_facts


def missing(monkeypatch, *packages):
    real = mode.find_spec
    monkeypatch.setattr(mode, "find_spec", lambda name: None if name in packages else real(name))


def why_not_here(name, precision, device):
    return MODES[name].why_not_here(precision, DEVICES[device])


def test_every_mode_is_described_and_exists_somewhere():
    assert next(iter(MODES)) == "eager"
    for name, about in MODES.items():
        assert about.what, name
        assert any(about.precisions(device) for device in DEVICES.values()), name


def test_ids_of_eager_cases_are_what_they_were_and_others_end_in_their_mode():
    network = Network("separable", 1.0, 224)
    conditions = Conditions(8, "cpu", "fp32")
    assert Case(network, conditions).id == "model-separable-a1.00-r224-b8-cpu-fp32"
    folded = Conditions(8, "cpu", "fp32", "folded")
    assert Case(network, folded).id == "model-separable-a1.00-r224-b8-cpu-fp32-folded"
    twin = Network("standard", 1.0, 224)
    assert Pair(Case(twin, folded), Case(network, folded)).id == "speedup-model-a1.00-r224-b8-cpu-fp32-folded"


def test_only_combinations_that_make_sense_exist():
    assert not exists("cuda-graph", "fp32", "cpu")
    assert not exists("eager", "int8", "cpu")
    assert not exists("eager", "tf32", "cpu")
    assert exists("max-autotune", "int8", "cpu")
    assert exists("openvino", "bf16", "cpu")
    assert not exists("openvino", "bf16", "cuda")
    assert combinations("cpu")[:2] == [("eager", "fp32"), ("channels_last", "fp32")]


def test_why_a_mode_is_not_available_is_said_with_what_to_do(monkeypatch):
    assert why_not_here("cuda-graph", "fp32", "cpu") == "cuda-graph needs CUDA"
    assert (
        why_not_here("folded", "int8", "cpu") == "folded does not exist in int8: it does in fp32, tf32, amp, bf16, fp16"
    )
    assert why_not_here("onnxruntime", "fp32", "cuda") == "onnxruntime in fp32 exists on cpu only"
    assert why_not_here("eager", "fp32", "cpu") is None
    missing(monkeypatch, "openvino")
    expected = "openvino is not installed: pip install -c constraints.txt -e '.[openvino]'"
    assert why_not_here("openvino", "fp32", "cpu") == expected


def test_int8_needs_its_packages(monkeypatch):
    missing(monkeypatch, "torchao")
    assert why_not_here("compiled+freezing", "int8", "cpu").startswith("torchao is not installed: pip install")


def test_a_compiler_is_looked_for(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    reason = why_not_here("compiled", "fp32", "cpu")
    assert reason == (
        "compiled needs a C++ compiler, and no-such-compiler is not found: install one, or name one in CXX"
    )
    assert why_not_here("folded", "fp32", "cpu") is None


def test_the_axis_of_modes_is_eager_alone_unless_it_is_chosen():
    usual = select("smoke", Overrides(devices=("cpu",)))
    assert {case.conditions.mode for case in (*usual.layers, *usual.models, *usual.pairs)} == {"eager"}
    wanted = Overrides(devices=("cpu",), precisions=("fp32",), modes=("eager", "folded", "cuda-graph"))
    chosen = select("smoke", wanted)
    assert [case.conditions.mode for case in chosen.pairs if case.id.startswith("speedup-model")] == ["eager", "folded"]
    with pytest.raises(CaseError, match="leave no case to measure"):
        select("smoke", Overrides(devices=("cpu",), modes=("cuda-graph",)))


def test_training_steps_are_of_eager_code_alone():
    wanted = Overrides(devices=("cpu",), precisions=("fp32", "bf16"), modes=("eager", "folded"))
    chosen = select("smoke", wanted)
    found = {(case.conditions.mode, case.conditions.precision) for case in (*chosen.trainings, *chosen.training_pairs)}
    assert found == {("eager", "fp32")}


def test_modes_are_parsed_by_name():
    assert parse_modes("eager, folded+channels_last") == ("eager", "folded+channels_last")
    with pytest.raises(CaseError, match=r"--modes: unknown value 'fast'; valid values: eager, "):
        parse_modes("fast")


def compiled_facts(**more):
    facts = latency_facts(mode="compiled", latency=0.001, output_error=2e-7, compile_time=9.0, file_size=2**24, **more)
    return facts | {"id": facts["id"] + "-compiled", "graph_breaks": 0}


def test_views_of_eager_code_leave_other_modes_out():
    faster = speedup_facts(speedup=9.0, mode="compiled")
    results = results_of([latency_facts(), compiled_facts(), speedup_facts(), faster | {"id": "speedup-compiled"}])
    assert list(rows.models(results)["mode"]) == ["eager"]
    assert list(rows.verdict(results)["speedup"]) == [4.0]
    assert set(BY_NAME["history"].select(results)["mode"]) <= {"eager"}


def test_runs_of_before_there_were_modes_are_eager():
    assert list(from_facts([latency_facts(), compiled_facts()], described()).cases["mode"]) == ["eager", "compiled"]


def test_a_stored_mode_may_be_somebody_elses_and_must_be_a_name(store):
    assert read(store([compiled_facts() | {"mode": "my-runtime+int4"}]))
    with pytest.raises(ResultError, match="has no valid mode"):
        read(store([compiled_facts() | {"mode": "<b>fast</b>"}]))


def test_peak_memory_is_not_asked_of_what_runs_outside_of_torch(store):
    facts = latency_facts(mode="openvino")
    del facts["peak_memory"]
    assert read(store([facts]))
    assert document([facts])
    with pytest.raises(ResultError, match="has no valid peak_memory"):
        read(store([facts | {"mode": "eager"}]))
