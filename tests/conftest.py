"""What tests share: warnings are errors, and stored runs made of known facts."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from functools import cache, partial
from pathlib import Path
from time import monotonic, sleep

import pandas as pd
import pytest

from mnv1.store.runs import Results, frame, from_facts

ROOT = Path(__file__).parent.parent

# Before torch is imported, here and in processes that tests start: several of them share two cores, and threads that
# wait busily for one another would keep the others from working. Nothing here is timed.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# torch's compiler would start processes beside each of these, and each imports torch.
os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")

# Nor must tests that run beside each other, or beside a measurement, wait for one another: each process has a lock.
os.environ["MNV1_LOCK_FOLDER"] = tempfile.mkdtemp(prefix="mnv1-lock-")
atexit.register(shutil.rmtree, os.environ["MNV1_LOCK_FOLDER"], ignore_errors=True)
os.environ.pop("MNV1_LOCK_HELD", None)


def pytest_configure(config):
    config.addinivalue_line("filterwarnings", "error")
    # Of other packages' sources, which are compiled at the first import.
    config.addinivalue_line("filterwarnings", "ignore::SyntaxWarning")


SLOWEST = (
    *("test_survival", "test_train_script", "test_page", "test_compress", "test_quantize", "test_compare_revisions"),
    *("test_plot_results", "test_execution", "test_sweep", "test_export", "test_find_fastest", "test_pretrained"),
    *("test_plugins", "test_processes", "test_report", "test_train", "test_browser"),
)
"""First, so that two workers end at about the same time; the first two start the processes that others fork from."""


SLOW = {
    "test_browser": (
        "test_tables_sort_by_value[phone]",
        "test_filters_keep_rows_with_every_word[phone]",
        "test_nothing_is_requested_and_nothing_complains[phone]",
        "test_figures_show_and_the_page_is_no_wider_than_the_window[desktop]",
        "test_markup_in_results_does_not_run",
    ),
    "test_cases": tuple(
        f"test_shards_are_disjoint_complete_balanced_and_always_the_same[{shards}-full]" for shards in (1, 2, 4)
    ),
    "test_check_claims": ("test_judging_never_imports_torch",),
    "test_compare_revisions": (
        "test_an_interrupt_leaves_nothing_behind[2]",
        "test_what_head_changes_is_seen_by_real_processes",
    ),
    "test_comparison": ("test_false_alarms_of_whole_simulated_runs[20]", "test_power_of_whole_simulated_runs[20]"),
    "test_compress": (
        "test_training_with_rounding_ends_with_an_int8_network[graph]",
        "test_quantized_after_training_it_comes_back_from_its_file",
    ),
    "test_execution": (
        "test_a_compiled_mode_gives_the_outputs_of_eager_code[compiled-fp32]",
        "test_a_mode_gives_the_outputs_of_eager_code[onnxruntime-fp32]",
        "test_a_mode_gives_the_outputs_of_eager_code[openvino-fp32]",
        "test_a_mode_gives_the_outputs_of_eager_code[openvino-bf16]",
        "test_the_lines_that_use_a_mode_run_and_give_its_outputs[separable-onnxruntime-fp32]",
        "test_networks_of_other_packages_are_folded_too[timm]",
    ),
    "test_export": (
        "test_a_file_gives_the_same_outputs_for_any_batch[torch-export]",
        "test_a_fixed_batch_is_part_of_the_file[onnx]",
        "test_semantics_are_exported[semantics0-65]",
    ),
    "test_facts": ("test_coverage_of_a_speedups_interval_with_the_stopping_rule[0.15-200]",),
    "test_find_fastest": ("test_stored_ladders_are_rendered_without_torch",),
    "test_measure": (
        "test_environment_command_prints",
        "test_threads_are_lowered_to_what_the_quota_allows_unless_they_were_asked_for",
    ),
    "test_plot_results": ("test_the_same_results_give_the_same_files",),
    "test_plugins": (
        "test_a_plugin_meets_ordinary_tests[pytest_instafail-plugins3-arguments3-said3]",
        "test_a_plugin_meets_ordinary_tests[pytest_rerunfailures-plugins2-arguments2-said2]",
        "test_a_plugin_meets_ordinary_tests[xdist-plugins4-arguments4-said4]",
        "test_a_time_limit_of_a_test_is_none_of_the_sweep",
        "test_a_run_is_compared_with_an_earlier_one_by_pytest_benchmark",
        "test_what_was_measured_but_not_replayed_is_not_lost",
        "test_repeated_tests_fall_into_the_shard_of_their_case",
        "test_maxfail_ends_the_sweep_at_the_nth_case_that_fails",
    ),
    "test_portability": ("test_what_plans_stores_and_renders_is_imported_where_posix_is_missing",),
    "test_pretrained": (
        "test_outputs_are_those_of_the_other_implementation[keras-0.25-128]",
        "test_outputs_are_those_of_the_other_implementation[transformers-0.25-128]",
    ),
    "test_processes": ("test_no_thread_of_the_group_is_left_when_the_processes_part",),
    "test_quantize": (
        "test_every_layer_becomes_an_int8_kernel_depthwise_ones_too",
        "test_bias_correction_leaves_each_channel_its_mean",
    ),
    "test_references": ("test_counts_are_the_published_ones[vgg16]",),
    "test_survival": (
        "test_an_interrupted_sweep_is_announced_and_keeps_its_options",
        "test_shards_together_are_the_whole_sweep",
    ),
    "test_sweep": ("test_cases_are_checked_without_timing_when_benchmarks_are_disabled",),
    "test_train": (
        "test_a_resumed_run_is_the_uninterrupted_run_to_the_last_digit[changes3]",
        "test_compiled_training_is_training",
    ),
    "test_train_script": (
        "test_killed_it_loses_at_most_the_epoch_and_ends_as_the_uninterrupted_run[mid-epoch]",
        "test_killed_it_loses_at_most_the_epoch_and_ends_as_the_uninterrupted_run[before the facts]",
        "test_a_finished_run_is_neither_overwritten_nor_trained_on",
        "test_a_run_that_goes_on_elsewhere_says_so",
        "test_tensorboard_gets_the_epochs_too",
    ),
    "test_training_report": ("test_rendering_needs_no_torch",),
    "test_training_steps": ("test_steps_stay_alike_however_many_are_taken",),
    "test_views": ("test_a_colour_is_the_same_in_every_process",),
    "test_weights_packages": (
        "test_keras_archives_whole_models_and_networks_without_top",
        "test_transformers_folders",
    ),
    "test_workflows": ("test_options_of_scripts_exist",),
}
"""Tests that take too long for every run, beside those that are marked where they stand.

