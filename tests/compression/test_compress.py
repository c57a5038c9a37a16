"""Compressing a checkpoint: every method leaves a network, facts and files, and training goes on from what was left."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from torch import nn

import scripts.compress
import scripts.train
from mnv1.compression import facts, latency
from mnv1.compression.evaluate import BATCH_SIZE, Answers, answers, calibration_batches
from mnv1.compression.facts import network_id
from mnv1.compression.layout import ACCURACY, COMPRESSED, PRUNED
from mnv1.compression.methods import Compressor, Settings, Trained
from mnv1.compression.prune import sparsity
from mnv1.compression.saved import load_int8
from mnv1.measure.timing import Visit
from mnv1.net import quantize
from mnv1.net.architecture import widths_of
from mnv1.net.errors import CompressError
from mnv1.net.model import MobileNetV1
from mnv1.net.quantize import QuantizationAware
from mnv1.training.data import load_data
from mnv1.training.layout import CHECKPOINT, INT8
from mnv1.training.loop import Trainer
from mnv1.training.networks import as_started, network_of
from mnv1.training.recipe import Recipe, TrainError

pytestmark = pytest.mark.skipif(
    find_spec("torchao") is None, reason="torchao is not installed: pip install -c constraints.txt -e '.[quantize]'"
)

CPU = torch.device("cpu")
# A shallow network: it has every kind of layer, and is tested in less time.
RECIPE = Recipe(
    data="synthetic",
    alpha=0.25,
    widths=widths_of("shallow", 0.25),
    resolution=32,
    epochs=1,
    batch_size=16,
    limit_train=32,
    limit_test=24,
)
needs_compiler = pytest.mark.skipif(
    shutil.which(os.environ.get("CXX", "g++")) is None, reason="there is no C++ compiler"
)


def train(recipe: Recipe, out: Path, epochs: int = 1) -> Trainer:
    trainer = Trainer(recipe, load_data(recipe, Path()), CPU)
    for _ in range(epochs):
        trainer.train_epoch()
    trainer.save(out)
    return trainer


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("trained")
    train(RECIPE, out)
    return out


def compressor(trained: Path, out: Path, **settings: object) -> Compressor:
    source = Trained.load(trained)
    return Compressor(source, load_data(source.recipe, Path()), out, Settings(calibration=16, epochs=1, **settings))


def test_quantized_after_training_it_comes_back_from_its_file(trained, tmp_path):
    made = compressor(trained, tmp_path, keep_float=("classifier",)).run("ptq")
    images = torch.randn(4, 3, 32, 32)
    with torch.inference_mode():
        assert torch.equal(load_int8(tmp_path / INT8)(images), made.network(images))
    assert made.facts["reduced_range"] in (True, False)


@pytest.mark.slow  # test_training_with_rounding_ends_with_an_int8_network begins with new weights
def test_trained_with_rounding_from_a_checkpoint_it_goes_on_with_its_weights(trained, tmp_path):
    """Two epochs at once, and one, a resume and one: the same. The float network within can be taken out."""
    recipe = replace(RECIPE, start=str(trained), qat=True, epochs=2, learning_rate=1e-4)
    whole = train(recipe, tmp_path / "halves")
    whole.train_epoch()
    whole.save(tmp_path / "whole")
    torch.manual_seed(999)
    resumed = Trainer(recipe, load_data(recipe, Path()), CPU)
    resumed.load(tmp_path / "halves")
    resumed.train_epoch()
    assert [row["train_loss"] for row in resumed.rows] == [row["train_loss"] for row in whole.rows]
    assert isinstance(whole.model, QuantizationAware)
    before, after = network_of(trained).state_dict(), network_of(tmp_path / "whole").state_dict()
    moved = [float((after[name] - before[name]).abs().max()) for name in before if name.endswith("0.weight")]
    assert all(0 < one < 0.05 for one in moved), "small steps from the weights that it began with"


def test_pruned_weights_are_kept_as_zeros(trained, tmp_path):
    made = compressor(trained, tmp_path, amount=0.4).run("prune-unstructured")
    assert made.facts["sparsity"] == pytest.approx(0.4, abs=1e-4)
    assert sparsity(network_of(tmp_path / PRUNED)) == made.facts["sparsity"]


def test_pruned_channels_are_trained_on_and_the_checkpoint_knows_its_widths(trained, tmp_path):
    seen = []
    made = replace(compressor(trained, tmp_path, keep=0.5), on_epoch=lambda row, _: seen.append(row["epoch"])).run(
        "prune-channels"
    )
    small, again = network_of(tmp_path / PRUNED), network_of(tmp_path / CHECKPOINT)
    assert seen == [1]
    assert MobileNetV1.from_pretrained(tmp_path / PRUNED).widths == small.widths
    assert small.widths == again.widths == made.network.widths == (8, 8, 16, 16, 32, 32, 64, 128, 128)
    assert not torch.equal(small.classifier.weight, again.classifier.weight)
    images = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        assert torch.equal(again(images), made.network(images))


def test_without_epochs_pruned_channels_are_left_as_they_are(trained, tmp_path):
    made = replace(compressor(trained, tmp_path), settings=Settings(epochs=0)).run("prune-channels")
    assert made.file == tmp_path / PRUNED
    assert not (tmp_path / CHECKPOINT).exists()
    with pytest.raises(TrainError, match="rounding can only be learnt in training"):
        replace(compressor(trained, tmp_path), settings=Settings(epochs=0)).run("qat")


def test_what_training_cannot_begin_with_is_said_in_a_line(trained, tmp_path):
    with pytest.raises(TrainError, match=r"a network of alpha 0.25: add --alpha 0.25"):
        as_started(Recipe(start=str(trained), alpha=0.5))
    with pytest.raises(TrainError, match="no such checkpoint"):
        as_started(Recipe(start=str(tmp_path / "none")))
    with pytest.raises(TrainError, match="--qat: rounding is learnt in fp32; leave --amp out"):
        Recipe(qat=True, amp=True)
    assert as_started(replace(RECIPE, widths=None, start=str(trained))).widths == RECIPE.widths
    other = load_data(RECIPE, Path())
    with pytest.raises(TrainError, match="a pruned network of other widths than the recipe's"):
        Trainer(replace(RECIPE, start=str(trained), widths=None), other, CPU)


def test_answers_tell_accuracy_and_how_far_they_are_from_others():
    labels = torch.tensor([0, 1, 1, 0])
    some = Answers(torch.tensor([[2.0, 0], [0, 2], [2, 0], [2, 0]]), labels)
    others = Answers(torch.tensor([[2.0, 0], [0, 2], [0, 2], [2, 0]]), labels)
    assert some.accuracy()["accuracy"] == 0.75
    assert some.accuracy()["low"] < 0.75 < some.accuracy()["high"]
    assert some.beside(others) == {"output_error": pytest.approx(8**0.5 / 4), "agreement": 0.75}
    assert some.beside(some) == {"output_error": 0, "agreement": 1}


def test_a_last_batch_that_is_not_full_is_filled_up_and_cut_again():
    data, shapes = load_data(RECIPE, Path()), []

    def network(images: torch.Tensor) -> torch.Tensor:
        shapes.append(len(images))
        return images.mean((2, 3))

    seen = answers(network, data.test, RECIPE)
    assert shapes == [BATCH_SIZE]
    assert seen.logits.shape == (24, 3)
    assert seen.labels.tolist() == [data.test[index][1] for index in range(24)]
    assert [len(batch) for batch in calibration_batches(data.train, RECIPE, 20)] == [20]


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


def run(main: Callable[[list[str]], int], *options: object) -> Done:
    """A command, in this process: starting another one takes longer than all that is compressed here."""
    told, complaints = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(told), contextlib.redirect_stderr(complaints):
        code = main([*map(str, options)])
    return Done(code, told.getvalue(), complaints.getvalue())


def compress(*options: object) -> Done:
    return run(scripts.compress.main, *options)


@pytest.fixture(autouse=True, scope="module")
def this_process_as_it_was() -> Iterator[None]:
    """The commands set up the process that they run in."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)
    torch.set_flush_denormal(False)


