"""A long sweep cannot be lost: real sweeps that are killed, interrupted, starved, and continued."""

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

from mnv1.journal import interrupted
from mnv1.results import find_runs, load
from tests.conftest import ROOT, sweep

CASES = ("--profile", "smoke", "--alphas", "0.25", "--resolutions", "32", "--batch-sizes", "1,2", "--devices", "cpu")
STORED = (*CASES, "--precisions", "fp32", "-k", "model or 8x16", "--benchmark-autosave")


def start(storage, *arguments, **more):
    command = [sys.executable, "-m", "pytest", str(ROOT / "benchmarks"), "-p", "no:cacheprovider"]
    command += [f"--benchmark-storage=file://{storage}", *arguments]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **more)


def journal_lines(storage):
    """The journal's whole lines, as far as it exists."""
    for path in interrupted(storage):
        data = path.read_bytes()
        return [json.loads(line) for line in data[: data.rfind(b"\n") + 1].splitlines()]
    return []


def wait_for_visits(process, storage, visits):
    while process.poll() is None and len(journal_lines(storage)) < 1 + visits:
        time.sleep(0.01)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Ids of the sweep when nothing interrupts it, and about how many seconds it takes."""
    storage = tmp_path_factory.mktemp("undisturbed")
    began = time.monotonic()
    process = start(storage, *STORED)
    output, _ = process.communicate()
    assert process.returncode == 0, output
    (path,) = find_runs(storage)
    return set(load([path])["id"]), time.monotonic() - began


def test_killed_at_any_moment_it_loses_no_finished_case(tmp_path, undisturbed, request):
    ids, seconds = undisturbed
    assert len(ids) == 14
    seed = random.SystemRandom().randrange(10**6)
    moments = random.Random(seed)
    kept = resumed = 0
    for number in range(request.config.getoption("--kills")):
        storage = tmp_path / str(number)
        process = start(storage, *STORED)
        moment = moments.uniform(0, seconds)
        time.sleep(moment)
        process.kill()
        process.wait()
        told = f"seed {seed}, killed after {moment:.2f} s"
        before = journal_lines(storage)
        finished = {line["id"] for line in before if "finished" in line}
        visited = [line for line in before if "visit" in line]
        for path in storage.rglob("0*.json"):
            assert set(load([path])["id"]) == ids, told  # a stored run is whole or does not exist
        if before:
            process = start(storage, "--resume")
            output, _ = process.communicate()
            assert process.returncode == 0, f"{told}\n{output}"
            assert f"{len(finished)} of 14 cases are over" in output, told
            measured_again = set(re.findall(r"^\[ ?\d+/14\] (\S+)  ", output, re.MULTILINE))
            assert not measured_again & finished, told
            resumed += 1
            kept += len(finished)
        else:  # before its first entry, or after its last: it left nothing to do, or nothing at all
            if not list(storage.rglob("0*.json")):
                process = start(storage, *STORED)
                output, _ = process.communicate()
                assert process.returncode == 0, f"{told}\n{output}"
        assert interrupted(storage) == [], told
        table = load([find_runs(storage)[-1]])
        assert set(table["id"]) == ids, told
        stored = json.loads(find_runs(storage)[-1].read_text())
        by_id = {case["extra_info"]["id"]: case["stats"]["data"] for case in stored["benchmarks"]}
        for line in visited:  # what had been sampled is part of the result
            if line["id"] in finished and line["id"].startswith("model"):
                sampled = [round(value * line["visit"]["calls"][0], 9) for value in line["visit"]["sides"][0]]
                assert {round(value, 9) for value in by_id[line["id"]]} <= set(sampled), told
        assert not list(storage.rglob("*.part")) or list(storage.rglob("0*.json")), told
    print(f"{request.config.getoption('--kills')} kills, {resumed} resumed, {kept} finished cases kept, seed {seed}")


def test_ctrl_c_saves_what_there_is_and_resume_completes_it(tmp_path, undisturbed):
    ids, _ = undisturbed
    process = start(tmp_path, *STORED, start_new_session=True)
    wait_for_visits(process, tmp_path, 8)
    while not any("finished" in line for line in journal_lines(tmp_path)):
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    output, _ = process.communicate()
    assert process.returncode == pytest.ExitCode.INTERRUPTED, output
    assert re.search(r"interrupted: \d+ of 14 cases are over, .*continue with: pytest benchmarks --resume", output)
    assert "Traceback" not in output
    partial = load(find_runs(tmp_path))
    assert 0 < len(partial) < 14
    process = start(tmp_path, "--resume")
    output, _ = process.communicate()
    assert process.returncode == 0, output
    whole = load([find_runs(tmp_path)[-1]])
    assert set(whole["id"]) == ids
    again = whole.set_index("id").loc[partial["id"], "latency_p50"]
    assert list(again) == list(partial["latency_p50"])  # not measured again


def test_an_interrupted_sweep_is_announced_and_keeps_its_options(tmp_path):
    process = start(tmp_path, *STORED)
    wait_for_visits(process, tmp_path, 3)
    process.kill()
    process.communicate()
    storage = f"--benchmark-storage=file://{tmp_path}"
    told = sweep(*STORED, storage, "--benchmark-disable")
    assert re.search(
        r"note: \S+\.journal is an interrupted sweep: continue it with --resume, or delete it", told.stdout
    )
    refused = sweep("--resume", "--profile", "full", storage)
    assert refused.returncode == pytest.ExitCode.USAGE_ERROR
    assert "--profile: --resume goes on with what the sweep was begun with; leave this option out" in refused.stderr
    (path,) = interrupted(tmp_path)
    path.write_bytes(path.read_bytes().replace(b'"machine":"', b'"machine":"another-'))
    refused = sweep("--resume", storage)
    assert refused.returncode == pytest.ExitCode.USAGE_ERROR
    assert "begun under another machine" in refused.stderr


def test_out_of_memory_and_time_are_recorded_and_the_sweep_goes_on(tmp_path):
    stored = tmp_path / "run.json"
    arguments = (*CASES[:-4], "--batch-sizes", "1,1000000000", "--devices", "cpu", "--precisions", "fp32")
    process = sweep(*arguments, "-k", "model-separable", "--benchmark-json", str(stored))
    assert process.returncode == pytest.ExitCode.TESTS_FAILED, process.stdout
    large = "model-separable-a0.25-r32-b1000000000-cpu-fp32"
    assert re.search(rf"^failed: {large}: out of memory: .*allocate", process.stdout, re.MULTILINE)
    assert "Traceback" not in process.stdout
    assert list(load([stored])["id"]) == ["model-separable-a0.25-r32-b1-cpu-fp32"]
    assert large in json.loads(stored.read_text())["mnv1"]["failed"]

    process = sweep(*CASES, "--precisions", "fp32", "-k", "model-separable", "--case-timeout", "0.01")
    assert process.returncode == pytest.ExitCode.TESTS_FAILED, process.stdout
    assert len(re.findall(r"^failed: .*no result after 0.01 s \(--case-timeout\)", process.stdout, re.MULTILINE)) == 2


def test_a_full_disk_is_found_before_the_sweep_starts(tmp_path):
    def nearly_full():
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    process = start(tmp_path, *STORED, preexec_fn=nearly_full)
    output, _ = process.communicate()
    assert process.returncode == pytest.ExitCode.USAGE_ERROR, output
    assert f"{tmp_path}: results cannot be stored here: File too large" in output
    assert "[0/" not in output


def test_shards_together_are_the_whole_sweep(tmp_path, undisturbed):
    ids, _ = undisturbed
    shards = []
    for number in (1, 2):
        stored = tmp_path / f"{number}.json"
        process = sweep(*STORED[:-1], "--shard", f"{number}/2", "--benchmark-json", str(stored))
        assert process.returncode == 0, process.stdout
        shards.append(load([stored]))
    assert set(shards[0]["id"]).isdisjoint(shards[1]["id"])
    assert set(shards[0]["id"]) | set(shards[1]["id"]) == ids
    assert shards[0]["environment"].iloc[0] == shards[1]["environment"].iloc[0]
