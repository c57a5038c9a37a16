"""Cases to callables, records, memory and the machine's state."""

import ctypes
import json
import os
import resource
import subprocess
import sys
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch

from mnv1.cases import DEVICES, Block, Case, Conditions, Network, Pair
from mnv1.cases.devices import cuda, nvml
from mnv1.cases.devices.cpu import Cpu
from mnv1.cases.devices.cuda import BUSY_CALLS, QUEUED, Cuda
from mnv1.cases.devices.device import UNKNOWN_CACHE
from mnv1.cases.devices.graphs import FIRST_CALLS
from mnv1.cases.precisions import fp32_computed_in
from mnv1.measure import children, environment, machine, modules, runner, state
from mnv1.measure.ceilings import ceilings
from mnv1.measure.execution import WrongOutputError
from mnv1.measure.memory import kernel_work, process_peak
from mnv1.measure.modules import Prepared, build, prepare
from mnv1.measure.runner import Runner, check
from mnv1.measure.timing import Policy
from mnv1.measure.watch import NoWatch
from mnv1.net.counts import memory_floor
from mnv1.store.columns import COLUMNS, PHASES
from tests.visits import QUICK, recorded

CPU = Conditions(1, "cpu", "fp32")
TINY = Case(Network("separable", 0.25, 32), CPU)
PAIR = Pair(Case(Network("standard", 0.25, 32), CPU), TINY)


@pytest.fixture(autouse=True)
def _no_module_of_another_test():
    modules.forget_modules()
    yield
    modules.forget_modules()


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
    made = recorded(TINY)
    facts = made.facts
    optional = {"amp_dtype", "in_channels", "out_channels", "stride", "side"}
    on_cuda = {"device_latency_p50", "energy", "gpu_clock", "throttled", "peak_reserved"}
    about_run = {"run", "time", "machine", "environment", "commit", "threads"}
    about_run |= {"peak_rate", "copy_rate", "cache_rate", "cache_size"}
    about_modes = {"output_error", "compile_time", "graph_breaks", "file_size"}
    about_pairs = {"speedup", "speedup_low", "speedup_high", "standard_latency_p50", "standard_macs", "macs_ratio"}
    about_pairs |= {"latency_run_to_run"}
    about_runs_states = {name for name in COLUMNS if name.startswith("other_")} - {"other_rounds"} | {"odd_state"}
    about_runs_states |= {"disturbed_rounds", "effective_rounds"}
    of_steps = {"phase_steps", *(f"{name}_{end}" for name in PHASES for end in ("time", "low", "high"))}
    of_traces = {"traced_call", "traced_state", "dispatch_time", "dispatch_within"}
    of_traces |= {"device_busy", "device_kernels", "launch_bound"}
    not_here = of_traces | about_runs_states | optional | on_cuda | about_run | about_pairs | about_modes | of_steps
    assert set(facts) - {"states", "visit_rounds"} == set(COLUMNS) - not_here
    assert facts["rounds"] == len(made.samples) >= 2
    assert facts["latency_low"] <= facts["latency_p50"] <= facts["latency_high"]
    assert facts["memory_floor"] <= facts["peak_memory"]
    assert facts["system_time"] >= 0
    assert json.loads(json.dumps(facts)) == facts


def test_record_of_a_pair_has_the_speedup_and_its_interval():
    facts = recorded(PAIR).facts
    assert facts["measures"] == "speedup"
    assert facts["visits"] == 2
    assert facts["speedup_low"] <= facts["speedup"] <= facts["speedup_high"]


def test_a_pair_is_prepared_once(monkeypatch):
    prepared = []
    monkeypatch.setattr(runner, "prepare", lambda case: prepared.append(case.id) or prepare(case))
    recorded(PAIR)
    assert prepared == ["model-standard-a0.25-r32-b1-cpu-fp32", "model-separable-a0.25-r32-b1-cpu-fp32"]


def test_what_is_kept_for_later_is_freed_when_memory_runs_out(monkeypatch):
    made = Runner()
    made.visit(PAIR, QUICK)
    attempts = []

    def full_at_first(case):
        attempts.append(case.id)
        if len(attempts) == 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return prepare(case)

    monkeypatch.setattr(runner, "prepare", full_at_first)
    monkeypatch.setattr(Cpu, "forget", lambda _: attempts.append("emptied"))
    assert made.visit(TINY, QUICK).sides[0]
    assert attempts == [TINY.id, "emptied", TINY.id]

    def always_full(_):
        raise torch.OutOfMemoryError("again")

    monkeypatch.setattr(runner, "prepare", always_full)
    with pytest.raises(torch.OutOfMemoryError, match="again"):
        made.visit(PAIR, QUICK)


