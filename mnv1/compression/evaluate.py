"""What a network, compressed or not, makes of the test images: right answers, and how far outputs are from others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from scipy import stats
from torch.utils.data import DataLoader

from mnv1.net.architecture import IMAGE_CHANNELS
from mnv1.training.data import Inputs, Pictures, ordered_batches, spread
from mnv1.training.recipe import Recipe
from mnv1.training.transforms import transform_of

BATCH_SIZE = 100
"""Images of a batch in an evaluation. One size for all: int8 kernels are compiled for it."""


@dataclass(frozen=True)
class Answers:
    """Logits `(N, classes)` for test images, and their labels `(N,)`."""

    logits: torch.Tensor
    labels: torch.Tensor

    def accuracy(self) -> dict[str, Any]:
        """The share of right answers with its 95 % interval (Wilson's) and the number of images."""
        right, images = int((self.logits.argmax(1) == self.labels).sum()), len(self.labels)
        interval = stats.binomtest(right, images).proportion_ci(0.95, "wilson")
        return {"accuracy": right / images, "low": float(interval.low), "high": float(interval.high), "images": images}

    def beside(self, others: Answers) -> dict[str, float]:
        """How far these are from another network's for the same images.

        `output_error`: ‖logits − others‖ / ‖others‖ over all images (Frobenius' norm); `agreement`: the share of images
        that both take for the same class.
        """
        difference = (self.logits.double() - others.logits.double()).norm() / others.logits.double().norm()
        agreement = (self.logits.argmax(1) == others.logits.argmax(1)).double().mean()
        return {"output_error": float(difference), "agreement": float(agreement)}


def example_of(recipe: Recipe, batch_size: int = BATCH_SIZE) -> torch.Tensor:
    """Images `(batch_size, 3, D, D)` of the size that a recipe's network sees."""
    return torch.zeros(batch_size, IMAGE_CHANNELS, recipe.resolution, recipe.resolution)


def inputs_of(pictures: Pictures, recipe: Recipe) -> Inputs:
    """Pictures as a recipe's network sees them in a test."""
    return Inputs(pictures, transform_of(recipe.transform, recipe.resolution, False), 0, 0)


def calibration_batches(pictures: Pictures, recipe: Recipe, images: int) -> list[torch.Tensor]:
    """So many training pictures from all over the data set `(N, 3, D, D)`, in batches, without training's flips."""
    inputs = inputs_of(pictures, recipe)
    chosen = torch.stack([inputs[index][0] for index in spread(len(pictures), images)])
    return list(torch.split(chosen, BATCH_SIZE))


@torch.inference_mode()
def answers(
    network: Callable[[torch.Tensor], torch.Tensor], pictures: Pictures, recipe: Recipe, workers: int = 0
) -> Answers:
    """What a network makes of pictures. It sees batches of `BATCH_SIZE`: the last one is filled up with zeros."""
    batches = ordered_batches(len(pictures), BATCH_SIZE)
    loader = DataLoader(inputs_of(pictures, recipe), batch_sampler=batches, num_workers=workers)
    logits, labels = [], []
    for images, truth in loader:
        missing = images.new_zeros(BATCH_SIZE - len(images), *images.shape[1:])
        logits.append(network(torch.cat([images, missing]))[: len(images)].float())
        labels.append(truth)
    return Answers(torch.cat(logits), torch.cat(labels))
