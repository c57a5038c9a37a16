"""`pytest benchmarks` with pytest's other plugins and options, and beside tests of others: it works, or says why not.

The figures are made up. Each sweep loads the plugins that its test names, and no others.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from importlib.util import find_spec
from xml.etree import ElementTree

import pytest
from filelock import FileLock

from mnv1.store.runs import ResultError, find_runs, load
from mnv1.suite.journal import interrupted
from mnv1.suite.options import REFUSED
from tests.conftest import MADE_UP, ROOT, document, forked_sweep, latency_facts, of_sweeps, sweeps

NO_OTHERS = ("-p", "no:cacheprovider", "-p", "benchmark")
TINY = ("--profile", "smoke", "--alphas", "0.25", "--resolutions", "32", "--batch-sizes", "2", "--devices", "cpu")
CASES = (*TINY, "--precisions", "fp32", "-k", "model", "--benchmark-autosave")
STANDARD, SEPARABLE, SPEEDUP = (
    f"{name}-a0.25-r32-b2-cpu-fp32" for name in ("model-standard", "model-separable", "speedup-model")
)


def started(*arguments, plugins=(), folder=ROOT, **fails):
    """`pytest benchmarks` below a folder; `fails` says how cases end."""
    loaded = [part for name in ("benchmark", *plugins) for part in ("-p", name)]
    environment = of_sweeps(MADE_UP=json.dumps({"fails": fails}))
    told = ("-p", "no:cacheprovider", *loaded, *MADE_UP, *arguments)
    return forked_sweep(*told, cwd=folder, environment=environment)


def swept(*arguments, **more):
    """The same, when it is over."""
    process = started(*arguments, **more)
    out, err = process.communicate()
    assert "Traceback" not in out + err
    assert "INTERNALERROR" not in out + err
    return subprocess.CompletedProcess(arguments, process.returncode, out, err)


def in_storage(folder):
    return "benchmarks", f"--benchmark-storage=file://{folder}"


def stored_ids(folder):
    """Of the newest run."""
    return list(load([find_runs(folder)[-1]])["id"])


def told(output):
    """Cases in the order in which they were over, by their lines."""
    return re.findall(r"^\[[1-9]/\d\] (\S+)  (?!first of its visits)", output, re.MULTILINE)


def installed(package):
    if not find_spec(package):
        pytest.skip(f"{package} is not installed: pip install -c constraints.txt -e '.[test]'")


@pytest.mark.parametrize(
    ("package", "plugins", "arguments", "said"),
    [
        ("pytest_randomly", ("randomly",), ("--randomly-seed=3",), ("Using --randomly-seed=3", "1 failed, 2 passed")),
        ("pytest_repeat", ("repeat",), ("--count=2",), ("2 failed, 4 passed",)),
        ("pytest_rerunfailures", ("rerunfailures",), ("--reruns=1",), ("1 failed, 2 passed, 48 deselected, 1 rerun",)),
        ("pytest_instafail", ("instafail",), ("--instafail",), (f"test_model[{STANDARD}]", "1 failed, 2 passed")),
        ("xdist", ("xdist",), ("-n0",), ("1 failed, 2 passed",)),
    ],
)
def test_a_plugin_meets_ordinary_tests(tmp_path, package, plugins, arguments, said):
    installed(package)
    done = swept(*in_storage(tmp_path), *CASES, *arguments, plugins=plugins, standard="wrong: shape")
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout
    assert all(part in done.stdout for part in said)
    assert sorted(told(done.stdout)) == [SEPARABLE, STANDARD, SPEEDUP]  # each once
    assert re.search(rf"^\[\d/3\] {STANDARD}  FAILED: RuntimeError: wrong: shape$", done.stdout, re.MULTILINE)
    assert sorted(stored_ids(tmp_path)) == [SEPARABLE, SPEEDUP]
    assert interrupted(tmp_path) == []


def test_repeated_tests_fall_into_the_shard_of_their_case(tmp_path):
    installed("pytest_repeat")
    parts = [tmp_path / "1", tmp_path / "2"]
    for number, part in enumerate(parts, start=1):
        done = swept(*in_storage(part), *CASES, f"--shard={number}/2", "--count=2", plugins=("repeat",))
        assert done.returncode == 0, done.stdout
    ids = [stored_ids(part) for part in parts]
    assert sorted(ids[0] + ids[1]) == [SEPARABLE, STANDARD, SPEEDUP]


def test_a_time_limit_of_a_test_is_none_of_the_sweep(tmp_path):
    installed("pytest_timeout")
    arguments = (*in_storage(tmp_path), *CASES, "--timeout=2", "--case-timeout=3")
    done = swept(*arguments, plugins=("timeout",), standard="hangs")
    assert f"failed: {STANDARD}: no result after 3 s (--case-timeout); its process was ended" in done.stdout
    assert "1 failed, 2 passed" in done.stdout
    assert sorted(stored_ids(tmp_path)) == [SEPARABLE, SPEEDUP]


def test_reports_of_plugins_hold_each_case_and_why_it_failed(tmp_path):
    junit, html = tmp_path / "report.xml", tmp_path / "report.html"
    arguments, plugins = [*in_storage(tmp_path), *CASES, f"--junitxml={junit}"], ()
    if find_spec("pytest_html"):
        arguments += [f"--html={html}", "--self-contained-html"]
        plugins = ("metadata", "html", "html_fixtures")
    done = swept(*arguments, plugins=plugins, standard="wrong: shape")
    assert "1 failed, 2 passed" in done.stdout
    cases = {case.get("name"): case for case in ElementTree.parse(junit).iter("testcase")}
    assert set(cases) == {f"test_model[{STANDARD}]", f"test_model[{SEPARABLE}]", f"test_speedup[{SPEEDUP}]"}
    assert cases[f"test_model[{STANDARD}]"].find("failure").get("message").endswith("RuntimeError: wrong: shape")
    if plugins:
        text = html.read_text()
        assert all(name in text for name in (STANDARD, SEPARABLE, SPEEDUP, "RuntimeError: wrong: shape"))


@pytest.mark.parametrize("arguments", [("-n2",), ("--dist=loadfile", "--tx=popen"), ("-n2", "--benchmark-disable")])
def test_cases_are_not_measured_two_at_a_time(arguments):
    installed("xdist")
    done = swept("benchmarks", *CASES, *arguments, plugins=("xdist",))
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert done.stderr.strip().startswith("ERROR: -n, --dist: two cases at a time would spoil each other")
    assert done.stderr.strip().count("\n") == 0


def test_x_ends_the_sweep_at_the_first_case_that_fails_and_resume_goes_on(tmp_path):
    ended = swept(*in_storage(tmp_path), *CASES, "-x", pair="wrong")
    assert ended.returncode == pytest.ExitCode.TESTS_FAILED
    assert told(ended.stdout) == [SPEEDUP]
    assert "2 cases skipped: not finished when the sweep ended; pytest benchmarks --resume goes on" in ended.stdout
    assert "interrupted: 0 visits to 0 of 3 cases are kept" in ended.stdout
    done = swept(*in_storage(tmp_path), "--resume", "-x")
    assert "1 failed, 2 passed" in done.stdout
    assert sorted(stored_ids(tmp_path)) == [SEPARABLE, STANDARD]
    assert interrupted(tmp_path) == []


def test_maxfail_ends_the_sweep_at_the_nth_case_that_fails(tmp_path):
    ended = swept(*in_storage(tmp_path), *CASES, "--maxfail=2", pair="wrong", standard="wrong", separable="wrong")
    assert told(ended.stdout) == [SPEEDUP, STANDARD]


def test_what_was_measured_but_not_replayed_is_not_lost(tmp_path):
    swept(*in_storage(tmp_path), *CASES, "-x", separable="wrong")
    ended = swept(*in_storage(tmp_path), "--resume", "-x")  # pytest ends at the second of three tests
    assert stored_ids(tmp_path) == [STANDARD]
    assert "not every case is stored: pytest ended before; store them with: pytest benchmarks --resume" in ended.stdout
    assert len(interrupted(tmp_path)) == 1
    done = swept(*in_storage(tmp_path), "--resume")
    assert SPEEDUP not in told(done.stdout)  # it had its line
    assert sorted(stored_ids(tmp_path)) == [STANDARD, SPEEDUP]
    assert interrupted(tmp_path) == []


def test_lines_reach_a_pipe_while_the_sweep_goes_on(tmp_path):
    command = [sys.executable, "-m", "pytest", *in_storage(tmp_path), *NO_OTHERS, *MADE_UP, *CASES]
    environment = of_sweeps(MADE_UP=json.dumps({"fails": {"separable": "hangs"}}))
    environment.pop("PYTHONUNBUFFERED", None)
    arguments = (*command, "--case-timeout=10000")
    with subprocess.Popen(arguments, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        limit = threading.Timer(120, process.kill)  # a reader of lines that never come would wait for ever
        limit.start()
        seen = next((line for line in process.stdout if STANDARD in line), "")
        limit.cancel()
        assert process.poll() is None
        process.kill()
    assert f"{STANDARD}  first of its visits" in seen


def test_without_pytest_benchmark_it_says_what_is_missing():
    process = forked_sweep("benchmarks", "-p", "no:benchmark", *MADE_UP, *TINY, cwd=ROOT, environment=of_sweeps())
    _, err = process.communicate()
    assert process.returncode == pytest.ExitCode.USAGE_ERROR
    assert err.strip() == "ERROR: the suite stores with pytest-benchmark: leave -p no:benchmark out"


def test_ctrl_c_leaves_the_wait_for_a_busy_machine(tmp_path, monkeypatch):
    monkeypatch.setenv("MNV1_LOCK_FOLDER", str(tmp_path))
    with FileLock(tmp_path / "measuring.lock"):
        process = started(*in_storage(tmp_path), *CASES)
        while process.poll() is None and "waiting: " not in process.stderr:
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate()
    assert process.returncode == 130
    assert "left: nothing was measured\n" in err
    assert "Traceback" not in out + err
    assert "mnv1:" not in out


OWN = """
import os
import pytest

