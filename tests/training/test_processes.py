"""Several processes: BatchNorm over all of them, and the same losses as one process with the same global batch."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import multiprocessing, nn

from mnv1.training.data import load_data
from mnv1.training.files import load_checkpoint
from mnv1.training.loop import Trainer
from mnv1.training.processes import Processes, SharedBatchNorm2d, joined, local_device, share_batch_norm
from mnv1.training.recipe import Recipe, TrainError
from tests.conftest import ROOT
from tests.forked import Forked, start_server

SCRIPT = ROOT / "scripts" / "train.py"
OPTIONS = (
    *("--data", "synthetic", "--alpha", "0.25", "--resolution", "32", "--epochs", "2", "--batch-size", "15"),
    # One batch an epoch, in uneven shares. SGD, because Adam does not notice gradients that are too large.
    *("--limit-train", "15", "--limit-test", "21", "--device", "cpu", "--workers", "0", "--threads", "1"),
    *("--optimizer", "sgd", "--learning-rate", "0.01"),
)


def _one_side(rank: int, folder: str) -> None:
    """Half of a batch, unevenly: forward and backward through a shared BatchNorm, as one of two processes."""
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2"}
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    images, upstream = torch.load(f"{folder}/in.pt", weights_only=True)
    part = slice(0, 3) if rank == 0 else slice(3, 8)
    layer = SharedBatchNorm2d(4)
    layer.load_state_dict(torch.load(f"{folder}/layer.pt", weights_only=True))
    mine = images[part].clone().requires_grad_()
    output = layer(mine)
    output.backward(upstream[part])
    torch.save((output.detach(), mine.grad, dict(layer.state_dict()), layer.weight.grad), f"{folder}/out{rank}.pt")
    torch.distributed.destroy_process_group()


def test_shared_batch_norm_is_batch_norm_of_the_whole_batch(tmp_path):
    generator = torch.Generator().manual_seed(0)
    images, upstream = (torch.randn(8, 4, 3, 3, generator=generator) for _ in range(2))
    images = images + 5
    layer = nn.BatchNorm2d(4)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([0.5, 1.0, 1.5, 2.0]))
    torch.save((images, upstream), tmp_path / "in.pt")
    torch.save(layer.state_dict(), tmp_path / "layer.pt")
    start_server()
    multiprocessing.start_processes(_one_side, (str(tmp_path),), nprocs=2, start_method="forkserver")
    whole = images.clone().requires_grad_()
    expected = layer(whole)
    expected.backward(upstream)
    sides = [torch.load(tmp_path / f"out{rank}.pt", weights_only=True) for rank in (0, 1)]
    torch.testing.assert_close(torch.cat([side[0] for side in sides]), expected.detach(), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(torch.cat([side[1] for side in sides]), whole.grad, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(sides[0][3] + sides[1][3], layer.weight.grad, atol=1e-4, rtol=1e-5)
    for side in sides:
        torch.testing.assert_close(side[2], dict(layer.state_dict()), atol=1e-5, rtol=1e-5)


def test_sharing_keeps_weights_and_evaluation():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).eval()
    images = torch.randn(2, 3, 8, 8)
    before, names = network(images), list(network.state_dict())
    share_batch_norm(network)
    assert isinstance(network[1], SharedBatchNorm2d)
    assert list(network.state_dict()) == names
    assert torch.equal(network.eval()(images), before)


def test_a_process_alone_has_nobody_to_meet(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    with joined(torch.device("cpu")) as processes:
        assert processes == Processes(0, 1)
        values = torch.tensor([1.0, 2.0])
        assert torch.equal(processes.total(values), values)
        layer = nn.Linear(1, 1)
        assert processes.wrap(layer) is layer


def test_processes_that_cannot_meet_say_so_in_a_line(monkeypatch):
    for name in ("MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(TrainError, match="the processes cannot meet"), joined(torch.device("cpu")):
        pass


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads are not listed here")
def test_no_thread_of_the_group_is_left_when_the_processes_part():
    """One that still had a tensor when Python ended took the process down: `terminate called`, now and then."""
    code = (
        "from pathlib import Path\n"
        "import torch\n"
        "from torch.nn.parallel import DistributedDataParallel\n"
        "from mnv1.training.processes import joined\n"
        "with joined(torch.device('cpu')):\n"
        "    network = DistributedDataParallel(torch.nn.Linear(1, 1))\n"
        "    network(torch.ones(1, 1)).sum().backward()\n"
        "    network.itself = [network]\n"
        "    del network\n"
        "print(*((task / 'comm').read_text().strip() for task in Path('/proc/self/task').iterdir()))\n"
    )
    alone = {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | alone)
    assert done.returncode == 0, done.stderr
    assert "gloo" not in done.stdout


START = "import sys; from scripts.train import main; sys.exit(main())"


def started_by_torchrun(*options: object) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", SCRIPT]
    done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "FutureWarning" not in done.stderr


def started_here(*options: object) -> None:
    both = two(*options)
    complaints = [one.communicate()[1] for one in both]
    assert [one.returncode for one in both] == [0, 0], complaints


def two(*options: object) -> list[Forked]:
    """Two processes of one run, with the variables that torchrun would give them, whose start takes less time."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        here = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(found.getsockname()[1]), "WORLD_SIZE": "2"}
    ranks = ({"RANK": rank, "LOCAL_RANK": rank} for rank in ("0", "1"))
    return [Forked(START, *options, environment=os.environ | here | rank) for rank in ranks]


