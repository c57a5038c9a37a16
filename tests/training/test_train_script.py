"""`scripts/train.py` as a user runs it: what it writes, kills and resumes, and bad input in one line."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from PIL import Image

from mnv1.training.files import load_checkpoint
from scripts.train import main
from tests.conftest import ROOT
from tests.forked import Forked, start_server

SCRIPT = ROOT / "scripts" / "train.py"
OPTIONS = (
    *("--data", "synthetic", "--alpha", "0.25", "--resolution", "32", "--epochs", "3", "--batch-size", "16"),
    *("--limit-train", "64", "--limit-test", "40", "--device", "cpu", "--workers", "0"),
)


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


def train(out: Path, *more: str, options: tuple[str, ...] = OPTIONS) -> Done:
    """The command, in this process: starting another one takes longer than all that is trained here."""
    told, complaints = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(told), contextlib.redirect_stderr(complaints):
        code = main([*options, "--out", str(out), *more])
    return Done(code, told.getvalue(), complaints.getvalue())


@pytest.fixture(autouse=True, scope="module")
def this_process_as_it_was():
    """The command sets up the process that it runs in."""
    before = dict(os.environ)
    start_server()
    yield
    os.environ.clear()
    os.environ.update(before)
    torch.set_flush_denormal(False)


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


KILLER = """
import os, runpy, signal, sys

where, script = sys.argv[1:3]
sys.argv = sys.argv[2:]
sys.path.insert(0, os.path.dirname(script))
from mnv1.measure.state import prepare
import mnv1.training.files, mnv1.training.layout

def after(calls, function):
    count = 0
    def counted(*arguments, **options):
        nonlocal count
        count += 1
        if count > calls:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **options)
    return counted

if where == "mid-epoch":  # the seventh step: 4 an epoch
    import mnv1.training.data
    import torch
    step = torch.optim.Adam.step
    torch.optim.Adam.step = after(7, step)  # one more for the memory's own step
elif where == "mid-write":  # the second checkpoint: facts and log at the start, then three files an epoch
    os.fsync = after(2 + 3, os.fsync)
else:  # between the second checkpoint and its facts
    save = mnv1.training.files.save_facts
    mnv1.training.files.save_facts = after(2, save)
runpy.run_path(script, run_name="__main__")
"""


@pytest.mark.parametrize("where", ["mid-epoch", "mid-write", "before the facts"])
def test_killed_it_loses_at_most_the_epoch_and_ends_as_the_uninterrupted_run(whole, tmp_path, where):
    out = tmp_path / "run"
    killed = Forked(KILLER, where, SCRIPT, *OPTIONS, "--out", out)
    _, complaint = killed.communicate()
    assert killed.returncode == -signal.SIGKILL, complaint
    epochs = 2 if where == "before the facts" else 1
    assert len(load_checkpoint(out)["rows"]) == epochs
    assert losses(out) == losses(whole)[:1]
    done = train(out, "--resume")
    assert done.returncode == 0, done.stderr
    assert f"epoch {epochs}/3" not in done.stdout
    assert losses(out) == losses(whole)
    assert not [path for path in out.iterdir() if path.name.startswith(".")]


def test_tensorboard_gets_the_epochs_too(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    done = train(tmp_path / "run", "--epochs", "2", "--limit-train", "16", "--tensorboard")
    assert done.returncode == 0, done.stderr
    events = accumulator.EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    logged = [event.value for event in events.Scalars("train_loss")]
    assert logged == pytest.approx(losses(tmp_path / "run"))


def test_ctrl_c_ends_with_a_line_and_keeps_the_epochs(tmp_path):
    out = tmp_path / "run"
    start = "import sys; from scripts.train import main; sys.exit(main())"
    process = Forked(start, *OPTIONS, "--epochs", "500", "--out", out)
    while process.poll() is None and process.stdout.count("\n") < 2:  # the first epoch's line
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGINT)
    _, complaint = process.communicate(timeout=60)
    assert process.returncode == 130, complaint
    assert complaint.count("\n") == 1
    assert "finished epochs are kept" in complaint
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


def test_cuda_without_cuda_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    done = train(tmp_path / "run", "--device", "cuda")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "torch.cuda.is_available() is false here" in done.stderr


def test_memory_that_is_not_there_is_one_line(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes.")

    monkeypatch.setattr("mnv1.training.loop.Trainer.step", fail)
    done = train(tmp_path / "run")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "out of memory: try a lower --batch-size" in done.stderr


def test_a_diverging_run_stops_with_a_line(tmp_path):
    out = tmp_path / "run"
    done = train(out, "--optimizer", "sgd", "--learning-rate", "1e18")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "try a lower --learning-rate than 1e+18" in done.stderr
    assert not (out / "last.pt").exists()
    assert losses(out) == []


def test_results_without_their_checkpoint_are_not_overwritten(whole, tmp_path):
    """As in a clone: checkpoints are not committed."""
    out = tmp_path / "run"
    out.mkdir()
    (out / "training.json").write_bytes((whole / "training.json").read_bytes())
    done = train(out)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "holds a run's results, but not its checkpoint; name another --out" in done.stderr
    assert losses(out) == losses(whole)


def test_a_picture_that_a_loader_worker_cannot_read_is_one_line(tmp_path):
    for part in ("train", "test"):
        for name in ("cat", "dog"):
            (tmp_path / part / name).mkdir(parents=True)
            for number in range(4):
                Image.new("RGB", (40, 40), "red").save(tmp_path / part / name / f"{number}.png")
    broken = tmp_path / "train" / "dog" / "2.png"
    broken.write_bytes(broken.read_bytes()[:60])
    options = ("--data", "folder", "--data-root", str(tmp_path), "--alpha", "0.25", "--resolution", "32")
    done = train(tmp_path / "run", "--batch-size", "4", "--workers", "1", "--transform", "crop", options=options)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert f"{broken}: cannot be read" in done.stderr


def test_a_run_that_goes_on_elsewhere_says_so(whole, tmp_path):
    out = tmp_path / "run"
    assert train(out, "--epochs", "1").returncode == 0
    assert "begun with --epochs 1, not 3" in train(out, "--resume").stderr
    content = load_checkpoint(whole)
    content["rows"], content["about"]["environment"]["machine"] = content["rows"][:2], "another"
    torch.save(content, out / "last.pt")
    done = train(out, "--resume")
    assert done.returncode == 0, done.stderr
    facts = json.loads((out / "training.json").read_text())
    assert facts["environment"]["machine"] == "another"
    assert [one["epoch"] for one in facts["elsewhere"]] == [3]