For most of them another parameter, or a test of the same thing with fewer processes or layers, is in every run. The
nightly run alone proves commands and options of scripts as they are called, imports where POSIX is missing, and whole
networks in ONNX Runtime, OpenVINO and torch.compile."""


def pytest_collection_modifyitems(items):
    for item in items:
        if item.name in SLOW.get(item.path.stem, ()):
            item.add_marker(pytest.mark.slow)
    items.sort(key=lambda item: SLOWEST.index(item.path.stem) if item.path.stem in SLOWEST else len(SLOWEST))


def pytest_addoption(parser):
    parser.addoption("--kills", type=int, default=1, help="how many sweeps the survival test kills (default: 1)")
    parser.addoption("--kills-report", type=Path, help="where to write what became of them")


def outside_of_this_run(**more):
    """The environment of a process that must not think that it belongs to this test run."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")} | more


def hear_interrupts():
    """For a process that is started (`preexec_fn`): in the background of a shell interrupts are ignored by default."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


BENCHMARKS = (str(ROOT / "benchmarks"), "-p", "no:cacheprovider", "-p", "benchmark")

MADE_UP = ("-p", "tests.made_up")
"""Options of a sweep whose figures are made up, in a process without torch: a second instead of ten."""


def of_sweeps(**more):
    """The environment of a sweep in any folder. It loads the plugins that it names: to find all others takes longer
    than a sweep whose figures are made up. It sees no GPU: one would be measured in place of the CPU."""
    hidden = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "CUDA_VISIBLE_DEVICES": ""}
    return outside_of_this_run(PYTHONPATH=str(ROOT), **hidden) | more


def sweep(*arguments, cwd=ROOT, environment=None):
    """`pytest benchmarks` with these arguments, in a process of its own; what it writes is not kept by default.

    One whose figures are made up is forked from a process that has pytest and this project's modules.
    """
    with tempfile.TemporaryDirectory() as folder:
        told = [*BENCHMARKS, f"--benchmark-storage=file://{folder}", *arguments]
        variables = of_sweeps(**(environment or {}))
        if not set(MADE_UP) <= set(arguments):
            command = [sys.executable, "-m", "pytest", *told]
            return subprocess.run(command, cwd=cwd, env=variables, capture_output=True, text=True, check=False)
        process = forked_sweep(*told, cwd=cwd, environment=variables)
        out, err = process.communicate()
        return subprocess.CompletedProcess(told, process.returncode, out, err)


def forked_sweep(*arguments, cwd=ROOT, environment):
    """`pytest arguments`, under way."""
    code = "import sys, pytest; sys.exit(pytest.main(sys.argv[1:]))"
    return forked(code, *arguments, cwd=cwd, environment=environment)


def forked(code, *arguments, cwd=ROOT, environment):
    """`python -c code arguments`, under way, from a process that has pytest and this project's modules."""
    from tests.forked import Forked  # not in every process of the tests

    return Forked(code, *arguments, cwd=cwd, environment=environment)


