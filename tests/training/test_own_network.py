"""Classifiers of the user's own: trained, made separable, and taught by what they come from."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mnv1.training.data import load_data
from mnv1.training.distill import load_teacher
from mnv1.training.files import load_checkpoint, save_checkpoint
from mnv1.training.loop import Trainer
from mnv1.training.networks import classifier_of, first_network, network_of
from mnv1.training.recipe import Recipe, TrainError
from mnv1.training.report import training_table
from scripts.train import main

OWN = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, num_classes=7):
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.second = nn.Conv2d(8, 8, 3, stride=2, padding=1)
        self.last = nn.Linear(8, num_classes)

    def forward(self, images):
        return self.last(self.second(self.first(images)).mean((2, 3)))


def seven():
    return Net()


def pairs(num_classes):
    class Twice(Net):
        def forward(self, images):
            found = super().forward(images)
            return (found, found) if self.training else found
    return Twice(num_classes)
"""


@pytest.fixture(autouse=True, scope="module")
def this_process_as_it_was():
    """The command sets up the process that it runs in."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)
    torch.set_flush_denormal(False)


CPU = torch.device("cpu")
CLASSES = tuple(f"class {number}" for number in range(10))


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("own") / "nets.py"
    path.write_text(OWN)
    return path


@pytest.fixture(scope="module")
def recipe(file) -> Recipe:
    about = {"resolution": 32, "epochs": 1, "batch_size": 16, "limit_train": 32, "limit_test": 16}
    return Recipe(data="synthetic", network=f"{file}:Net", **about)


@pytest.fixture(scope="module")
def trained(recipe, tmp_path_factory) -> Path:
    """The run's folder of the original."""
    out = tmp_path_factory.mktemp("original")
    trainer = Trainer(recipe, load_data(recipe, Path()), CPU)
    trainer.train_epoch()
    trainer.save(out, {"recipe": recipe.as_dict(), "classes": list(CLASSES)})
    return out / "last.pt"


def test_a_network_gets_the_number_of_classes_and_its_seed(recipe):
    one, same, other = (first_network(replace(recipe, seed=seed), CLASSES) for seed in (1, 1, 2))
    assert one.last.out_features == 10
    assert torch.equal(one.first.weight, same.first.weight)
    assert not torch.equal(one.first.weight, other.first.weight)
    assert one.training


def test_counts_are_of_the_network_itself(recipe):
    counted = Trainer(recipe, load_data(recipe, Path()), CPU).describe()
    assert counted["macs"] == 32 * 32 * 3 * 8 * 9 + 16 * 16 * 8 * 8 * 9 + 8 * 10
    assert counted["params"] == (3 * 9 + 1) * 8 + (8 * 9 + 1) * 8 + (8 + 1) * 10


def test_a_twin_begins_with_the_weights_that_stay(recipe, trained):
    twin = first_network(replace(recipe, replace=("second",), start=str(trained)), CLASSES)
    weights = load_checkpoint(trained)["model"]
    assert torch.equal(twin.first.weight, weights["first.weight"])
    assert torch.equal(twin.last.weight, weights["last.weight"])
    assert [type(one).__name__ for one in twin.second] == ["Conv2d", "BatchNorm2d", "ReLU", "Conv2d"]
    whole = first_network(replace(recipe, replace=("all",), between="none"), CLASSES)
    assert len(whole.first) == len(whole.second) == 2


def test_the_original_teaches_its_twin(recipe, trained):
    taught = replace(recipe, replace=("all",), teacher=str(trained))
    row = Trainer(taught, load_data(taught, Path()), CPU).train_epoch()
    assert row["train_loss"] > 0
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(load_teacher(taught, CLASSES)(images), classifier_of(trained, recipe.network)(images))


def test_a_trained_twin_is_read_again(recipe, tmp_path):
    twin = replace(recipe, replace=("first",))
    model = first_network(twin, CLASSES).eval()
    path = tmp_path / "last.pt"
    save_checkpoint(path, {"recipe": twin.as_dict(), "classes": list(CLASSES), "model": model.state_dict()})
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(classifier_of(path, recipe.network)(images), model(images))
        again = first_network(replace(twin, start=str(path), seed=9), CLASSES).eval()
        assert torch.equal(again(images), model(images))


