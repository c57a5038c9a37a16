"""The sweep as a user runs it: `pytest benchmarks` in a process of its own, on the smallest networks."""

import json
import re
import subprocess
import sys

import pytest

from mnv1.report.summary import machine_note
from mnv1.store.runs import ResultError, combine, find_runs, load, load_ceilings, load_kernels, load_results
from mnv1.suite.journal import interrupted
from tests.conftest import MADE_UP, sweep, sweeps

TINY = ("--profile", "smoke", "--alphas", "0.25", "--resolutions", "32", "--batch-sizes", "2", "--precisions", "fp32")
SEPARABLE_ON_CPU = (*TINY, "--devices", "cpu", "--kinds", "separable", "-k", "model")


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """One tiny sweep with a pair, stored; and what it printed, on a terminal that knows no `×`. Nothing is made up."""
    folder = tmp_path_factory.mktemp("results")
    arguments = ("--threads", "1", "--half-width", "60", "--benchmark-autosave", f"--benchmark-storage=file://{folder}")
    process = sweep(*TINY, "-k", "model", *arguments, environment={"PYTHONIOENCODING": "ascii"})
    assert process.returncode == 0, process.stdout
    return folder, process.stdout


def test_a_line_for_each_case_with_progress(stored):
    _, output = stored
    lines = re.findall(r"^\[(\d)/3\] (\S+)  (?!first of its visits).*$", output, re.MULTILINE)
    assert [number for number, _ in lines[-3:]] == ["1", "2", "3"]
    assert sorted(case for _, case in lines[-3:]) == [
        "model-separable-a0.25-r32-b2-cpu-fp32",
        "model-standard-a0.25-r32-b2-cpu-fp32",
        "speedup-model-a0.25-r32-b2-cpu-fp32",
    ]


def test_the_first_of_many_visits_is_told(stored):
    assert "[0/3] speedup-model-a0.25-r32-b2-cpu-fp32  first of its visits" in stored[1]


def test_the_run_holds_ceilings_and_what_the_time_was_spent_on(stored):
    (path,) = find_runs(stored[0])
    ceilings = load_ceilings([path])
    assert list(ceilings["ceiling"]) == ["gemm", "convolution", "copy beyond cache", "copy within cache"]
    assert (ceilings["low"] <= ceilings["value"]).all()
    assert (ceilings["value"] <= ceilings["high"]).all()
    about = json.loads(path.read_text())["mnv1"]
    assert 0 < about["call_time"] < about["wall_time"]
    assert about["failed"] == {}


def test_a_complete_sweep_leaves_no_journal(stored):
    assert interrupted(stored[0]) == []
    assert [path for path in stored[0].rglob("*") if path.is_file()] == find_runs(stored[0])


def test_it_ends_with_the_verdict_and_the_reason_for_what_was_skipped(stored):
    _, output = stored
    verdict = output.split(" verdict ")[-1]
    title = "How much faster is MobileNetV1 than its standard-convolution twin? (alpha 0.25 at 32 px, cpu)"
    assert title in " ".join(verdict.split())
    assert re.search(r"^fp32 .*\d\.\d\dx \[\d+\.\d\d, \d+\.\d\d\]", verdict, re.MULTILINE)
    assert "\\" not in verdict
    assert "3 cases skipped: no CUDA device" in output


def test_stored_run_loads_with_raw_rounds(stored):
    (path,) = find_runs(stored[0])
    table = load([path])
    assert set(table["measures"]) == {"latency", "speedup"}
    for case in json.loads(path.read_text())["benchmarks"]:
        assert len(case["stats"]["data"]) == case["extra_info"]["rounds"] == case["stats"]["rounds"]
        assert case["stats"]["iterations"] == case["extra_info"]["calls_per_round"]
        if case["extra_info"]["measures"] == "latency":
            assert case["stats"]["q1"] <= case["extra_info"]["latency_p50"] <= case["stats"]["q3"]  # of the middle half
        assert case["extra_info"]["id"] in case["name"]
        assert set(case["params"].values()) == {case["extra_info"]["id"]}


def test_threads_are_an_option_and_recorded(stored):
    (path,) = find_runs(stored[0])
    machine = json.loads(path.read_text())["machine_info"]["mnv1"]
    assert (machine["threads"], machine["thread_binding"]) == (1, "close")
    assert machine["environment_variables"]["OMP_NUM_THREADS"] == "1"


def test_pytest_benchmark_reads_the_stored_run(stored):
    (path,) = find_runs(stored[0])
    command = [sys.executable, "-m", "pytest_benchmark", "compare", str(path)]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    assert "test_model[model-separable-a0.25-r32-b2-cpu-fp32]" in process.stdout