_SWEEPS = """
import contextlib, io, json, sys
import pytest

done = []
for arguments in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        status = pytest.main(arguments)
    done.append((arguments, int(status), out.getvalue(), err.getvalue()))
json.dump(done, sys.stdout)
"""


def sweeps(*several, environment=None):
    """What `sweep(*MADE_UP, *arguments)` gives for each of several, one after the other in one process."""
    with tempfile.TemporaryDirectory() as folder:
        common = [*BENCHMARKS, *MADE_UP, f"--benchmark-storage=file://{folder}"]
        asked = json.dumps([[*common, *arguments] for arguments in several])
        out, err = forked(_SWEEPS, asked, environment=of_sweeps(**(environment or {}))).communicate()
    assert out, err
    return [subprocess.CompletedProcess(*one) for one in json.loads(out)]


def latency_facts(
    subject="model",
    kind="separable",
    shape="a1.00-r224",
    batch_size=1,
    device="cpu",
    precision="fp32",
    latency=0.010,
    **more,
):
    """Facts of a latency case with a median interval of ±2 % and everything else derived from the arguments."""
    size = {"alpha": 1.0, "resolution": 224}
    if subject == "layer":
        size = {"in_channels": 64, "out_channels": 128, "stride": 2, "side": 112}
    prefix = "model" if subject == "model" else "layer"
    facts = {
        "id": f"{prefix}-{kind}-{shape}-b{batch_size}-{device}-{precision}",
        "measures": "latency",
        "kind": kind,
        "shape": shape,
        "subject": subject,
        **size,
        "batch_size": batch_size,
        "device": device,
        "precision": precision,
        "macs": 568_740_352 * batch_size,
        "params": 4_231_976,
        "min_bytes": 57_792_160,
        "latency_p50": latency,
        "latency_p90": latency * 1.1,
        "latency_p99": latency * 1.3,
        "latency_low": latency * 0.98,
        "latency_high": latency * 1.02,
        "throughput": batch_size / latency,
        "macs_per_second": 568_740_352 * batch_size / latency,
        "peak_memory": 9_633_792 * batch_size,
        "first_call": latency * 3,
        "rounds": 50,
        "calls_per_round": 1,
        "disturbed_rounds": 0,
        "stopped": "precise",
    }
    return facts | more