@pytest.mark.parametrize(
    ("kind", "batch_size", "mebibytes"),
    [("separable", 1, 9.1875), ("separable", 8, 73.5), ("standard", 1, 36.57421875)],
)
def test_cpu_peak_memory_repeats_to_the_byte(kind, batch_size, mebibytes):
    call = prepare(Case(Network(kind, 1.0, 224), Conditions(batch_size, "cpu", "fp32"))).call
    assert [DEVICES["cpu"].peak_memory(call) for _ in range(3)] == [{"peak_memory": mebibytes * 2**20}] * 3


def test_a_process_grows_by_its_peak_memory_and_the_scratch_of_libraries():
    case = Case(Network("separable", 1.0, 224), Conditions(8, "cpu", "fp32"))
    grown = process_peak(case)
    if grown is None:
        pytest.skip("this kernel does not allow to reset a process's high-water mark")
    # A library may need no scratch memory at all. The kernel counts resident pages in batches for each thread, so that
    # either reading may be off by some 64 pages.
    slack = 0.5 * 2**20
    assert 73.5 * 2**20 - slack <= grown < 2 * 73.5 * 2**20


def test_the_floor_of_peak_memory_is_the_largest_layers_input_and_output():
    network = Network("separable", 1.0, 224).layers
    assert memory_floor(network, batch_size=2) == 2 * 4 * (32 + 64) * 112 * 112  # the first pointwise layer
    assert memory_floor(Block("standard", 8, 16, 2, 10).layers) == 4 * 16 * 5 * 5  # a block's input is not counted


def test_cpu_peak_memory_is_the_worst_moment_not_the_sum():
    def call():
        first = torch.empty(1000, dtype=torch.uint8)
        del first
        second = torch.empty(3000, dtype=torch.uint8)
        third = torch.empty(500, dtype=torch.uint8)
        del second, third
        return torch.empty(100, dtype=torch.uint8)

    assert DEVICES["cpu"].peak_memory(call) == {"peak_memory": 3500}


def test_cuda_peak_memory_is_above_what_was_allocated_before(monkeypatch):
    log = []
    fake = SimpleNamespace(
        synchronize=lambda: log.append("synchronise"),
        empty_cache=lambda: log.append("empty"),
        memory_allocated=lambda: 100,
        memory_reserved=lambda: 1000,
        reset_peak_memory_stats=lambda: log.append("reset"),
        max_memory_allocated=lambda: 350,
        max_memory_reserved=lambda: 3000,
    )
    monkeypatch.setattr(torch, "cuda", fake)
    assert DEVICES["cuda"].peak_memory(lambda: log.append("call")) == {"peak_memory": 250, "peak_reserved": 2000}
    assert log == ["synchronise", "empty", "reset", "call", "synchronise"]


class FakeProfile:
    """torch's profiler with two kernels of 3 and 5 µs a call on the device, and what the host did."""

    def __init__(self, activities):
        assert activities == [torch.profiler.ProfilerActivity.CUDA]
        on_device, on_host = torch.autograd.DeviceType.CUDA, torch.autograd.DeviceType.CPU
        kinds = [(on_device, 3000), (on_device, 5000), (on_host, 90_000)] * BUSY_CALLS
        events = [
            SimpleNamespace(device_type=lambda kind=kind: kind, duration_ns=lambda nanoseconds=ns: nanoseconds)
            for kind, ns in kinds
        ]
        self.profiler = SimpleNamespace(kineto_results=SimpleNamespace(events=lambda: events))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None


def test_busy_time_is_that_of_the_kernels_alone(monkeypatch):
    calls = []
    monkeypatch.setattr(torch.profiler, "profile", FakeProfile)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    found = DEVICES["cuda"].busy(lambda: calls.append(1))
    assert found == {"device_busy": pytest.approx(8e-6), "device_kernels": 2}
    assert len(calls) == BUSY_CALLS