@pytest.mark.parametrize("pair", [1, 2])
def test_pair(pair):
    assert pair

def test_whether_the_machine_is_locked():
    assert ("MNV1_LOCK_HELD" in os.environ) == (os.environ["LOCKED"] == "yes")
"""
PLAIN = """
def test_plain(benchmark):
    benchmark.extra_info["id"] = 7
    benchmark(sum, range(9))
"""


@pytest.fixture
def beside(tmp_path, monkeypatch):
    """A folder with the suite's benchmarks, tests of others among them and beside them, and a document with tests."""
    shutil.copytree(ROOT / "benchmarks", tmp_path / "benchmarks", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "benchmarks" / "test_own.py").write_text(OWN)
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_other.py").write_text("def test_other():\n    pass\n")
    (tmp_path / "benchmarks" / "document.txt").write_text(">>> 1 + 1\n2\n")
    monkeypatch.setenv("LOCKED", "no")
    return tmp_path


BESIDE = (
    *TINY,
    "--precisions=fp32",
    "--kinds=separable",
    "--deselect=benchmarks/test_layers.py",
    "--doctest-glob=*.txt",
)


def test_tests_of_others_run_as_they_would_anywhere(beside):
    done = swept("benchmarks", "tests", *BESIDE, "--benchmark-autosave", folder=beside)
    assert done.returncode == 0, done.stdout
    *_, shown = done.stdout.partition("[2/2]")
    lines = re.findall(r"^(\S+/\S+) (\.+) +\[", shown, re.MULTILINE)
    files = ("benchmarks/document.txt", "benchmarks/test_models.py", "benchmarks/test_own.py")
    assert lines == [
        *zip(files, (".", ".", "..."), strict=True),
        ("benchmarks/test_training.py", "."),
        ("tests/test_other.py", "."),
    ]
    assert (find_runs(beside / "results")[0].parents[1]).name == "made-up-cpu"