def reference_facts(kind="resnet18", macs=1_814_073_344, params=11_689_512, batch_size=1, **more):
    """Facts of a network of another package: no closed forms, and a width only where there are several."""
    facts = latency_facts(kind=kind, shape="r224", batch_size=batch_size, **more)
    for name in ("min_bytes", "alpha"):
        del facts[name]
    width = {"alpha": 1.0, "shape": "a1.00-r224"} if kind == "timm" else {}
    return facts | width | {"macs": macs * batch_size, "params": params}


def speedup_facts(speedup=4.0, latency=0.010, macs_ratio=8.558, **more):
    """Facts of a speedup case with an interval of ±2.5 %."""
    facts = latency_facts(latency=latency, **more)
    prefix = "speedup-model" if facts["subject"] == "model" else "speedup-layer"
    facts |= {
        "id": f"{prefix}-{facts['shape']}-b{facts['batch_size']}-{facts['device']}-{facts['precision']}",
        "measures": "speedup",
        "standard_latency_p50": latency * speedup,
        "standard_macs": facts["macs"] * macs_ratio,
        "macs_ratio": macs_ratio,
        "speedup": speedup,
        "speedup_low": speedup * 0.975,
        "speedup_high": speedup * 1.025,
    }
    for name in ("throughput", "macs_per_second", "peak_memory", "first_call"):
        del facts[name]
    return facts


def training_facts(**more):
    """Facts of a training step: three times the operations, a third of the time forward, a tenth in the optimizer."""
    facts = latency_facts(**more)
    del facts["min_bytes"]
    time = facts["latency_p50"]
    for name, share in (("forward", 0.3), ("backward", 0.6), ("optimizer", 0.1)):
        seconds = more.get(f"{name}_time", share * time)
        facts |= {f"{name}_time": seconds, f"{name}_low": 0.95 * seconds, f"{name}_high": 1.05 * seconds}
    about = {"id": facts["id"].replace("model", "training"), "measures": "training", "phase_steps": 10}
    return facts | about | {"macs": 3 * facts["macs"]}


def training_speedup_facts(speedup=3.5, macs_ratio=8.6, **more):
    """Facts of a speedup of training steps."""
    facts = speedup_facts(speedup=speedup, macs_ratio=macs_ratio, **more)
    return facts | {"id": facts["id"].replace("speedup-model", "training-speedup"), "measures": "training speedup"}


def ceiling(name, value, device="cpu", precision="", size=1024):
    """A ceiling of a run, ±2 %."""
    return {
        "ceiling": name,
        "device": device,
        "precision": precision,
        "size": size,
        "value": value,
        "low": 0.98 * value,
        "high": 1.02 * value,
        "rounds": 12,
        "disturbed_rounds": 0,
        "stopped": "precise",
    }


def described(**more):
    """A machine's description, with a ceiling of each kind."""
    devices = ("cpu", "cuda")
    return {
        "schema": 1,
        "machine": "test-cpu",
        "cpu": "Test CPU",
        "cpus": 2,
        "threads": 2,
        "machine_state": "controlled",
        "packages": {"torch": "2.15.0"},
        "ceilings": [
            *(ceiling("gemm", 7e10, device, precision) for device in devices for precision in ("fp32", "amp")),
            *(ceiling("copy beyond cache", 2.2e10, device, size=2**28) for device in devices),
            *(ceiling("copy within cache", 1.1e11, device, size=2**23) for device in devices),
        ],
    } | more


def profiled(**seconds):
    """Operators of a profiled case: seconds by type, ±10 %."""
    about = {"count": 3, "calls": 5}
    return [{"operator": name, "seconds": s, "low": 0.9 * s, "high": 1.1 * s, **about} for name, s in seconds.items()]


def traced(call, **seconds):
    """Facts of a case whose kernels were traced beside a call of so many seconds: seconds by type, ±10 %."""
    kernels = [
        {"kernel": name, "implementation": f"jit_{name}", "layouts": "aBcd8b", "count": 13, "calls": 5}
        | {"seconds": s, "low": 0.9 * s, "high": 1.1 * s}
        for name, s in seconds.items()
    ]
    return {"traced_call": call, "kernels": kernels}


