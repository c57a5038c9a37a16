"""The ways to compress a trained network, from its checkpoint: what each makes, and how long that was trained on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mnv1.compression.evaluate import calibration_batches
from mnv1.compression.layout import PRUNED, Method, Spread
from mnv1.compression.prune import prune_channels, prune_weights, sparsity
from mnv1.compression.saved import save_int8
from mnv1.net.errors import CompressError
from mnv1.net.model import MobileNetV1
from mnv1.net.quantize import QuantizationAware, has_vnni, post_training_quantized
from mnv1.training.data import DataSet
from mnv1.training.files import load_checkpoint, save_checkpoint
from mnv1.training.layout import CHECKPOINT, INT8
from mnv1.training.loop import Row, Trainer
from mnv1.training.networks import network_of
from mnv1.training.recipe import Recipe, TrainError


@dataclass(frozen=True)
class Settings:
    """How a network is compressed. `epochs` and `learning_rate` are those of training on; 0 epochs leave it out."""

    calibration: int = 512
    keep_float: tuple[str, ...] = ()
    amount: float = 0.2
    keep: float = 0.5
    spread: Spread = "layer"
    epochs: int = 2
    learning_rate: float = 1e-3


@dataclass(frozen=True)
class Trained:
    """A trained network with what it knows about itself."""

    path: Path
    recipe: Recipe
    classes: tuple[str, ...]
    model: MobileNetV1

    @classmethod
    def load(cls, path: Path) -> Trained:
        """Of a checkpoint or its folder. Raises `TrainError`."""
        path = path / CHECKPOINT if path.is_dir() else path
        content = load_checkpoint(path)
        recipe = replace(Recipe.from_dict(content["recipe"]), qat=False)  # the network is the float one within
        return cls(path, recipe, tuple(content["classes"]), network_of(path))


@dataclass(frozen=True)
class Made:
    """A compressed network, the file that it was kept in, and what else is known."""

    network: nn.Module
    file: Path
    facts: dict[str, Any] = field(default_factory=dict)


OnEpoch = Callable[[Row, int], None]
"""Called after each epoch of training on, with its figures and the number of epochs."""


@dataclass(frozen=True)
class Compressor:
    """Compresses a trained network in one of the ways, and keeps what comes out in a folder."""

    source: Trained
    data: DataSet
    out: Path
    settings: Settings
    workers: int = 0
    on_epoch: OnEpoch = lambda _row, _epochs: None

    def run(self, method: Method) -> Made:
        """Raises `CompressError`, `TrainError` and `mnv1.base.packages.MissingPackageError`."""
        if self.data.classes != self.source.classes:
            known = ", ".join(self.source.classes)
            raise CompressError(f"{self.source.path}: knows other classes ({known}) than the data have")
        made = {
            "ptq": self._ptq,
            "qat": self._qat,
            "prune-unstructured": self._prune_weights,
            "prune-channels": self._prune_channels,
        }
        return made[method]()

    def _ptq(self) -> Made:
        source, keep = self.source, self.settings.keep_float
        images = calibration_batches(self.data.train, source.recipe, self.settings.calibration)
        network = post_training_quantized(source.model, images, keep)
        save_int8(self.out / INT8, network, "ptq", source.recipe, source.classes, keep)
        return Made(network, self.out / INT8, {"reduced_range": not has_vnni()})

    def _qat(self) -> Made:
        trainer = self._trained_on(self.source.path, qat=True)
        assert isinstance(trainer.model, QuantizationAware)
        network = trainer.model.converted()
        save_int8(self.out / INT8, network, "qat", trainer.recipe, self.source.classes)
        return Made(network, self.out / INT8, {"reduced_range": not has_vnni(), "epochs": trainer.rows})

    def _prune_weights(self) -> Made:
        network = prune_weights(self.source.model, self.settings.amount)
        self._keep(network, replace(self.source.recipe, start=None))
        return Made(network, self.out / PRUNED, {"sparsity": sparsity(network)})

    def _prune_channels(self) -> Made:
        network = prune_channels(self.source.model, self.settings.keep, self.settings.spread)
        self._keep(network, replace(self.source.recipe, start=None, widths=network.widths))
        if self.settings.epochs == 0:
            return Made(network, self.out / PRUNED)
        trainer = self._trained_on(self.out / PRUNED, widths=network.widths)
        return Made(trainer.model.eval(), self.out / CHECKPOINT, {"epochs": trainer.rows})

    def _keep(self, network: nn.Module, recipe: Recipe) -> None:
        save_checkpoint(
            self.out / PRUNED,
            {"recipe": recipe.as_dict(), "classes": list(self.source.classes), "model": network.state_dict()},
        )

    def _trained_on(self, start: Path, **changes: Any) -> Trainer:
        """Train on from a checkpoint, as it was trained before but for fewer epochs."""
        settings = self.settings
        if settings.epochs < 1:
            raise TrainError("--epochs: rounding can only be learnt in training: 1 or more")
        recipe = replace(
            self.source.recipe,
            start=str(start),
            epochs=settings.epochs,
            learning_rate=settings.learning_rate,
            teacher=None,
            teacher_weights=None,
            compile=False,
            amp=False,
            **changes,
        )
        trainer = Trainer(recipe, self.data, torch.device("cpu"), workers=self.workers)
        for _ in trainer.epochs():
            self.on_epoch(trainer.train_epoch(), recipe.epochs)
            trainer.save(self.out)
        return trainer
