"""From a picture to the network's input, as the article does it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torchvision import transforms as t

from mnv1.training.recipe import Transform

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's channels; the article normalises CIFAR-10 with them, too."""

CROP_SHARE = 1.14
"""The `crop` transform's resize, relative to what is cut out of it: 255 px for 224."""

ToInput = Callable[[Any], torch.Tensor]
"""A PIL image to a tensor `(3, D, D)`."""


def article_transform(resolution: int, train: bool) -> t.Compose:
    """The article's transforms of its section 5: resize to a square, flip at random for training, normalise."""
    return _composed([t.Resize((resolution, resolution))], train)


def get_transform(resolution: int = 224, train: bool = False) -> t.Compose:
    """The article's transform of its section 6: resize the short side to 1.14 times the resolution, cut out the centre.

    For `train` a random flip is added, as in the other one.
    """
    return _composed([t.Resize(int(resolution * CROP_SHARE)), t.CenterCrop(resolution)], train)


def transform_of(name: Transform, resolution: int, train: bool) -> t.Compose:
    """The transform that a recipe names."""
    return (get_transform if name == "crop" else article_transform)(resolution, train)


def to_picture(images: torch.Tensor) -> torch.Tensor:
    """Normalised images `(N, 3, D, D)` back to values from 0 to 1, for a look at them."""
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    return (images.cpu() * std + mean).clamp(0, 1)


def _composed(sizing: list[Any], train: bool) -> t.Compose:
    flip = [t.RandomHorizontalFlip()] if train else []
    # Grey pictures become three equal channels after the resize, which is then three times cheaper.
    return t.Compose([*sizing, *flip, t.Lambda(_coloured), t.ToTensor(), t.Normalize(MEAN, STD)])


def _coloured(image: Any) -> Any:
    return image if image.mode == "RGB" else image.convert("RGB")