def test_no_code_is_run_because_a_checkpoint_names_it(recipe, trained):
    with pytest.raises(TrainError, match=r"add --network .*nets\.py:Net if you trust it"):
        classifier_of(trained, None)
    with pytest.raises(TrainError, match="if you trust it"):
        load_teacher(Recipe(data="synthetic", resolution=32, teacher=str(trained)), CLASSES)
    with pytest.raises(TrainError, match="which is no MobileNetV1"):
        network_of(trained)
    with pytest.raises(TrainError, match="which is no MobileNetV1: add --network"):
        first_network(Recipe(data="synthetic", resolution=32, start=str(trained)), CLASSES)
    other = replace(recipe, network="torchvision.models:resnet18", start=str(trained))
    with pytest.raises(TrainError, match="nor what that comes from"):
        first_network(other, CLASSES)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"network": "{file}:seven"}, "gives 7 classes, the data have 10: name a callable that takes num_classes"),
        ({"network": "{file}:pairs"}, "is no classifier of pictures"),
        ({"network": "{file}:nothing"}, "--network .*: .* has no callable 'nothing'"),
        ({"replace": ("third",)}, "--replace: third: there is no such convolution; choose from first, second"),
    ],
)
def test_what_cannot_be_trained_is_said_in_a_line(recipe, file, changed, why):
    changed = {name: one.format(file=file) if isinstance(one, str) else one for name, one in changed.items()}
    with pytest.raises(TrainError, match=why) as raised:
        first_network(replace(recipe, **changed), CLASSES)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"network": None, "replace": ("all",)}, "--replace: names convolutions of a network"),
        ({"alpha": 0.5}, "--alpha: is of MobileNetV1"),
        ({"block": "standard"}, "--block: is of MobileNetV1"),
        ({"qat": True}, "--qat: is of MobileNetV1"),
        ({"between": "relu"}, "--between: unknown value 'relu'; valid values: bn-relu, none"),
    ],
)
def test_recipes_that_cannot_be(recipe, changed, why):
    with pytest.raises(TrainError, match=why):
        replace(recipe, **changed)


def test_a_recipe_tells_its_network(recipe):
    twin = replace(recipe, network="torchvision.models:resnet18", replace=("conv1", "layer1.0.conv1"))
    assert twin.what == "torchvision.models:resnet18, 2 convolutions separable"
    assert twin.id == "synthetic-torchvision_models_resnet18-separable7ef2b7de-r32-s0"
    assert Recipe.from_dict(json.loads(json.dumps(twin.as_dict()))) == twin


def test_the_command_takes_the_answer_of_an_advice(recipe, tmp_path, capsys):
    answer = tmp_path / "answer.json"
    answer.write_text(json.dumps({"chosen": {"replaced": ["second"]}}))
    options = ["--data", "synthetic", "--resolution", "32", "--epochs", "1", "--batch-size", "16", "--workers", "0"]
    options += ["--limit-train", "32", "--limit-test", "16", "--device", "cpu", "--network", recipe.network]
    out = tmp_path / "run"
    assert main([*options, "--replace", str(answer), "--out", str(out)]) == 0
    assert "Net, 1 convolutions separable, 32 px on synthetic" in capsys.readouterr().out
    facts = json.loads((out / "training.json").read_text())
    assert facts["recipe"]["replace"] == ["second"]
    assert "Net, 1 convolutions separable" in training_table([facts])
    (tmp_path / "empty.json").write_text('{"chosen": {}}')
    for name, why in (("empty.json", "no answer of scripts/advise.py"), ("none.json", "none.json: no such file")):
        assert main([*options, "--replace", str(tmp_path / name)]) == 2
        error = capsys.readouterr().err
        assert why in error
        assert error.count("\n") == 1
