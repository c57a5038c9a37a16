"""Cases to callables, records, memory and the machine's state."""

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from mnv1.cases import Block, Case, Conditions, Network, Pair
from mnv1.measure import environment, memory, modules, state
from mnv1.measure.memory import peak_memory
from mnv1.measure.modules import WrongOutputError, build, precision_context, prepare, why_unavailable
from mnv1.measure.runner import check, run_case, run_pair
from mnv1.measure.timing import Policy
from mnv1.results import COLUMNS

CPU = Conditions(1, "cpu", "fp32")
TINY = Case(Network("separable", 0.25, 32), CPU)
QUICK = Policy(max_time=0.001, warmup_time=0.001, min_time=0.001)


@pytest.mark.parametrize("kind", ["standard", "separable", "depthwise", "pointwise"])
@pytest.mark.parametrize("precision", ["fp32", "amp"])
def test_every_block_kind_gives_the_shape_that_its_case_says(kind, precision):
    case = Case(Block(kind, 8, 16, 2, 10), Conditions(3, "cpu", precision))
    output = prepare(case).call()
    assert tuple(output.shape) == case.output_shape
    assert output.dtype == (torch.bfloat16 if precision == "amp" else torch.float32)


@pytest.mark.parametrize("kind", ["standard", "separable", "shallow"])
def test_every_network_kind_gives_logits(kind):
    assert tuple(prepare(Case(Network(kind, 0.25, 32), CPU)).call().shape) == (1, 1000)


def test_weights_and_inputs_are_seeded():
    assert torch.equal(prepare(TINY).call(), prepare(TINY).call())


def test_output_that_is_not_finite_is_refused(monkeypatch):
    broken = build(TINY.workload)
    broken.classifier.weight.data.fill_(float("nan"))
    monkeypatch.setattr(modules, "build", lambda _: broken)
    with pytest.raises(WrongOutputError, match=r"model-separable-a0.25-r32-b1-cpu-fp32: output is not finite"):
        check(TINY)


def test_output_of_the_wrong_shape_is_refused(monkeypatch):
    monkeypatch.setattr(modules, "build", lambda _: torch.nn.Flatten())
    with pytest.raises(WrongOutputError, match=r"output has shape \(1, 3072\), expected \(1, 1000\)"):
        check(TINY)


def test_record_of_a_case_has_every_fact():
    record = run_case(TINY, QUICK)
    facts = record.facts
    optional = {"amp_dtype", "device_latency_p50", "in_channels", "out_channels", "stride", "side"}
    about_run = {"run", "time", "machine", "environment", "commit"}
    about_pairs = {"speedup", "speedup_low", "speedup_high", "standard_latency_p50", "standard_macs", "macs_ratio"}
    assert set(facts) == set(COLUMNS) - optional - about_run - about_pairs
    assert facts["rounds"] == len(record.samples) >= 6
    assert facts["latency_low"] <= facts["latency_p50"] <= facts["latency_high"]
    assert facts["throughput"] == pytest.approx(1 / facts["latency_p50"])
    assert json.loads(json.dumps(facts)) == facts


def test_record_of_a_pair_has_the_speedup_and_its_interval():
    pair = Pair(Case(Network("standard", 0.25, 32), CPU), TINY)
    facts = run_pair(pair, QUICK).facts
    assert facts["measures"] == "speedup"
    assert facts["speedup_low"] <= facts["speedup"] <= facts["speedup_high"]
    assert facts["macs_ratio"] == facts["standard_macs"] / facts["macs"] > 1
    assert len(facts["standard_samples"]) == facts["rounds"]
    assert set(facts) - {"standard_samples", "standard_calls_per_round"} <= set(COLUMNS)


@pytest.mark.parametrize(
    ("kind", "batch_size", "mebibytes"),
    [("separable", 1, 9.1875), ("separable", 8, 73.5), ("standard", 1, 36.57421875)],
)
def test_cpu_peak_memory_repeats_to_the_byte(kind, batch_size, mebibytes):
    call = prepare(Case(Network(kind, 1.0, 224), Conditions(batch_size, "cpu", "fp32"))).call
    assert {peak_memory(call, "cpu") for _ in range(3)} == {mebibytes * 2**20}