def test_a_profiler_that_sees_no_kernel_tells_nothing(monkeypatch):
    class Blind(FakeProfile):
        def __init__(self, activities):
            super().__init__(activities)
            self.profiler.kineto_results.events = list

    monkeypatch.setattr(torch.profiler, "profile", Blind)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    assert DEVICES["cuda"].busy(lambda: None) == {}


def test_clocks_are_read_while_the_device_works(monkeypatch):
    log = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: log.append("wait"))
    monkeypatch.setattr(nvml, "throttling", lambda: log.append("read") or {"throttled": ""})
    assert DEVICES["cuda"].now(lambda: log.append("call")) == {"throttled": ""}
    assert log == ["call"] * QUEUED + ["read", "wait"]


def test_energy_is_counted_over_calls_after_the_first(monkeypatch):
    log, counted = [], iter((10.0, 14.0))
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: log.append("wait"))
    monkeypatch.setattr(nvml, "energy", lambda: next(counted))
    monkeypatch.setattr(cuda, "ENERGY_TIME", 0.0)
    assert DEVICES["cuda"].energy(lambda: log.append("call")) == {"energy": 4.0 / QUEUED}
    assert log == ["call", "wait", *["call"] * QUEUED, "wait"]
    monkeypatch.setattr(nvml, "energy", lambda: None)
    assert DEVICES["cuda"].energy(lambda: None) == DEVICES["cpu"].energy(lambda: None) == {}


@pytest.mark.parametrize(("cache", "bytes_"), [(2**22, 2**23), (None, 2 * UNKNOWN_CACHE)])
def test_caches_are_emptied_by_reading_and_writing_twice_as_much(monkeypatch, cache, bytes_):
    monkeypatch.setattr(type(DEVICES["cpu"]), "last_level_cache", lambda _: cache)
    empty = DEVICES["cpu"].emptying()
    for number in (1, 2):
        memory = empty()
        assert memory.numel() * memory.element_size() == bytes_
        assert bool((memory == number).all())


def test_with_cold_caches_each_call_finds_them_emptied():
    case = Case(Block("pointwise", 8, 8, 1, 4), Conditions(1, "cpu", "fp32"))
    runner = Runner()
    emptied = []
    runner._emptied["cpu"] = lambda: emptied.append(1)
    policy = Policy(visit_time=1e-9, max_time=1.0, warmup_time=1e-9, round_time=0.0, cold=True)
    first = runner.visit(case, policy)
    assert (first.calls, len(first.sides[0]), len(emptied)) == ((1,), 1, 2)
    assert runner.visit(case, policy, earlier=first).calls == (1,)


def test_copies_that_are_shorter_than_a_launch_are_recorded_and_replayed(monkeypatch):
    log = []

    class Stream:
        def wait_stream(self, _):
            log.append("wait")

    class Graph:
        def replay(self):
            log.append("replay")

    fake = SimpleNamespace(
        Stream=Stream,
        current_stream=Stream,
        CUDAGraph=Graph,
        stream=lambda _: nullcontext(),
        graph=lambda _: nullcontext(),
    )
    monkeypatch.setattr(torch, "cuda", fake)
    replay, number = DEVICES["cuda"].replayed(lambda: log.append("copy"), 3)
    assert (number, log) == (3, ["wait", *["copy"] * FIRST_CALLS, "wait", "copy", "copy", "copy"])
    replay()
    assert log[-1] == "replay"
    call = log.clear
    assert DEVICES["cpu"].replayed(call, 3) == (call, 1)


class FakeNvml:
    """NVML of a device that is held back by its power cap, and whose driver does not tell the temperature."""

    NVML_CLOCK_SM, NVML_TEMPERATURE_GPU = 1, 0

    def __getattr__(self, name):
        answers = {
            "nvmlDeviceGetClockInfo": 1410,
            "nvmlDeviceGetMaxClockInfo": 1980,
            "nvmlDeviceGetCurrentClocksEventReasons": 0x04 | 0x01,
            "nvmlSystemGetDriverVersion": "999.1",
            "nvmlDeviceGetPerformanceState": 0,
            "nvmlDeviceGetEnforcedPowerLimit": 700_000,
            "nvmlDeviceGetPersistenceMode": 0,
            "nvmlDeviceGetTotalEnergyConsumption": 12_345,
        }
        if name == "nvmlDeviceGetTemperature":
            raise RuntimeError("not supported")
        return lambda *_: answers[name]


