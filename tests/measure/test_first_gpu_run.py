"""The first run on a GPU, without one: its steps with an interpreter that does nothing, its probes on the CPU."""

import json
import os
import subprocess
import tarfile

import pytest

from scripts.method import gpu_probe
from tests.conftest import ROOT

SCRIPT = ROOT / "scripts" / "method" / "first_gpu_run.sh"
STEPS = (
    "describe",
    "probe",
    "tests",
    "smoke",
    "gpu-network",
    "gpu-layers",
    "training",
    "page",
    "ladder",
    "self-test",
    "cold",
)


def first_run(folder, time, answer="exit 0", device="cpu"):
    """The lines of the log, with an interpreter that only says what it was asked."""
    stub = folder / "python"
    stub.write_text(f'#!/bin/sh\necho "asked $*"\n{answer}\n')
    stub.chmod(0o755)
    environment = os.environ | {"PYTHON": str(stub), "DEVICE": device}
    command = ["bash", str(SCRIPT), str(folder / "out"), str(time)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == (folder / "out" / "log.txt").read_text()
    return [line.split("s  ", 1)[1] for line in done.stdout.splitlines()]


def test_every_step_stores_what_it_has_in_two_files(tmp_path):
    lines = first_run(tmp_path, 100_000)
    assert [line.partition(":")[0] for line in lines] == [*STEPS, "done"]
    assert all(": status 0; " in line for line in lines[:-1])
    assert sorted(one.name for one in (tmp_path / "out").iterdir()) == ["log.txt", "results.tar.gz"]
    with tarfile.open(tmp_path / "out" / "results.tar.gz") as archive:
        texts = {one.name for one in archive if one.name.endswith(".txt")}
        asked = archive.extractfile("results/gpu-network.txt").read().decode()
    assert texts == {f"results/{name}.txt" for name in STEPS}
    assert "--profile gpu --devices cpu -k model and (b1- or b256-)" in asked


def test_on_a_gpu_the_smoke_profile_is_of_both_devices(tmp_path):
    first_run(tmp_path, 100_000, device="cuda")
    with tarfile.open(tmp_path / "out" / "results.tar.gz") as archive:
        asked = archive.extractfile("results/smoke.txt").read().decode()
    assert "--profile smoke --devices cpu,cuda" in asked


def test_a_step_that_fails_takes_nothing_with_it(tmp_path):
    lines = first_run(tmp_path, 100_000, "exit 3")
    assert all(": status 3; asked" in line for line in lines[1:-1])


def test_what_no_longer_fits_is_left_out(tmp_path):
    lines = first_run(tmp_path, 0)
    assert [line.partition(": left out")[0] for line in lines[:-1]] == list(STEPS)
    assert not (tmp_path / "out" / "results.tar.gz").exists()


def test_probes_of_the_host():
    copies = gpu_probe.PROBES["copies-within-the-cache"]("cpu")
    assert copies["copies"] == 1
    assert copies["single"] > 0
    assert gpu_probe.PROBES["launches-after-profiling"]("cpu").keys() == {"before", "after"}


def test_a_probe_that_fails_is_told_as_such_and_others_go_on(monkeypatch, tmp_path, capsys):
    def run(command, **_):
        name = command[command.index("--probe") + 1]
        if name == "compiles-in-tf32":
            raise subprocess.TimeoutExpired(command, 1)
        if name == "kernels-of-a-pair":
            return subprocess.CompletedProcess(command, 1, "", "a\nRuntimeError: no")
        return subprocess.CompletedProcess(command, 0, 'noise\n{"same": true}\n', "")

    monkeypatch.setattr(subprocess, "run", run)
    out = tmp_path / "probe.json"
    assert gpu_probe.main(["--device", "cuda", "--seconds", "1", "--out", str(out)]) == 0
    found = json.loads(out.read_text())
    assert found.keys() == gpu_probe.PROBES.keys()
    assert found["graph-after-collection"] == {"same": True}
    assert found["compiles-in-tf32"] == {"failed": "no answer within 1 s"}
    assert found["kernels-of-a-pair"] == {"failed": "RuntimeError: no"}
    assert "graph-after-collection" in capsys.readouterr().out
    gpu_probe.main(["--device", "cpu"])
    assert "graph-after-collection" not in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in gpu_probe.PROBES if name not in gpu_probe.NEEDS_CUDA])
def test_every_probe_of_the_host(name):
    assert gpu_probe.PROBES[name]("cpu")