def test_own_benchmarks_are_stored_beside_the_cases_and_shown_in_their_own_table(beside, monkeypatch):
    monkeypatch.setenv("LOCKED", "yes")  # as long as something is timed
    (beside / "benchmarks" / "test_plain.py").write_text(PLAIN)
    done = swept("benchmarks", *BESIDE, "--benchmark-autosave", folder=beside)
    assert done.returncode == 0, done.stdout
    assert re.search(r"^test_plain +\d", done.stdout, re.MULTILINE)
    assert "benchmark: 1 tests" in done.stdout
    (path,) = find_runs(beside / "results")
    assert len(json.loads(path.read_text())["benchmarks"]) == 3
    assert sorted(load([path])["measures"]) == ["latency", "training"]


def test_without_a_case_nothing_of_the_suite_happens(beside):
    (beside / "benchmarks" / "test_plain.py").write_text(PLAIN)
    done = swept("benchmarks", *TINY, "-k", "own or plain", "--benchmark-autosave", folder=beside)
    assert done.returncode == 0, done.stdout
    assert "mnv1:" not in done.stdout
    assert not (beside / "results").exists() or not list((beside / "results").iterdir())
    (path,) = (beside / ".benchmarks").rglob("*.json")  # where pytest-benchmark has them anywhere
    assert "mnv1" not in json.loads(path.read_text())["machine_info"]


