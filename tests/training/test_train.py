"""The training loop: it learns, resumes exactly, stops on NaN, and trains the same with amp, a teacher or a crop."""

from __future__ import annotations

import io
import json
import math
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from rich.console import Console

from mnv1.training.data import DataSet, load_data
from mnv1.training.files import load_checkpoint
from mnv1.training.layout import CHECKPOINT
from mnv1.training.loop import Step, Trainer
from mnv1.training.progress import epoch_bar
from mnv1.training.recipe import Recipe, TrainError
from mnv1.training.transforms import MEAN, STD, article_transform, get_transform, to_picture

CPU = torch.device("cpu")
TINY = Recipe(
    data="synthetic", alpha=0.25, resolution=32, epochs=3, batch_size=16, limit_train=40, limit_test=20, seed=3
)


def trainer(recipe: Recipe = TINY, **options: object) -> Trainer:
    return Trainer(recipe, load_data(recipe, Path()), CPU, **options)


def numbers(made: Trainer) -> list[tuple[float, float, float]]:
    return [(row["train_loss"], row["test_loss"], row["test_accuracy"]) for row in made.rows]


def test_it_overfits_one_batch():
    recipe = replace(TINY, epochs=30, batch_size=16, limit_train=16, limit_test=8, learning_rate=3e-3)
    made = trainer(recipe)
    for _ in made.epochs():
        made.train_epoch()
    assert made.rows[0]["train_loss"] > 2
    assert made.rows[-1]["train_loss"] < 0.1
    assert made.rows[-1]["train_accuracy"] == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"schedule": "constant"},
        {"schedule": "one-cycle", "optimizer": "adamw"},
        {"schedule": "cosine", "optimizer": "sgd"},
        {"optimizer": "rmsprop", "amp": True},
    ],
)
def test_a_resumed_run_is_the_uninterrupted_run_to_the_last_digit(tmp_path, changes):
    recipe = replace(TINY, **changes, epochs=2)
    whole = trainer(recipe)
    for _ in whole.epochs():
        whole.train_epoch()
    first = trainer(recipe)
    first.train_epoch()
    first.save(tmp_path)
    torch.manual_seed(999)  # whatever state another process has
    second = trainer(recipe)
    second.load(tmp_path)
    assert list(second.epochs()) == [2]
    second.train_epoch()
    assert numbers(second) == numbers(whole)
    ours, theirs = second.model.state_dict(), whole.model.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_loader_workers_change_nothing():
    runs = [trainer(workers=workers) for workers in (0, 2)]
    for one in runs:
        one.train_epoch()
    assert numbers(runs[0]) == numbers(runs[1])


def test_another_seed_is_another_run():
    runs = [trainer(replace(TINY, seed=seed)) for seed in (0, 1)]
    for one in runs:
        one.train_epoch()
    assert numbers(runs[0]) != numbers(runs[1])


def test_amp_agrees_with_fp32_within_the_digits_of_bf16():
    """One batch: after the first step the two walk apart, as two roundings of any chaotic walk do."""
    rows = []
    for amp in (False, True):
        made = trainer(replace(TINY, amp=amp, batch_size=40, optimizer="sgd", learning_rate=0.01))
        rows.append((made.train_epoch(), made.model.classifier.weight.detach()))
    (plain, weights), (amp_row, amp_weights) = rows
    assert amp_row["train_loss"] == pytest.approx(plain["train_loss"], rel=2e-2)
    assert amp_row["train_loss"] != plain["train_loss"]
    assert amp_row["test_loss"] == pytest.approx(plain["test_loss"], rel=2e-2)
    start = trainer().model.classifier.weight.detach()
    step, amp_step = (weights - start).flatten(), (amp_weights - start).flatten()
    assert float(torch.cosine_similarity(step, amp_step, dim=0)) > 0.9


def test_channels_last_agrees_with_contiguous():
    losses = [trainer(replace(TINY, channels_last=last)).train_epoch()["train_loss"] for last in (False, True)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)


def test_a_loss_that_is_not_finite_stops_with_a_line_and_keeps_what_was(tmp_path):
    made = trainer()
    made.train_epoch()
    made.save(tmp_path)
    kept = (tmp_path / CHECKPOINT).read_bytes()
    with torch.no_grad():
        made.model.classifier.bias.fill_(math.nan)
    with pytest.raises(
        TrainError, match=r"the loss is nan in epoch 2, step 1: try a lower --learning-rate than 0\.001"
    ):
        made.train_epoch()
    assert len(made.rows) == 1
    assert (tmp_path / CHECKPOINT).read_bytes() == kept


