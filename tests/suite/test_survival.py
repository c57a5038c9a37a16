"""A long sweep cannot be lost: sweeps that are killed, interrupted, starved, and continued.

Their processes, signals and files are real; their figures are made up, so that a sweep takes a second. One that really
measures is killed as often as `--kills` says, when slow tests are asked for.
"""

import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
import time

import pytest

from mnv1.cases import Case, Conditions, Network
from mnv1.measure.runner import check
from mnv1.measure.worker import reason
from mnv1.store.runs import find_runs, load
from mnv1.store.shards import lacking
from mnv1.suite.journal import interrupted
from tests.conftest import BENCHMARKS, MADE_UP, ROOT, forked_sweep, of_sweeps, sweep, sweeps

CASES = ("--profile", "smoke", "--alphas", "0.25", "--resolutions", "32", "--batch-sizes", "1,2", "--devices", "cpu")
TINY_MODELS = (*CASES[:-4], "--batch-sizes", "1", "--devices", "cpu", "--precisions", "fp32", "-k", "model")
STORED = (*CASES, "--precisions", "fp32", "-k", "model", "--benchmark-autosave")
LARGE = 10**9
"""Images of a batch that no machine can hold."""


def start(storage, *arguments, figures=MADE_UP, **more):
    told = [*BENCHMARKS, *figures, f"--benchmark-storage=file://{storage}", *arguments]
    if figures and not more:
        return forked_sweep(*told, environment=of_sweeps(MADE_UP=json.dumps({"visit_time": 0.01})))
    more |= {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen([sys.executable, "-m", "pytest", *told], cwd=ROOT, env=of_sweeps(), **more)


def journal_lines(storage):
    """The journal's whole lines, as far as it exists."""
    for path in interrupted(storage):
        data = path.read_bytes()
        return [json.loads(line) for line in data[: data.rfind(b"\n") + 1].splitlines()]
    return []


def wait_for_visits(process, storage, visits):
    while process.poll() is None and len(journal_lines(storage)) < 1 + visits:
        time.sleep(0.01)


def not_interrupted(storage, figures):
    """Ids of the sweep when nothing interrupts it, and about how many seconds it takes."""
    began = time.monotonic()
    run_to_its_end(storage, *STORED, figures=figures)
    (path,) = find_runs(storage)
    return set(load([path])["id"]), time.monotonic() - began


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return not_interrupted(tmp_path_factory.mktemp("undisturbed"), MADE_UP)


def run_to_its_end(storage, *arguments, figures=MADE_UP):
    process = start(storage, *arguments, figures=figures)
    output, _ = process.communicate()
    assert process.returncode == 0, output
    return output


def test_killed_at_any_moment_it_loses_no_visit(tmp_path, undisturbed):
    killed_and_continued(tmp_path, *undisturbed, MADE_UP, kills=1)


@pytest.mark.slow
def test_killed_while_it_measures_it_loses_no_visit(tmp_path, request):
    ids, seconds = not_interrupted(tmp_path / "undisturbed", ())
    kills, report = (request.config.getoption(name) for name in ("--kills", "--kills-report"))
    seed, outcomes = killed_and_continued(tmp_path, ids, seconds, (), kills)
    if report:
        report.parent.mkdir(parents=True, exist_ok=True)
        report.write_text(kill_table(outcomes, len(ids), seed), encoding="utf8")


def killed_and_continued(tmp_path, ids, seconds, figures, kills):
    """Kill sweeps at random moments, each in a folder of its own, and check what is left of them and what they become.

    Returns the moments' seed, and of each kill the moment, and visits in the journal.
    """
    seed = random.SystemRandom().randrange(10**6)
    moments = random.Random(seed)
    outcomes = []
    for number in range(kills):
        storage = tmp_path / str(number)
        process = start(storage, *STORED, figures=figures)
        moment = moments.uniform(0, seconds)
        time.sleep(moment)
        process.kill()
        process.communicate()
        told = f"seed {seed}, killed after {moment:.2f} s"
        lines = journal_lines(storage)
        visits = [line for line in lines if "visit" in line]
        for path in storage.rglob("0*.json"):
            assert set(load([path])["id"]) == ids, told  # a stored run is whole or does not exist
        if lines:
            output = run_to_its_end(storage, "--resume", figures=figures)
            cases = {line["id"] for line in visits}
            assert f"{len(visits)} visits to {len(cases)} of {len(ids)} cases are kept" in output, told
        elif not list(storage.rglob("0*.json")):  # killed before it had begun
            run_to_its_end(storage, *STORED, figures=figures)
        assert interrupted(storage) == [], told
        (stored,) = find_runs(storage)[-1:]
        assert set(load([stored])["id"]) == ids, told
        for line in visits:  # the very rounds that were on disk before the kill
            before = [[float(f"{seconds:.5g}") for seconds in side] for side in line["visit"]["sides"]]
            assert before in [one["sides"] for one in rounds_of(stored)[line["id"]]], told
        outcomes.append((moment, len(visits)))
    return seed, outcomes


def rounds_of(stored):
    """What is stored of each visit, by case."""
    cases = [case["extra_info"] for case in json.loads(stored.read_text())["benchmarks"]]
    return {case["id"]: case["visit_rounds"] for case in cases}


def kill_table(outcomes, cases, seed):
    """What became of each killed sweep, in Markdown."""
    text = [f"| killed after (seed {seed}) | visits in the journal, all kept | in the end |"]
    text += ["|--:|--:|:--|"]
    text += [f"| {moment:.2f} s | {visits} | complete: {cases} cases |" for moment, visits in outcomes]
    return "\n".join(text) + "\n"


def test_ctrl_c_saves_what_there_is_and_resume_completes_it(tmp_path, undisturbed):
    ids, _ = undisturbed
    process = start(tmp_path, *STORED)
    wait_for_visits(process, tmp_path, 5 * len(ids) // 2)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    output, _ = process.communicate()
    assert process.returncode == pytest.ExitCode.INTERRUPTED, output
    assert re.search(r"interrupted: \d+ visits to \d+ of \d+ cases are kept; continue with: pytest .* --resume", output)
    assert "Traceback" not in output
    partial = load(find_runs(tmp_path))
    assert 0 < len(partial) <= len(ids)
    assert "interrupted" in set(partial["stopped"])
    (first,) = find_runs(tmp_path)
    process = start(tmp_path, "--resume")
    output, _ = process.communicate()
    assert process.returncode == 0, output
    whole = load([find_runs(tmp_path)[-1]])
    assert set(whole["id"]) == ids
    before, after = rounds_of(first), rounds_of(find_runs(tmp_path)[-1])
    assert all(after[name][: len(visits)] == visits for name, visits in before.items())  # not measured again


def test_an_interrupted_sweep_is_announced_and_keeps_its_options(tmp_path):
    process = start(tmp_path, *STORED)
    wait_for_visits(process, tmp_path, 3)
    process.kill()
    process.communicate()
    (path,) = interrupted(tmp_path)
    elsewhere = tmp_path.with_name("elsewhere") / path.name
    elsewhere.parent.mkdir()
    elsewhere.write_bytes(path.read_bytes().replace(b'"machine":"', b'"machine":"another-'))
    storage, other = (f"--benchmark-storage=file://{folder}" for folder in (tmp_path, elsewhere.parent))
    told, options, refused = sweeps(
        (*STORED, storage, "--benchmark-disable"), ("--resume", "--profile", "full", storage), ("--resume", other)
    )
    assert re.search(r"note: \S+\.journal is an interrupted sweep: continue it with --resume", told.stdout)
    assert options.returncode == pytest.ExitCode.USAGE_ERROR
    assert "--profile: --resume goes on with what the sweep was begun with; leave this option out" in options.stderr
    assert refused.returncode == pytest.ExitCode.USAGE_ERROR
    assert "begun under another machine" in refused.stderr


def test_a_case_that_cannot_be_held_in_memory_is_recorded_and_the_sweep_goes_on(tmp_path):
    large = "model-separable-a0.25-r32-b1000000000-cpu-fp32"
    with pytest.raises(RuntimeError) as refused:
        check(Case(Network("separable", 0.25, 32), Conditions(LARGE, "cpu", "fp32")))
    assert re.match("out of memory: .*allocate", reason(refused.value))
    stored = tmp_path / "run.json"
    arguments = ("--profile", "smoke", "--alphas", "0.25", "--resolutions", "32", "--batch-sizes", f"{LARGE},1")
    arguments += ("--devices", "cpu", "--precisions", "fp32", "-k", "model-separable", "--benchmark-json", str(stored))
    fails = {"MADE_UP": json.dumps({"fails": {large: str(refused.value)}})}
    process = sweep(*MADE_UP, *arguments, environment=fails)
    assert process.returncode == pytest.ExitCode.TESTS_FAILED, process.stdout
    assert re.search(rf"^failed: {large}: out of memory: .*allocate", process.stdout, re.MULTILINE)
    assert "Traceback" not in process.stdout
    assert list(load([stored])["id"]) == ["model-separable-a0.25-r32-b1-cpu-fp32"]
    assert large in json.loads(stored.read_text())["mnv1"]["failed"]


def test_cases_that_hang_or_die_are_recorded_and_the_sweep_goes_on(tmp_path):
    stored = tmp_path / "run.json"
    arguments = ("--kinds", "separable,shallow,standard", "--case-timeout", "3", "--benchmark-json", str(stored))
    arguments += ("-k", "model and not speedup")
    fails = {"MADE_UP": json.dumps({"fails": {"separable": "hangs", "shallow": "dies"}})}
    process = sweep(*MADE_UP, *TINY_MODELS, *arguments, environment=fails)
    assert process.returncode == pytest.ExitCode.TESTS_FAILED, process.stdout
    failed = dict(re.findall(r"^failed: (\S+): (.*)$", process.stdout, re.MULTILINE))
    assert failed == {
        "model-separable-a0.25-r32-b1-cpu-fp32": "no result after 3 s (--case-timeout); its process was ended",
        "model-shallow-a0.25-r32-b1-cpu-fp32": "its process was killed: most likely the machine ran out of memory",
    }
    assert list(load([stored])["id"]) == ["model-standard-a0.25-r32-b1-cpu-fp32"]
    assert json.loads(stored.read_text())["mnv1"]["failed"] == failed


def test_a_full_disk_is_found_before_the_sweep_starts(tmp_path):
    def nearly_full():
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    process = start(tmp_path, *STORED, preexec_fn=nearly_full)
    output, _ = process.communicate()
    assert process.returncode == pytest.ExitCode.USAGE_ERROR, output
    assert f"{tmp_path}: results cannot be stored here: File too large" in output
    assert "[0/" not in output


def test_shards_together_are_the_whole_sweep(tmp_path, undisturbed):
    """Of what can be measured on this machine: it has no GPU, and lacks nothing for that."""
    ids, _ = undisturbed
    stored = [tmp_path / f"{number}.json" for number in (1, 2)]
    options = [("--shard", f"{path.stem}/2", "--benchmark-json", str(path)) for path in stored]
    for process in sweeps(*((*STORED[:-1], "--devices", "cpu,cuda", *one) for one in options)):
        assert process.returncode == 0, process.stdout
    shards = [load([path]) for path in stored]
    assert set(shards[0]["id"]).isdisjoint(shards[1]["id"])
    assert set(shards[0]["id"]) | set(shards[1]["id"]) == ids
    assert shards[0]["environment"].iloc[0] == shards[1]["environment"].iloc[0]
    assert lacking(stored) == []
    (without,) = lacking(stored[:1])
    assert without.shards == ("2/2",)
    assert set(without.cases) == set(shards[1]["id"])