def test_clocks_and_what_holds_them_back(monkeypatch):
    monkeypatch.setattr(nvml, "_nvml", FakeNvml)
    monkeypatch.setattr(nvml, "_handle", lambda _: None)
    assert nvml.throttling() == {"gpu_clock": 1_410_000_000, "throttled": "power cap"}
    assert nvml.energy() == 12.345
    assert nvml.describe() == {
        "gpu_driver": "999.1",
        "gpu_max_clock": 1_980_000_000,
        "gpu_power_state": "P0",
        "gpu_power_limit": 700.0,
        "gpu_persistence": False,
    }
    assert DEVICES["cuda"].warnings() == [
        "the GPU is held back by its power cap: let it cool down, or raise its limits",
        "the GPU's persistence mode is off: run `nvidia-smi -pm 1` as root",
    ]


def test_without_nvml_nothing_is_said_about_clocks(monkeypatch):
    monkeypatch.setattr(nvml, "_nvml", lambda: None)
    assert nvml.throttling() == nvml.describe() == {}
    assert nvml.energy() is None


def test_a_cuda_case_is_visited_with_events_and_without_controls(monkeypatch):
    asked = {}

    def fake_visit(_call, clock, policy, watch, _earlier):
        asked.update(clock=clock, round_time=policy.round_time, watch=watch)
        return on_cpu

    class Fake(Cuda):
        """A device that answers at once."""

        def clock(self):
            return "events"

        def wait(self):
            called.append("wait")

        def now(self, _):
            return {"throttled": ""}

        def peak_memory(self, _):
            return {"peak_memory": 1, "peak_reserved": 2}

    on_cpu = Runner().visit(TINY, QUICK)
    monkeypatch.setitem(DEVICES, "cuda", Fake("cuda"))
    monkeypatch.setattr(runner, "visit", fake_visit)
    called = []
    monkeypatch.setattr(runner, "prepare", lambda _: Prepared(lambda: called.append("call"), 0.5))
    case = Case(TINY.workload, Conditions(1, "cuda", "fp32"))
    extras = Runner(watch="controls").visit(case, QUICK).extras
    assert (asked["clock"], asked["round_time"]) == ("events", 5e-3)
    assert isinstance(asked["watch"], NoWatch)
    assert extras == {
        "throttled": "",
        "first_call": 0.5,
        "peak_memory": 1,
        "peak_reserved": 2,
    }
    assert called == ["call", "wait"], "memory that others handed back is taken again before the first round"


def test_ceilings_have_intervals_and_units(monkeypatch):
    for name in ("gemm_side", "convolution_batch"):  # small, so that a slow machine has as many rounds
        monkeypatch.setattr(DEVICES["cpu"], name, {"gemm_side": 128, "convolution_batch": 1}[name])
    found = ceilings("cpu", ["fp32"], Policy(visit_time=0.3, max_time=0.3))
    assert [(one["ceiling"], one["precision"]) for one in found] == [
        ("gemm", "fp32"),
        ("convolution", "fp32"),
        ("copy beyond cache", ""),
        ("copy within cache", ""),
    ]
    for one in found:
        assert 0 < one["low"] <= one["value"] <= one["high"]
        assert one["rounds"] >= 6
    assert (
        found[2]["size"] > (DEVICES["cpu"].last_level_cache() or 0) > found[3]["size"]
        or DEVICES["cpu"].last_level_cache() is None
    )
    assert json.loads(json.dumps(found)) == found


def test_the_kernels_work_is_that_of_fresh_pages():
    def fresh():
        torch.empty(2**26, dtype=torch.uint8).zero_()  # more than the allocator keeps

    libc = ctypes.CDLL(None)

    def handed_back():
        fresh()
        libc.malloc_trim(0)

    pages = 2**26 / resource.getpagesize()
    work = kernel_work(handed_back, 0.05)
    assert work["page_faults"] >= 0.001 * pages  # huge pages count as one
    assert work["system_time"] >= 0
    nothing = kernel_work(lambda: None, 0.001)
    assert nothing["page_faults"] < 1


def test_what_only_the_first_call_maps_is_not_the_kernels_work_for_a_call():
    kept = []

    def grows_once():
        if not kept:
            kept.append(torch.empty(2**26, dtype=torch.uint8).zero_())

    assert kernel_work(grows_once, 1.0)["page_faults"] < 0.001 * 2**26 / resource.getpagesize()