def test_weights_that_the_last_step_broke_are_not_kept():
    made = trainer(replace(TINY, batch_size=40, optimizer="sgd", learning_rate=1e18))
    with pytest.raises(TrainError, match=r"the loss is (nan|inf) in the test after epoch 1"):
        made.train_epoch()
    assert made.rows == []


def test_compiled_training_is_training(monkeypatch):
    compiled = []

    def compile_(module):
        compiled.append(module)
        return torch._dynamo.optimize("eager")(module)

    plain = trainer(replace(TINY, epochs=1)).train_epoch()["train_loss"]
    monkeypatch.setattr("mnv1.training.loop.torch.compile", compile_)
    made = trainer(replace(TINY, epochs=1, compile=True))
    assert made.train_epoch()["train_loss"] == pytest.approx(plain, rel=1e-5)
    assert compiled == [made.model]
    assert "peak_memory" not in made.describe()


def test_a_checkpoint_of_other_data_is_refused(tmp_path):
    made = trainer()
    made.save(tmp_path)
    data = made.data
    other = Trainer(TINY, DataSet(data.train, data.test, ("cat", *data.classes[1:])), CPU)
    with pytest.raises(TrainError, match=r"begun with other classes \(\['class 0'"):
        other.load(tmp_path)


def test_the_bar_shows_where_an_epoch_is():
    text = io.StringIO()
    console = Console(force_terminal=True, file=text, width=120)
    with epoch_bar(console, 2, 3, 40) as on_step:
        on_step(Step(16, 1.25, 0.5))
    assert "epoch 2/3" in text.getvalue()
    assert "loss 1.2500  50.0%" in text.getvalue()


def test_a_checkpoint_of_another_recipe_is_refused(tmp_path):
    made = trainer()
    made.save(tmp_path)
    with pytest.raises(TrainError, match=r"begun with --learning-rate 0\.001, not 0\.1: go on with the same options"):
        trainer(replace(TINY, learning_rate=0.1)).load(tmp_path)


@pytest.mark.parametrize("content", [b"", b"no checkpoint", None])
def test_a_damaged_checkpoint_is_named_in_a_line(tmp_path, content):
    made = trainer()
    made.save(tmp_path)
    path = tmp_path / CHECKPOINT
    path.write_bytes(path.read_bytes()[:-1000] if content is None else content)
    with pytest.raises(TrainError, match="damaged, or no checkpoint") as error:
        trainer().load(tmp_path)
    assert "\n" not in str(error.value)


def test_a_foreign_file_of_tensors_is_no_checkpoint(tmp_path):
    torch.save({"weight": torch.zeros(2)}, tmp_path / CHECKPOINT)
    with pytest.raises(TrainError, match=r"no checkpoint of scripts/train\.py"):
        load_checkpoint(tmp_path)


def test_a_write_that_fails_leaves_the_checkpoint_before_it(tmp_path, monkeypatch):
    made = trainer()
    made.save(tmp_path)
    kept = (tmp_path / CHECKPOINT).read_bytes()

    def full(_content, file):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mnv1.training.files.torch.save", full)
    with pytest.raises(TrainError, match=r"last\.pt: cannot be written: .*No space left on device"):
        made.save(tmp_path)
    assert (tmp_path / CHECKPOINT).read_bytes() == kept
    assert [path.name for path in tmp_path.iterdir()] == [CHECKPOINT]


def test_what_a_killed_writer_left_is_removed_by_the_next(tmp_path):
    (tmp_path / f".{CHECKPOINT}-abc").write_bytes(b"half a checkpoint")
    trainer().save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [CHECKPOINT]


def test_the_first_facts_are_counts_and_memory_and_move_nothing():
    made, untouched = trainer(), trainer()
    facts = made.describe()
    assert facts["params"] == sum(p.numel() for p in made.model.parameters())
    assert facts["peak_memory"] > 0
    assert facts["peak_memory"] == untouched.describe()["peak_memory"]
    plain = trainer()
    assert made.train_epoch()["train_loss"] == plain.train_epoch()["train_loss"]


def test_epochs_tell_speed_from_their_clock():
    ticks = iter([0.0, 4.0, 5.0])
    row = trainer(now=lambda: next(ticks)).train_epoch()
    assert (row["seconds"], row["test_seconds"], row["throughput"]) == (4.0, 1.0, 10.0)


def test_work_of_other_processes_is_told_from_an_epochs_own():
    row = trainer().train_epoch()
    cpus = os.cpu_count() or 1
    assert -0.3 * cpus <= row["other_cpus"] <= 1.1 * cpus  # the system counts in ticks, an epoch here takes few


