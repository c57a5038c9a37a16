"""Distillation: the loss by hand, what it becomes at its ends, and teachers from anywhere."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from mnv1.training.data import load_data
from mnv1.training.distill import distillation_loss, load_teacher
from mnv1.training.loop import Trainer
from mnv1.training.networks import network_of
from mnv1.training.recipe import Recipe, TrainError

CPU = torch.device("cpu")
CLASSES = tuple(f"class {number}" for number in range(10))
TINY = Recipe(data="synthetic", alpha=0.25, resolution=32, epochs=1, batch_size=16, limit_train=32, limit_test=16)


def losses(recipe: Recipe) -> tuple[float, float]:
    made = Trainer(recipe, load_data(recipe, Path()), CPU)
    row = made.train_epoch()
    return row["train_loss"], row["test_loss"]


def test_the_loss_is_that_of_a_hand_computation():
    """Two classes, one image, T 2: student softened to (1/3, 2/3), teacher to (2/3, 1/3), label 0."""
    student = torch.tensor([[0.0, 2 * math.log(2)]])
    teacher = torch.tensor([[2 * math.log(2), 0.0]])
    hard = math.log(5)  # softmax of (0, ln 4) is (1/5, 4/5)
    soft = 2 / 3 * math.log(2) + 1 / 3 * math.log(1 / 2)  # sum p ln(p / q)
    expected = 0.7 * hard + 0.3 * 2**2 * soft
    assert float(distillation_loss(student, teacher, torch.tensor([0]), 0.3, 2.0)) == pytest.approx(expected)


def test_a_batchs_mean_is_torchs_batchmean():
    generator = torch.Generator().manual_seed(0)
    student, teacher = (torch.randn(5, 10, generator=generator) for _ in range(2))
    labels = torch.arange(5)
    soft = functional.kl_div(
        functional.log_softmax(student / 4, 1), functional.softmax(teacher / 4, 1), reduction="batchmean"
    )
    expected = 0.7 * functional.cross_entropy(student, labels) + 0.3 * soft * 16
    assert float(distillation_loss(student, teacher, labels)) / 5 == pytest.approx(float(expected))


def test_a_teacher_that_agrees_adds_nothing():
    logits = torch.tensor([[1.0, 2.0, 3.0]])
    loss = distillation_loss(logits, logits, torch.tensor([2]), 1.0, 4.0)
    assert float(loss) == pytest.approx(0.0, abs=1e-6)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("teacher")
    recipe = replace(TINY, block="standard", seed=5)
    made = Trainer(recipe, load_data(recipe, Path()), CPU)
    made.train_epoch()
    made.save(folder)
    return folder


def test_temperature_1_and_weight_0_is_plain_training(teacher):
    assert losses(replace(TINY, teacher=str(teacher), distill_weight=0.0, temperature=1.0)) == losses(TINY)


def test_a_teacher_with_weight_changes_what_is_learned(teacher):
    assert losses(replace(TINY, teacher=str(teacher)))[1] != losses(TINY)[1]


def test_a_teacher_of_other_classes_is_refused(teacher):
    with pytest.raises(TrainError, match=r"knows other classes \(class 0, class 1, "):
        load_teacher(replace(TINY, teacher=str(teacher)), tuple(f"thing {number}" for number in range(10)))


def test_amp_and_channels_last_hear_the_same_teacher(teacher):
    plain = losses(replace(TINY, teacher=str(teacher)))
    other = losses(replace(TINY, teacher=str(teacher), amp=True, channels_last=True))
    assert other[0] == pytest.approx(plain[0], rel=3e-2)


def test_a_checkpoint_gives_its_network_back(teacher):
    recipe = replace(TINY, block="standard", seed=5)
    made = Trainer(recipe, load_data(recipe, Path()), CPU)
    made.load(teacher)
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(network_of(teacher)(images), made.model.eval()(images))


@pytest.mark.parametrize(("package", "name"), [("torchvision", "mobilenet_v3_small"), ("timm", "mobilenetv1_100")])
def test_networks_of_other_packages_teach_with_weights_from_a_file(tmp_path, package, name):
    if package == "timm":
        other = pytest.importorskip("timm").create_model(name, num_classes=10)
    else:
        from torchvision.models import get_model

        other = get_model(name, num_classes=10)
    file = tmp_path / "weights.pth"
    torch.save(other.state_dict(), file)
    recipe = replace(TINY, teacher=f"{package}:{name}", teacher_weights=str(file))
    made = load_teacher(recipe, CLASSES)
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(made(images), other.eval()(images))
    assert not any(parameter.requires_grad for parameter in made.parameters())
    with pytest.raises(TrainError, match="gives 10 classes, the data have 7"):
        load_teacher(recipe, CLASSES[:7])


def unable(*_, **__):
    raise OSError("no route to host")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"teacher": "nowhere.pt"}, "nowhere.pt: no such checkpoint"),
        ({"teacher": "torchvision:resnet19"}, "torchvision has no model of this name"),
        ({"teacher": "timm:resnet19"}, "timm has no model of this name"),
        ({"teacher": "torchvision:resnet18"}, "its weights cannot be downloaded (no route to host): name a file"),
        ({"teacher": "torchvision:resnet18", "teacher_weights": "no.pth"}, "--teacher-weights no.pth: no such file"),
        ({"teacher": "torchvision:fcn_resnet50"}, "torchvision has no model of this name"),
        ({"teacher": "last.pt", "teacher_weights": "no.pth"}, "a checkpoint has its own weights"),
    ],
)
def test_a_teacher_that_cannot_be_had_is_one_line(monkeypatch, changes, message):
    if changes["teacher"].startswith("timm"):
        pytest.importorskip("timm")
    monkeypatch.setattr("torch.hub.download_url_to_file", unable)
    monkeypatch.setenv("TORCH_HOME", "/nonexistent")
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", unable)
    with pytest.raises(TrainError) as error:
        load_teacher(replace(TINY, **changes), CLASSES)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_weights_of_another_network_are_refused(tmp_path):
    file = tmp_path / "weights.pth"
    torch.save({"fc.weight": torch.zeros(10, 512), "fc.bias": torch.zeros(10)}, file)
    with pytest.raises(TrainError, match=r"weights\.pth: not of torchvision:resnet18") as error:
        load_teacher(replace(TINY, teacher="torchvision:resnet18", teacher_weights=str(file)), CLASSES)
    assert "\n" not in str(error.value)