@pytest.mark.parametrize("start", [started_here, pytest.param(started_by_torchrun, marks=pytest.mark.slow)])
def test_two_processes_train_as_one_does(tmp_path, start):
    """Two steps: after that, roundings grow as they do between any two ways to add up."""
    out = tmp_path / "run"
    start(*OPTIONS, "--out", out)
    facts, together = json.loads((out / "training.json").read_text()), load_checkpoint(out)
    assert facts["processes"] == 2
    recipe = Recipe.from_dict(facts["recipe"])
    alone = Trainer(recipe, load_data(recipe, Path()), torch.device("cpu"))
    start = {name: value.clone() for name, value in alone.model.state_dict().items()}
    for theirs in facts["epochs"]:
        mine = alone.train_epoch()
        assert theirs["train_loss"] == pytest.approx(mine["train_loss"], rel=1e-4)
        assert theirs["test_loss"] == pytest.approx(mine["test_loss"], rel=1e-4)
    for name, value in alone.model.state_dict().items():
        moved = float((value - start[name]).double().norm())
        assert float((together["model"][name] - value).double().norm()) <= 0.05 * moved + 1e-6, name


def test_processes_that_go_wrong_say_so_once(tmp_path):
    both = two(*OPTIONS, "--learning-rate", "1e18", "--epochs", "9", "--out", tmp_path / "run")
    complaints = [one.communicate()[1] for one in both]
    assert all(one.returncode for one in both)
    assert "".join(complaints).count("error: the loss is ") == 1


@pytest.mark.parametrize(
    ("more", "message"), [("--compile", "cannot train through it"), ("--batch-size=3", "at least 2")]
)
def test_what_several_processes_cannot_do_is_refused(more, message):
    recipe = Recipe(
        data="synthetic", alpha=0.25, resolution=32, compile=more == "--compile", batch_size=3 if "3" in more else 16
    )
    with pytest.raises(TrainError, match=message):
        Trainer(recipe, load_data(recipe, Path()), torch.device("cpu"), Processes(0, 2))


def test_more_processes_than_gpus_is_one_line(monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    monkeypatch.setenv("LOCAL_RANK", "0")
    assert local_device(torch.device("cuda")) == torch.device("cuda", 0)
    monkeypatch.setenv("LOCAL_RANK", "1")
    with pytest.raises(TrainError, match=r"more processes than GPUs \(1\)"):
        local_device(torch.device("cuda"))
    assert local_device(torch.device("cpu")) == torch.device("cpu")