def test_the_confusion_matrix_counts_every_test_image():
    made = trainer()
    row = made.train_epoch()
    assert int(made.confusion.sum()) == 20
    assert int(made.confusion.diagonal().sum()) / 20 == row["test_accuracy"]
    assert row["test_accuracy_low"] <= row["test_accuracy"] <= row["test_accuracy_high"]


def test_a_last_batch_of_one_image_is_left_out():
    row = trainer(replace(TINY, limit_train=33)).train_epoch()  # 16 + 16 + 1
    assert math.isfinite(row["train_loss"])


def test_one_image_is_too_few():
    recipe = replace(TINY, limit_train=2)
    data = load_data(recipe, Path())
    with pytest.raises(TrainError, match="1 images are too few"):
        Trainer(recipe, DataSet(type("One", (), {"__len__": lambda _: 1})(), data.test, data.classes), CPU)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd", "rmsprop"])
@pytest.mark.parametrize("schedule", ["cosine", "one-cycle"])
def test_every_optimizer_and_schedule_trains(optimizer, schedule):
    made = trainer(replace(TINY, optimizer=optimizer, schedule=schedule, epochs=1, limit_train=16))
    row = made.train_epoch()
    assert math.isfinite(row["test_loss"])
    assert row["learning_rate"] < 1e-3  # both end low


def test_articles_transforms_have_its_shapes_and_normalisation():
    image = Image.new("RGB", (32, 32), (255, 0, 0))
    for made in (article_transform(224, train=True), article_transform(224, train=False), get_transform(224)):
        tensor = made(image)
        assert tuple(tensor.shape) == (3, 224, 224)
        expected = torch.tensor([(1 - MEAN[0]) / STD[0], -MEAN[1] / STD[1], -MEAN[2] / STD[2]])
        assert torch.allclose(tensor.mean((1, 2)), expected, atol=1e-5)
        assert torch.allclose(to_picture(tensor[None])[0, :, 0, 0], torch.tensor([1.0, 0.0, 0.0]), atol=1e-5)


def test_the_crop_cuts_out_the_centre_of_a_larger_picture():
    wide = Image.new("L", (510, 255))
    wide.paste(255, (128, 0, 382, 255))  # the middle alone is white
    tensor = get_transform(224)(wide)
    assert tuple(tensor.shape) == (3, 224, 224)
    assert torch.allclose(to_picture(tensor[None]), torch.ones(1, 3, 224, 224))  # 255 px high: resize changes nothing


def test_only_training_flips():
    image = Image.new("L", (32, 32))
    image.paste(255, (0, 0, 16, 32))
    for transform in (article_transform, get_transform):
        seen = {bool(transform(32, train=True)(image)[0, 0, 0] > 0) for _ in range(40)}
        assert seen == {True, False}
        assert {bool(transform(32, train=False)(image)[0, 0, 0] > 0) for _ in range(20)} == {True}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": "imagenet"}, "--data: unknown value 'imagenet'; valid values: cifar10, fashion-mnist"),
        ({"alpha": 0}, "--alpha: 0 is not valid"),
        ({"alpha": math.nan}, "--alpha: nan is not valid"),
        ({"resolution": 16}, "--resolution: 16 is not valid; valid values: whole numbers from 32 up"),
        ({"epochs": 0}, "--epochs: 0"),
        ({"batch_size": 1}, "BatchNorm needs at least 2 images"),
        ({"learning_rate": -1.0}, "--learning-rate: -1.0"),
        ({"distill_weight": 1.5}, "--distill-weight: 1.5"),
        ({"teacher_weights": "x.pth"}, "there is no --teacher"),
    ],
)
def test_a_recipe_that_cannot_be_is_refused(changes, message):
    with pytest.raises(TrainError) as error:
        Recipe(**changes)
    assert message in str(error.value)


def test_a_recipe_survives_its_file():
    assert Recipe.from_dict(json.loads(json.dumps(TINY.as_dict()))) == TINY
    with pytest.raises(TrainError, match="unknown settings \\(colour\\)"):
        Recipe.from_dict({"colour": "blue"})


def test_only_fp16_on_cuda_scales_its_loss():
    assert not trainer(replace(TINY, amp=True)).scaler.is_enabled()  # bf16 has the range of fp32


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("amp", [False, True])
def test_cuda_trains_as_the_cpu_does(amp):
    recipe = replace(TINY, amp=amp, channels_last=amp, epochs=1, batch_size=40)
    data = load_data(recipe, Path())
    rows = [Trainer(recipe, data, torch.device(name)).train_epoch() for name in ("cpu", "cuda")]
    assert rows[1]["train_loss"] == pytest.approx(rows[0]["train_loss"], rel=2e-2)