@pytest.mark.parametrize("made_up", [MADE_UP, pytest.param((), marks=pytest.mark.slow)], ids=["made up", "real"])
def test_training_steps_are_measured_stored_and_told(tmp_path, made_up):
    path = tmp_path / "0001_steps.json"
    process = sweep(*made_up, *TINY, "--half-width=60", "-k", "training", "--benchmark-json", str(path))
    assert process.returncode == 0, process.stdout
    table = load([path]).set_index("id")
    assert table.loc["training-separable-a0.25-r32-b2-cpu-fp32", "backward_time"] > 0
    assert table.loc["training-speedup-a0.25-r32-b2-cpu-fp32", "speedup"] > 0
    assert re.search(
        r"How much faster is a training step\? \(\S+ 0\.25 at 32 px, cpu\)", " ".join(process.stdout.split())
    )


def test_training_steps_alone_where_one_case_cannot_be_trained():
    process = sweep(*MADE_UP, *TINY[:-6], "--resolutions", "32,64", "--batch-sizes", "1", "-k", "training and fp32")
    assert process.returncode == 0, process.stdout
    assert re.findall(r"^\[2/2\] (\S+)  .* eta \d:\d\d$", process.stdout, re.MULTILINE)
    assert "2 cases skipped: one image of 32 px leaves one value a channel" in process.stdout
    told = " ".join(process.stdout.split())
    assert re.search(r"How much faster is a training step\? \(\S+ 0\.25 at 64 px, cpu\)", told)
    assert "so there is no speedup to report" not in process.stdout


def test_two_states_of_a_machine_are_told_stored_and_stand_beside_each_other(tmp_path):
    path = tmp_path / "0001_states.json"
    messages = {"MADE_UP": json.dumps({"messages": [1.15e-7, 2.9e-7]})}
    process = sweep(*MADE_UP, *SEPARABLE_ON_CPU, "--benchmark-json", str(path), environment=messages)
    assert process.returncode == 0, process.stdout
    said = re.search(
        r"^states of the machine: CPUs share a cache \(115 ns, \d+% .*\), CPUs apart \(290 ns",
        process.stdout,
        re.MULTILINE,
    )
    assert said, process.stdout
    machine = json.loads(path.read_text())["machine_info"]["mnv1"]
    assert [one["state"] for one in machine["states"]] == ["CPUs share a cache", "CPUs apart"]
    assert "for 4" in machine["state_note"] or "for 5" in machine["state_note"]
    row = load([path]).iloc[0]
    assert (row["state"], row["other_state"]) == ("CPUs share a cache", "CPUs apart")
    assert row["other_latency_low"] <= row["other_latency_p50"] <= row["other_latency_high"]
    assert "in several states" in machine_note(load_results([path]))


WRONG_USAGE = [
    (("--profile", "quick"), "unknown profile 'quick': choose one of smoke, default, full"),
    (("--devices", "tpu"), "--devices: unknown value 'tpu'; valid values: cpu, cuda"),
    (("--kinds", ""), "--kinds: unknown value ''; valid values: standard,"),
    (("--kinds", "dense"), "--kinds: unknown value 'dense'; valid values: standard,"),
    (("--alphas", "-1"), "--alphas: '-1' is not valid; valid values: positive numbers such as 0.75"),
    (("--devices", "cpu", "--precisions", "tf32"), "the chosen axes leave no case to measure"),
    ((*TINY, "--benchmark-storage=file:///proc/nowhere"), "/proc/nowhere: results cannot be stored here"),
    (("--threads", "two"), "--threads: 'two' is not valid; valid values: positive numbers"),
    (
        ("--run-to-run", "-1"),
        "--run-to-run: '-1' is not valid; valid values: per cent, such as 3, or by kind of figure",
    ),
    (("--half-width", "-2"), "--half-width: '-2' is not valid; valid values: positive numbers"),
    (("--case-timeout", "0"), "--case-timeout: '0' is not valid"),
    (("--shard", "5/4"), "--shard: '5/4' is not valid; valid values: 1/4 to 4/4"),
    (("--resume", "--benchmark-storage=file:///nowhere"), "no interrupted sweep here, so there is nothing to resume"),
]


@pytest.fixture(scope="module")
def wrong_usage():
    """What becomes of each of them."""
    arguments = [arguments for arguments, _ in WRONG_USAGE]
    return dict(zip(arguments, sweeps(*arguments), strict=True))


@pytest.mark.parametrize(("arguments", "complaint"), WRONG_USAGE)
def test_wrong_usage_gets_one_line(wrong_usage, arguments, complaint):
    process = wrong_usage[arguments]
    assert process.returncode == pytest.ExitCode.USAGE_ERROR
    assert complaint in process.stderr
    assert "Traceback" not in process.stderr + process.stdout


def test_a_device_that_is_not_there_measures_nothing_and_says_so():
    process = sweep(*MADE_UP, *TINY, "--devices", "cuda", "-k", "model and separable")
    assert "no CUDA device" in process.stdout
    assert process.returncode == pytest.ExitCode.NO_TESTS_COLLECTED