def gain_facts(mode, speedup=1.2, **more):
    """Facts of what a mode gains over plain eager code, whose call takes 10 ms."""
    facts = speedup_facts(speedup=speedup, latency=0.010 / speedup, macs_ratio=1.0, **more)
    name = f"gain-model-{facts['kind']}-{facts['shape']}-b{facts['batch_size']}-{facts['device']}-{facts['precision']}"
    return facts | {"id": f"{name}-{mode}", "measures": "gain", "mode": mode}


def document(facts, machine="test-cpu", time="2026-01-02T03:04:05+00:00", **environment):
    """A stored run as pytest-benchmark writes it, as far as the loader looks."""
    return {
        "machine_info": {"mnv1": described(machine=machine, **environment)},
        "commit_info": {"id": "0123456789abcdef", "dirty": False},
        "datetime": time,
        "version": "5.3.1",
        "benchmarks": [
            {"name": one["id"], "extra_info": one, "stats": {"data": [one["latency_p50"]]}} for one in facts
        ],
    }


def everything():
    """Facts for every view of one run: layers, models along both axes and three batch sizes, training, pairs of all."""
    facts = []
    for precision, factor in (("fp32", 1.0), ("amp", 0.7)):
        for batch_size in (1, 8):
            common = {"precision": precision, "batch_size": batch_size}
            for number, size in enumerate(((32, 64, 1, 112), (512, 512, 1, 14))):
                block = dict(zip(("in_channels", "out_channels", "stride", "side"), size, strict=True))
                layer = common | block | {"subject": "layer", "shape": "{}x{}-s{}-d{}".format(*size)}
                for kind, time in (("standard", 4), ("separable", 1), ("depthwise", 0.2), ("pointwise", 0.7)):
                    facts.append(latency_facts(kind=kind, latency=1e-3 * time * factor * batch_size, **layer))
                facts.append(speedup_facts(speedup=2.5 + number - 2 * (factor < 1), **layer))
        for batch_size in (1, 8, 32):
            for alpha, resolution in ((1.0, 224), (0.5, 224), (1.0, 128)):
                shape = f"a{alpha:.2f}-r{resolution}"
                size = {"alpha": alpha, "resolution": resolution, "shape": shape, "batch_size": batch_size}
                macs = int(568_740_352 * alpha**2 * (resolution / 224) ** 2) * batch_size
                for kind, more in (("standard", 8), ("separable", 1)):
                    time = 1e-11 * macs * more**0.7 * factor
                    own = (
                        {"standard": 0.8 * time}
                        if kind == "standard"
                        else {"pointwise": 0.5 * time, "depthwise": 0.3 * time}
                    )
                    operators = profiled(**own, batch_norm=0.1 * time, between=0.1 * time)
                    ran = {name: 0.7 * seconds for name, seconds in own.items()}
                    more_facts = size | {
                        "macs": macs * more,
                        "operators": [one | {"empty": 0.01 * time} for one in operators],
                        **traced(time, **ran, images=0.2 * time, weights=0.03 * time),
                        "dispatch_time": 0.05 * time,
                        "system_time": 0.1 * time,
                        "page_faults": 3.0,
                        "memory_floor": 4_816_896 * batch_size,
                    }
                    facts.append(latency_facts(kind=kind, precision=precision, latency=time, **more_facts))
                facts.append(speedup_facts(precision=precision, **size))
        for batch_size, alpha in ((1, 1.0), (8, 1.0), (32, 1.0), (8, 0.5)):
            size = {"alpha": alpha, "shape": f"a{alpha:.2f}-r224", "batch_size": batch_size, "precision": precision}
            time = 0.03 * alpha * batch_size * factor
            for kind, more, peak in (("standard", 3.5, 5e7), ("separable", 1, 7e7)):
                facts.append(
                    training_facts(kind=kind, latency=more * time, peak_memory=int(peak * alpha * batch_size), **size)
                )
            facts.append(training_speedup_facts(latency=time, speedup=3.5 * factor, **size))
        for batch_size in (1, 8):
            time = 1e-11 * 568_740_352 * batch_size * factor
            for mode, speedup in (("channels_last", 1.15), ("folded", 1.2)):
                ran = traced(time, pointwise=0.35 * time, depthwise=0.21 * time, weights=0.1 * time)
                facts.append(gain_facts(mode, speedup, precision=precision, batch_size=batch_size, **ran))
    for batch_size in (1, 8):
        for precision, mode, latency in (
            ("fp32", "compiled", 0.004),
            ("fp32", "folded", 0.005),
            ("bf16", "folded", 0.003),
        ):
            made = {"output_error": 1e-6, "compile_time": 9.0, "file_size": 2**24, "mode": mode, "precision": precision}
            one = latency_facts(batch_size=batch_size, latency=latency * batch_size, **made)
            facts.append(one | {"id": f"{one['id']}-{mode}"})
        for kind, macs, params, latency in (
            ("timm", 568_740_352, 4_231_976, 0.007),
            ("mobilenet_v2", 300_774_272, 3_504_872, 0.009),
            ("resnet18", 1_814_073_344, 11_689_512, 0.015),
            ("vgg16", 15_470_264_320, 138_357_544, 0.16),
        ):
            facts.append(
                reference_facts(kind, macs, params, batch_size, latency=latency * batch_size, process_peak=2**24)
            )
    mine = speedup_facts(speedup=1.8, kind="smaller", shape="mine", macs_ratio=4.0)
    del mine["alpha"], mine["resolution"], mine["min_bytes"]
    facts.append(mine | {"id": "speedup-own-mine-smaller-b1-cpu-fp32"})
    for mode in ("channels_last", "folded"):
        for batch_size, speedup in ((1, 0.8), (256, 3.0)):
            pair = speedup_facts(speedup=speedup, batch_size=batch_size, device="cuda")
            facts.append(pair | {"id": f"{pair['id']}-{mode}", "mode": mode})
    return facts


