"""Distillation: a student learns from the labels and from a larger network's opinion (Hinton et al. 2015)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from mnv1.training.files import load_checkpoint
from mnv1.training.networks import classes_of, classifier_of
from mnv1.training.recipe import Recipe, TrainError


def distillation_loss(
    student: torch.Tensor, teacher: torch.Tensor, labels: torch.Tensor, weight: float = 0.3, temperature: float = 4.0
) -> torch.Tensor:
    """Sum over the batch of `(1 - weight) · CE + weight · T² · KL`, from logits `(N, C)` and labels `(N,)`.

    KL is the Kullback-Leibler divergence of the student's softened distribution from the teacher's, summed over the
    classes (Hinton et al. 2015, arXiv 1503.02531, section 2; T² keeps its gradients as large as those of CE).
    Divided by N this is what torch calls `batchmean`; torch's default, `mean`, divides by N · C, so that the article's
    formula, which leaves the reduction out, weighs the teacher a C-th of what it says.
    """
    hard = functional.cross_entropy(student, labels, reduction="sum")
    if weight == 0:
        return hard
    soft = functional.kl_div(
        functional.log_softmax(student.float() / temperature, dim=1),
        functional.log_softmax(teacher.float() / temperature, dim=1),
        reduction="sum",
        log_target=True,
    )
    return (1 - weight) * hard + weight * temperature**2 * soft


def load_teacher(recipe: Recipe, classes: Sequence[str]) -> nn.Module:
    """The recipe's teacher, in evaluation mode: gives logits `(N, len(classes))` for images `(N, 3, D, D)`.

    A checkpoint of this project, or `torchvision:NAME` and `timm:NAME` with weights from a file (a state dict), or
    those that the package downloads. Raises `TrainError`.
    """
    name = recipe.teacher or ""
    package, _, model_name = name.partition(":")
    if package in _BUILDERS:
        teacher = _BUILDERS[package](model_name, recipe.teacher_weights)
    elif recipe.teacher_weights:
        raise TrainError("--teacher-weights: a checkpoint has its own weights; name torchvision:NAME or timm:NAME")
    else:
        known = load_checkpoint(Path(name))["classes"]
        if list(known) != list(classes):
            raise TrainError(f"--teacher {name}: knows other classes ({', '.join(known)})")
        teacher = classifier_of(Path(name), recipe.network)
    teacher = teacher.eval().requires_grad_(False)
    number = classes_of(teacher, f"--teacher {name}", recipe.resolution)
    if number != len(classes):
        raise TrainError(
            f"--teacher {name}: gives {number} classes, the data have {len(classes)}: train its classifier on "
            "these classes first, and name the weights with --teacher-weights"
        )
    return teacher


def _torchvision(name: str, weights: str | None) -> nn.Module:
    from torchvision import models

    if name not in models.list_models(module=models):
        raise TrainError(f"--teacher torchvision:{name}: torchvision has no model of this name")
    return _filled(
        lambda pretrained, **size: models.get_model(name, weights="DEFAULT" if pretrained else None, **size),
        f"torchvision:{name}",
        weights,
    )


def _timm(name: str, weights: str | None) -> nn.Module:
    try:
        import timm
    except ImportError:
        raise TrainError(
            "--teacher timm:…: timm is not installed: pip install -c constraints.txt -e '.[parity]'"
        ) from None
    if name not in timm.list_models():
        raise TrainError(f"--teacher timm:{name}: timm has no model of this name")
    return _filled(
        lambda pretrained, **size: timm.create_model(name, pretrained=pretrained, **size), f"timm:{name}", weights
    )


_BUILDERS = {"torchvision": _torchvision, "timm": _timm}


def _filled(build: Callable[..., nn.Module], name: str, weights: str | None) -> nn.Module:
    """A package's network with weights of a file, which say how many classes it has; or with the package's own."""
    if weights is None:
        try:
            return build(True)
        except Exception as error:  # urllib, huggingface_hub and the packages raise types of their own
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise TrainError(
                f"--teacher {name}: its weights cannot be downloaded ({reason}): name a file with --teacher-weights"
            ) from None
    try:
        state = torch.load(weights, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise TrainError(f"--teacher-weights {weights}: no such file") from None
    except Exception as error:
        raise TrainError(
            f"--teacher-weights {weights}: no state dict that can be read ({type(error).__name__})"
        ) from None
    if not isinstance(state, dict) or not state or not all(isinstance(one, torch.Tensor) for one in state.values()):
        raise TrainError(f"--teacher-weights {weights}: no state dict (names and tensors)")
    last = list(state.values())[-1]
    try:
        model = build(False, num_classes=last.shape[0] if last.dim() else 1)
        model.load_state_dict(state)
    except Exception as error:
        raise TrainError(
            f"--teacher-weights {weights}: not of {name} ({str(error).splitlines()[-1].strip()})"
        ) from None
    return model