def test_cpu_peak_memory_is_the_worst_moment_not_the_sum():
    def call():
        first = torch.empty(1000, dtype=torch.uint8)
        del first
        second = torch.empty(3000, dtype=torch.uint8)
        third = torch.empty(500, dtype=torch.uint8)
        del second, third
        return torch.empty(100, dtype=torch.uint8)

    assert peak_memory(call, "cpu") == 3500


def test_cuda_peak_memory_is_above_what_was_allocated_before(monkeypatch):
    log = []
    fake = SimpleNamespace(
        synchronize=lambda: log.append("synchronise"),
        memory_allocated=lambda: 100,
        reset_peak_memory_stats=lambda: log.append("reset"),
        max_memory_allocated=lambda: 350,
    )
    monkeypatch.setattr(memory.torch, "cuda", fake)
    assert peak_memory(lambda: log.append("call"), "cuda") == 250
    assert log == ["synchronise", "reset", "call", "synchronise"]


def test_cuda_cases_say_why_they_cannot_run(monkeypatch):
    monkeypatch.setattr(modules.torch.cuda, "is_available", lambda: False)
    assert "no CUDA device" in why_unavailable(Conditions(1, "cuda", "fp32"))
    assert why_unavailable(CPU) is None
    monkeypatch.setattr(modules.torch.cuda, "is_available", lambda: True)
    assert why_unavailable(Conditions(1, "cuda", "fp32")) is None


def test_tf32_is_on_within_its_context_only():
    def settings():
        return torch.backends.cuda.matmul.fp32_precision, torch.backends.cudnn.conv.fp32_precision

    state.prepare("as-is")
    assert settings() == ("ieee", "ieee")
    with precision_context(Conditions(1, "cuda", "tf32")):
        assert settings() == ("tf32", "tf32")
    assert settings() == ("ieee", "ieee")
    with precision_context(CPU):
        assert settings() == ("ieee", "ieee")


def test_machine_state_is_recorded_and_can_be_left_alone():
    # In a process of its own: the allocator's thresholds cannot be set back.
    script = "import json; from mnv1.measure import state; print(json.dumps(state.prepare('{}')))"
    records = {}
    for name in state.STATES:
        process = subprocess.run([sys.executable, "-c", script.format(name)], capture_output=True, check=True)
        records[name] = json.loads(process.stdout)
    assert records["as-is"]["allocator"] == "as it comes"
    assert not records["as-is"]["denormals_flushed"]
    assert records["controlled"]["allocator"] != "as it comes"
    with pytest.raises(ValueError, match="unknown machine state 'quiet'"):
        state.prepare("quiet")


def test_environment_can_be_stored():
    described = environment.describe()
    assert json.loads(json.dumps(described)) == described
    assert described["packages"]["torch"] == torch.__version__.split("+")[0]


@pytest.mark.parametrize(
    ("model", "cpus", "name"),
    [
        ("Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz", 2, "intel-xeon-platinum-8481c-2cpu"),
        ("AMD EPYC 9B14", 8, "amd-epyc-9b14-8cpu"),
        ("../../etc <b>", 1, "etc-b-1cpu"),
    ],
)
def test_machine_name_is_a_safe_folder_name(monkeypatch, model, cpus, name):
    monkeypatch.setattr(environment, "cpu_model", lambda: model)
    monkeypatch.setattr(environment, "_usable_cpus", lambda: list(range(cpus)))
    monkeypatch.setattr(environment.torch.cuda, "is_available", lambda: False)
    assert environment.machine_name() == name


def test_warnings_name_the_next_step(monkeypatch):
    monkeypatch.setattr(environment, "_read", lambda path: "powersave" if "governor" in path else "")
    monkeypatch.setattr(environment.psutil, "cpu_percent", lambda **_: 60.0)
    warnings = environment.warnings()
    assert "CPU governor is powersave: run `cpupower frequency-set -g performance` as root" in warnings
    assert any(warning.startswith("the CPUs are 60 % busy before anything is measured: stop") for warning in warnings)
    assert any("no bf16 instructions" in warning for warning in warnings)


def test_environment_command_prints(capsys):
    assert environment.main() == 0
    assert "cpu_capability" in capsys.readouterr().out