def section_of(view):
    """The section of a view in a report on everything, such as `verdict-cpu`."""
    return f"{view.name}-{'cuda' if view.name == 'on_accelerators' else 'cpu'}"


def results_of(facts, *earlier, **machine):
    """Results of one run; `earlier` are (time, threads, facts) of others in the machine's history."""

    def dated(table, time, threads):
        environment = f"machine test-cpu, threads {threads}"
        about = {"time": pd.Timestamp(time, tz="UTC"), "machine": "test-cpu", "commit": "0123456789ab"}
        return table.assign(run=f"run of {time}", environment=environment, threads=threads, **about)

    here = from_facts(facts, described(**machine))
    cases = dated(here.cases, "2026-05-02", 2)
    past = [dated(frame(more, described()), time, threads) for time, threads, more in earlier]
    history = pd.concat([cases, *past], ignore_index=True)
    return Results(cases, here.operators, history, {"machine": "test-cpu", "cpu": "Test CPU"}, here.kernels)


@cache
def every_view():
    """Results that every view has rows in: an earlier run, and one with another number of threads."""
    return results_of(everything(), ("2026-05-01", 2, everything()), ("2026-05-03", 1, everything()))


@pytest.fixture(scope="session")
def whole_page(tmp_path_factory):
    """The page with every view, beside what it was made of; once, because it takes long. Only to be read."""
    from mnv1.claims.report import appendix
    from mnv1.report.render import render  # not in every process: it draws

    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "page"
    done = folder / "done"
    try:
        folder.mkdir()
    except FileExistsError:  # another worker draws it, or has drawn it
        deadline = monotonic() + 300
        while not done.exists() and monotonic() < deadline:
            sleep(0.1)
    else:
        results = every_view()
        render(results, folder / "rendered", ("svg",), folder / "report.html", appendix=appendix(results))
        done.touch()
    return folder / "report.html"


def stored_in(folder, facts, name="0001_a.json", **environment):
    """The path of a run that is stored below a folder."""
    path = folder / "results" / "test-cpu" / "Linux-CPython-3.11-64bit" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document(facts, **environment)))
    return path


@pytest.fixture
def store(tmp_path):
    """Store facts as a run: `store(facts, name="0001_a.json", **document's)` returns its path."""
    return partial(stored_in, tmp_path)