@pytest.fixture(params=[False, pytest.param(True, marks=[needs_compiler, pytest.mark.slow])], ids=["graph", "kernels"])
def compiled(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks are compiled and converted, or run as the graphs that they are: seconds instead of a minute.

    That compiling and converting give the same outputs is tested in `test_quantize`.
    """
    if not request.param:
        other = quantize.post_training_quantized(
            MobileNetV1(10, widths=RECIPE.widths).eval(), [torch.randn(8, 3, 32, 32)]
        )
        monkeypatch.setattr(quantize.QuantizationAware, "converted", lambda _: other)
        monkeypatch.setattr(facts, "compiled", lambda network, _images: network)
        monkeypatch.setattr(quantize, "int8_kernels", lambda network, _images: network)


@pytest.mark.usefixtures("compiled")
def test_the_script_keeps_facts_and_the_accuracy_for_the_ladder(tmp_path):
    out = tmp_path / "ptq"
    plain = tmp_path / "plain"
    train(replace(RECIPE, widths=None), plain)
    done = compress(
        *(plain, "--method", "ptq", "--calibration", "16", "--out", out, "--batch-sizes", "", "--workers", "0")
    )
    assert done.returncode == 0, done.stderr
    told = json.loads((out / COMPRESSED).read_text())
    assert told["after"]["file_size"] < told["before"]["file_size"] / 2
    assert told["after"]["images"] == 24
    assert told["after"]["params"] == told["before"]["params"]
    assert 0 < told["after"]["output_error"] < 0.3
    assert told["environment"]["machine_state"] == "controlled"
    accuracy = json.loads((out / ACCURACY).read_text())
    assert accuracy == {
        "model-separable-a0.25-r32-int8": {
            "accuracy": told["after"]["accuracy"],
            "baseline": told["before"]["accuracy"],
            "images": 24,
            "data": "synthetic",
        }
    }
    assert "of images seen alike" in done.stdout
    again = compress(plain, "--method", "ptq", "--out", out)
    assert (again.returncode, again.stderr) == (2, f"error: {out}: holds a result already; name another --out\n")


def test_a_pruned_network_is_compared_with_what_it_was_and_with_another(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(facts, "compiled", lambda network, _images: network)
    monkeypatch.setattr(facts, "in_turns", lambda old, new, images: (old.widths[-1], new.widths[-1], len(images)))
    work = compressor(trained, tmp_path, keep=0.5)
    made = work.run("prune-channels")
    found = facts.compare(work, "prune-channels", made, Trained.load(trained), [1, 8])
    assert found["latency"] == {name: [(256, 128, 1), (256, 128, 8)] for name in ("before", "against")}
    assert found["before"]["widths"] == found["against"]["widths"] == list(RECIPE.widths)
    assert found["after"]["macs"] < 0.5 * found["before"]["macs"]
    assert found["after"]["params"] == sum(one.numel() for one in made.network.parameters())
    assert found["against"]["accuracy"] == found["before"]["accuracy"]
    facts.keep(tmp_path, found)
    assert not (tmp_path / ACCURACY).exists(), "the ladder has no pruned networks"
    other = Trained.load(trained)
    wrong = replace(other, recipe=replace(other.recipe, resolution=64))
    with pytest.raises(CompressError, match="sees another size of images"):
        facts.compare(work, "prune-channels", made, wrong, [])


def test_a_speedup_is_the_mean_of_ratios_over_visits(monkeypatch):
    """Three visits of two rounds; the second network takes half the time, with some noise between visits."""
    times = iter(((0.4, 0.4), (0.2 * noise, 0.2 / noise)) for noise in (1.1, 1.2, 1.0))
    visits = (Visit(sides, (False, False), (1, 1), 1.0, "time budget") for sides in times)
    monkeypatch.setattr(latency, "compiled", lambda network, _images: network)
    monkeypatch.setattr(latency, "visit_pair", lambda *_args, **_options: next(visits))
    row = latency.in_turns(nn.Identity(), nn.Identity(), torch.zeros(4, 3, 8, 8), visits=3)
    assert row["batch_size"] == 4
    assert (row["before"], row["after"]) == (0.4, pytest.approx(0.2))
    assert row["speedup"] == pytest.approx(2)
    assert row["low"] <= row["speedup"] <= row["high"]
    assert [len(ratios) for ratios in row["log_ratios"]] == [2, 2, 2]


@pytest.mark.parametrize(("stops", "speedup"), [((False, True), 2.0), ((True, True), 1.0)])
def test_throttled_rounds_are_left_out_of_a_speedup_unless_there_are_no_others(monkeypatch, stops, speedup):
    """The second round of each visit would say that the second network takes twice as long."""
    visit = Visit(((0.4, 0.4), (0.2, 0.8)), stops, (1, 1), 1.0, "time budget", throttled=stops)
    monkeypatch.setattr(latency, "compiled", lambda network, _images: network)
    monkeypatch.setattr(latency, "visit_pair", lambda *_args, **_options: visit)
    row = latency.in_turns(nn.Identity(), nn.Identity(), torch.zeros(1, 3, 8, 8), visits=3)
    assert row["speedup"] == pytest.approx(speedup)


def test_the_ladder_knows_a_network_by_its_block_width_and_resolution():
    assert network_id(Recipe(block="standard", alpha=0.5, resolution=64).as_dict()) == "model-standard-a0.50-r64"


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (("--method", "ptq", "--calibration", "0"), "--calibration: 0 is not valid; valid values: from 1 up"),
        (("--method", "qat", "--epochs", "-1"), "--epochs: -1 is not valid"),
        (("--method", "ptq", "--batch-sizes", "0"), "--batch-sizes: '0' is not valid; valid values: such as 1,8"),
        (("--method", "prune-channels", "--keep", "2", "--workers", "0"), "keep must be a share above 0 and up to 1"),
    ],
)
def test_bad_input_is_one_line(trained, tmp_path, options, line):
    done = compress(trained, *options, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert line in done.stderr


def test_a_checkpoint_that_is_missing_is_one_line(tmp_path):
    done = compress(tmp_path / "none.pt", "--method", "ptq", "--out", tmp_path / "out")
    assert (done.returncode, done.stderr) == (2, f"error: {tmp_path / 'none.pt'}: no such checkpoint\n")


@pytest.mark.usefixtures("compiled")
def test_training_with_rounding_ends_with_an_int8_network(trained, tmp_path):
    out = tmp_path / "run"
    options = ("--data", "synthetic", "--alpha", "0.25", "--resolution", "32", "--epochs", "1", "--batch-size", "16")
    options += ("--limit-train", "32", "--limit-test", "24", "--device", "cpu", "--workers", "0")
    done = run(scripts.train.main, *options, "--qat", "--start", trained, "--out", out)
    assert done.returncode == 0, done.stderr
    told = json.loads((out / "training.json").read_text())
    assert told["int8"]["images"] == 24
    assert told["int8"]["file_size"] == (out / INT8).stat().st_size
    assert "int8: " in done.stdout
    assert tuple(told["recipe"]["widths"]) == RECIPE.widths
    images = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        assert load_int8(out / INT8)(images).shape == (2, 10)


def test_other_classes_are_refused(trained, tmp_path):
    source = replace(Trained.load(trained), classes=("a", "b"))
    with pytest.raises(CompressError, match="knows other classes"):
        replace(compressor(trained, tmp_path), source=source).run("ptq")