def test_with_cold_caches_the_run_says_so_and_nothing_warm_is_traced(tmp_path):
    stored = {cache: tmp_path / f"{cache}.json" for cache in ("cold", "warm")}
    for cache, file in stored.items():
        process = sweep(*MADE_UP, *SEPARABLE_ON_CPU, "--cache", cache, "--benchmark-json", str(file))
        assert process.returncode == 0, process.stdout
    cold, warm = (load([stored[cache]]) for cache in ("cold", "warm"))
    assert "caches cold" in cold["environment"].iloc[0]
    assert "caches" not in warm["environment"].iloc[0]
    assert load_kernels([stored["cold"]]).empty
    assert not load_kernels([stored["warm"]]).empty
    with pytest.raises(ResultError, match="unlike environments"):
        combine([cold, warm])


def test_without_storing_it_says_so_and_works_from_any_folder(tmp_path):
    process = sweep(*MADE_UP, *SEPARABLE_ON_CPU, cwd=tmp_path)
    assert process.returncode == 0, process.stdout
    assert "not stored: add --benchmark-autosave" in process.stdout
    assert not list(tmp_path.iterdir())


def test_cases_are_checked_without_timing_when_benchmarks_are_disabled():
    process = sweep(*SEPARABLE_ON_CPU, "--benchmark-disable")
    assert process.returncode == 0, process.stdout
    assert "1 passed" in process.stdout


def test_a_wrong_output_fails_its_case_in_a_line_and_the_sweep_goes_on(tmp_path):
    """That a wrong output is found is tested where outputs are checked."""
    stored = tmp_path / "run.json"
    arguments = (*TINY, "--devices", "cpu", "-k", "model and not speedup", "--benchmark-json", str(stored))
    wrong = {"fails": {"separable": "wrong: shape (2, 9)\nand more, expected (2, 1000)"}}
    process = sweep(*MADE_UP, *arguments, environment={"MADE_UP": json.dumps(wrong)})
    assert process.returncode == pytest.ExitCode.TESTS_FAILED
    failed = re.findall(r"^failed: (\S+): RuntimeError: wrong: shape \(2, 9\)$", process.stdout, re.MULTILINE)
    assert failed == ["model-separable-a0.25-r32-b2-cpu-fp32"]
    assert "Traceback" not in process.stdout
    assert list(load([stored])["id"]) == ["model-standard-a0.25-r32-b2-cpu-fp32"]
    assert list(json.loads(stored.read_text())["mnv1"]["failed"]) == failed


def test_amp_on_a_cpu_without_bf16_is_skipped_unless_it_is_named():
    arguments = ("--profile", "smoke", "--alphas", "0.25", "--resolutions", "32", "--devices", "cpu", "-k", "model-sep")
    arguments += ("--benchmark-disable",)
    without = {"MADE_UP": json.dumps({"facts": {"bf16_instructions": False}})}
    usual, named = sweeps(arguments, (*arguments, "--precisions", "amp"), environment=without)
    assert "1 cases skipped: this CPU has no bf16 instructions" in usual.stdout
    assert "1 passed, 1 skipped" in usual.stdout
    assert "1 passed" in named.stdout
    assert "skipped" not in named.stdout


def test_what_ran_is_stored_with_the_cases_that_reports_explain(tmp_path):
    done = sweep(
        *MADE_UP,
        "--profile=smoke",
        "--precisions=fp32",
        "--benchmark-autosave",
        f"--benchmark-storage=file://{tmp_path}",
    )
    assert "what runs in a call: looked at 10 of 10 cases in 0:0" in done.stdout
    runs = find_runs(tmp_path)
    kernels = load_kernels(runs)
    assert set(kernels["id"]) == {
        f"{name}-b1-cpu-fp32"
        for name in (
            *("model-standard-a0.25-r128", "model-separable-a0.25-r128"),
            *(f"layer-{kind}-64x128-s2-d112" for kind in ("standard", "separable", "depthwise", "pointwise")),
            *(f"layer-{kind}-512x512-s1-d14" for kind in ("standard", "separable", "depthwise", "pointwise")),
        )
    }
    assert set(kernels["implementation"]) == {"made up"}
    cases = load(runs).set_index("id")
    assert cases.loc["model-separable-a0.25-r128-b1-cpu-fp32", "traced_call"] == 1e-3
    assert cases.loc["model-separable-a0.25-r128-b1-cpu-fp32", "traced_state"]
    assert cases["traced_call"].notna().sum() == 10


def test_what_cannot_be_traced_is_said_and_loses_nothing(tmp_path):
    broken = {"MADE_UP": json.dumps({"untraceable": "no trace today"})}
    arguments = ("--profile=smoke", "--benchmark-autosave", f"--benchmark-storage=file://{tmp_path}")
    done = sweep(*MADE_UP, *arguments, "--precisions=fp32", "-k=model-separable", environment=broken)
    assert done.returncode == 0
    assert (
        "what runs in model-separable-a0.25-r128-b1-cpu-fp32 cannot be told: RuntimeError: no trace today"
        in done.stdout
    )
    assert load_kernels(find_runs(tmp_path)).empty
