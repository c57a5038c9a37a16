"""`scripts/train.py` as a user runs it: what it writes, kills and resumes, and bad input in one line."""

from __future__ import annotations

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "scripts" / "train.py"
OPTIONS = (
    *("--data", "synthetic", "--alpha", "0.25", "--resolution", "32", "--epochs", "3", "--batch-size", "16"),
    *("--limit-train", "64", "--limit-test", "40", "--device", "cpu", "--workers", "0"),
)


def train(out: Path, *more: str, options: tuple[str, ...] = OPTIONS) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *options, "--out", str(out), *more]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=out.parent)


def losses(out: Path) -> list[float]:
    return [row["train_loss"] for row in json.loads((out / "training.json").read_text())["epochs"]]


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A run that nothing interrupted."""
    out = tmp_path_factory.mktemp("whole") / "run"
    done = train(out)
    assert done.returncode == 0, done.stderr
    (out / "told").write_text(done.stdout)
    return out


def test_a_run_writes_facts_a_log_plots_and_its_weights(whole):
    facts = json.loads((whole / "training.json").read_text())
    assert facts["recipe"]["alpha"] == 0.25
    assert len(facts["epochs"]) == 3
    assert facts["peak_memory"] > 0
    assert sum(map(sum, facts["confusion"])) == 40
    with (whole / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["train_loss"]) for row in rows] == losses(whole)
    for name in ("curves.svg", "confusion.svg", "predictions.png", "last.pt"):
        assert (whole / name).stat().st_size > 1000
    told = (whole / "told").read_text()
    assert "separable, α 0.25, 32 px on synthetic: " in told
    assert "epoch 3/3  train loss " in told


def test_a_finished_run_is_neither_overwritten_nor_trained_on(whole):
    before = (whole / "last.pt").read_bytes()
    done = train(whole)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "holds a run already; go on with it (--resume), or name another --out" in done.stderr
    done = train(whole, "--resume")
    assert done.returncode == 0, done.stderr
    assert "epoch " not in done.stdout.split("\n", 1)[1]
    assert (whole / "last.pt").read_bytes() == before


def test_killed_at_random_moments_it_ends_as_the_uninterrupted_run(whole, tmp_path):
    """Kills come between the start of training and its end: mid-epoch, mid-test or mid-write."""
    out = tmp_path / "run"
    choose = random.Random(1)
    command = [sys.executable, str(SCRIPT), *OPTIONS, "--out", str(out)]
    kills = 0
    for _ in range(4):
        resume = ["--resume"] if (out / "last.pt").exists() else []
        kept = losses(out) if resume else []
        process = subprocess.Popen([*command, *resume], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        process.stdout.readline()  # training begins
        time.sleep(choose.uniform(0, 0.6))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kills += process.returncode == -signal.SIGKILL
        if resume:
            assert losses(out)[: len(kept)] == kept
    done = train(out, *(["--resume"] if (out / "last.pt").exists() else []))
    assert done.returncode == 0, done.stderr
    assert kills >= 1
    assert losses(out) == losses(whole)
    assert not [path for path in out.iterdir() if path.name.startswith(".last.pt")]


def test_tensorboard_gets_the_epochs_too(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    done = train(tmp_path / "run", "--epochs", "2", "--limit-train", "16", "--tensorboard")
    assert done.returncode == 0, done.stderr
    events = accumulator.EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    logged = [event.value for event in events.Scalars("train_loss")]
    assert logged == pytest.approx(losses(tmp_path / "run"))


def test_ctrl_c_ends_with_a_line_and_keeps_the_epochs(tmp_path):
    out = tmp_path / "run"
    command = [sys.executable, str(SCRIPT), *OPTIONS, "--epochs", "500", "--out", str(out)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.readline()  # the first epoch's line
    process.send_signal(signal.SIGINT)
    _, complaint = process.communicate(timeout=60)
    assert process.returncode == 130
    assert complaint.count("\n") == 1
    assert "every finished epoch is kept" in complaint
    assert len(losses(out)) >= 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--data", "imagenet"), "--data: unknown value 'imagenet'"),
        (("--alpha", "0"), "--alpha: 0.0 is not valid"),
        (("--data", "folder"), "no data set of pictures"),
        (("--workers", "-1"), "--workers: -1"),
        (("--resume",), "so there is nothing to resume"),
        (("--teacher", "nowhere"), "nowhere: no such checkpoint"),
    ],
)
def test_bad_input_is_one_line_and_a_non_zero_exit(tmp_path, options, message):
    done = train(tmp_path / "run", *options)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_cuda_without_cuda_is_one_line(tmp_path):
    command = [sys.executable, str(SCRIPT), *OPTIONS, "--device", "cuda", "--out", str(tmp_path / "run")]
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "torch.cuda.is_available() is false here" in done.stderr


def test_a_diverging_run_stops_with_a_line_and_keeps_its_epochs(tmp_path):
    out = tmp_path / "run"
    done = train(out, "--optimizer", "sgd", "--learning-rate", "1e18")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "try a lower --learning-rate than 1e+18" in done.stderr