def test_tf32_is_on_within_its_context_only():
    def settings():
        matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
        older = {False: "ieee", True: "tf32"}
        assert older[matmul.allow_tf32] == matmul.fp32_precision, "torch's older switches can be read, and agree"
        assert older[cudnn.allow_tf32] == cudnn.conv.fp32_precision
        return matmul.fp32_precision, cudnn.conv.fp32_precision

    state.prepare("as-is")
    assert settings() == ("ieee", "ieee")
    with fp32_computed_in("tf32"):
        assert settings() == ("tf32", "tf32")
    assert settings() == ("ieee", "ieee")
    with fp32_computed_in("fp32"):
        assert settings() == ("ieee", "ieee")


def prepared(arguments):
    for name in ("OMP_PROC_BIND", "OMP_PLACES"):
        os.environ.pop(name, None)
    return state.prepare(*arguments)


def test_machine_state_is_recorded_and_can_be_left_alone():
    # In processes of their own: the allocator's thresholds cannot be set back.
    records = {name: children.ask(prepared, (name, threads)) for name, threads in (("controlled", 1), ("as-is", None))}
    assert set(records) == set(state.STATES)
    as_is, controlled = records["as-is"], records["controlled"]
    assert (as_is["allocator"], as_is["thread_binding"]) == ("as it comes", "as it comes")
    assert not as_is["denormals_flushed"]
    assert controlled["allocator"] != "as it comes"
    assert (controlled["thread_binding"], controlled["threads"]) == ("close", 1)
    for one in records.values():
        assert (one["fp32_precision"], one["cudnn_benchmark"]) == ("ieee", False)
    with pytest.raises(ValueError, match="unknown machine state 'quiet'"):
        state.prepare("quiet")


def test_threads_are_lowered_to_what_the_quota_allows_unless_they_were_asked_for():
    script = (
        "from types import SimpleNamespace\n"
        "from mnv1.measure import state\n"
        "state.Quotas, state.CPUS = lambda: SimpleNamespace(cpus=2.5), (0, 1, 2, 3)\n"
        "two = state.prepare('controlled')['threads']\n"
        "asked = state.prepare('controlled', 3)['threads']\n"
        "state.CPUS = (0,)\n"
        "print(two, asked, state.prepare('as-is')['threads'])\n"
    )
    environment = os.environ | {"OMP_NUM_THREADS": "7"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "2 3 1\n"


def test_environment_can_be_stored():
    described = environment.describe()
    assert json.loads(json.dumps(described)) == described
    assert described["packages"]["torch"] == torch.__version__.split("+")[0]
    for name in ("cpu_features", "caches", "hypervisor", "kernel", "governor", "onednn", "cuda_build", "revision"):
        assert name in described


@pytest.mark.parametrize(
    ("model", "cpus", "name"),
    [
        ("Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz", 2, "intel-xeon-platinum-8481c-avx512-2cpu"),
        ("AMD EPYC 9B14", 8, "amd-epyc-9b14-avx512-8cpu"),
        ("../../etc <b>", 1, "etc-b-avx512-1cpu"),
    ],
)
def test_machine_name_is_a_safe_folder_name(monkeypatch, model, cpus, name):
    monkeypatch.setattr(environment, "cpu_model", lambda: model)
    monkeypatch.setattr(environment, "CPUS", tuple(range(cpus)))
    monkeypatch.setattr(environment.torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    monkeypatch.setattr(environment.torch.cuda, "is_available", lambda: False)
    assert environment.machine_name() == name


def test_without_torch_the_cpus_instructions_are_named_as_by_torch():
    assert machine.capability() == environment.torch.backends.cpu.get_cpu_capability()


def test_warnings_name_the_next_step(monkeypatch):
    for module in (environment, machine):
        monkeypatch.setattr(module, "read", lambda path: "powersave" if "governor" in str(path) else "")
    monkeypatch.setattr(environment.psutil, "cpu_percent", lambda **_: 60.0)
    warnings = environment.warnings()
    assert "CPU governor is powersave: run `cpupower frequency-set -g performance` as root" in warnings
    assert any(warning.startswith("the CPUs are 60% busy before anything is measured: stop") for warning in warnings)
    assert any("no bf16 instructions" in warning for warning in warnings)


def test_environment_command_prints(capsys):
    assert environment.main() == 0
    assert "cpu_capability" in capsys.readouterr().out