def test_after_ctrl_c_no_test_of_others_begins(beside):
    process = started("benchmarks", "tests", *BESIDE, "--benchmark-autosave", folder=beside, separable="hangs")
    while process.poll() is None and "mnv1:" not in process.stdout:
        time.sleep(0.01)
    while process.poll() is None and not interrupted(beside / "results"):
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate()
    assert process.returncode == pytest.ExitCode.INTERRUPTED, output
    assert re.search(r"interrupted: \d+ visits to \d of 2 cases are kept", output)
    assert "passed" not in output


def test_a_reader_leaves_out_what_others_stored_in_a_run(tmp_path):
    path = tmp_path / "0001_a.json"
    plain = {"name": "test_plain", "extra_info": {"id": 7}, "stats": {"data": [1.0]}}
    run = document([latency_facts()])
    path.write_text(json.dumps(run | {"benchmarks": [plain, *run["benchmarks"]]}))
    assert list(load([path])["id"]) == [latency_facts()["id"]]
    path.write_text(json.dumps(run | {"benchmarks": [plain]}))
    with pytest.raises(ResultError, match="it holds no case"):
        load([path])


VALUES = {"timer": "time.time", "cprofile": "tottime", "warmup": "on", "precision": "0.1", "confidence": "0.9"}


@pytest.fixture(scope="module")
def refused():
    """What becomes of each option that has no meaning here."""
    flags = [f"--benchmark-{name}" for name in REFUSED]
    arguments = [flag if flag.endswith("gc") else f"{flag}={VALUES.get(flag[12:], 3)}" for flag in flags]
    return dict(zip(REFUSED, sweeps(*((*CASES[:-1], argument) for argument in arguments)), strict=True))


@pytest.mark.parametrize("name", REFUSED)
def test_options_that_mean_nothing_to_replayed_rounds_are_refused(refused, name):
    done = refused[name]
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert f"ERROR: --benchmark-{name}: {REFUSED[name]}; leave this option out" in done.stderr
    assert "mnv1:" not in done.stdout  # nothing was started


def test_other_options_of_pytest_benchmark(tmp_path):
    common = (f"--benchmark-storage=file://{tmp_path}", *CASES, "--kinds=separable")
    only, skip, elsewhere, histogram, collected = sweeps(
        (*common, "--benchmark-only"),
        (*common, "--benchmark-skip"),
        (*common, "--benchmark-storage=elasticsearch+http://localhost"),
        (*common, "--benchmark-histogram"),
        (*common, "--collect-only"),
    )
    assert "1 passed" in only.stdout
    assert skip.returncode == pytest.ExitCode.NO_TESTS_COLLECTED
    assert "1 cases skipped: Skipping benchmark (--benchmark-skip active)." in skip.stdout
    assert "mnv1:" not in skip.stdout + collected.stdout
    assert "ERROR: --benchmark-storage: runs are kept in a folder: file://PATH" in elsewhere.stderr
    if not find_spec("pygal"):
        assert "ERROR: --benchmark-histogram: pygal is not installed" in histogram.stderr


def test_a_run_is_compared_with_an_earlier_one_by_pytest_benchmark(tmp_path):
    common = (f"--benchmark-storage=file://{tmp_path}", *CASES, "--kinds=separable")
    sweeps(common)
    (path,) = find_runs(tmp_path)
    faster = json.loads(path.read_text())
    faster["benchmarks"][0]["stats"] |= {"mean": 1e-6, "min": 1e-6}
    path.write_text(json.dumps(faster))
    (done,) = sweeps((*common, "--benchmark-compare", "--benchmark-columns=min", "--benchmark-compare-fail=mean:5%"))
    assert re.search(rf"^test_model\[{SEPARABLE}\] \(NOW\)", done.stdout, re.MULTILINE)
    assert done.stderr.endswith("Exit: Performance has regressed.\n")
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert len(find_runs(tmp_path)) == 2
    assert interrupted(tmp_path) == []
