"""int8 networks as files: weights, ranges of activations and the recipe; tensors and plain values alone."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from mnv1.net.errors import CompressError
from mnv1.net.quantize import Int8Network, post_training_quantized
from mnv1.training.files import write_atomically
from mnv1.training.networks import build_network
from mnv1.training.recipe import Recipe, TrainError

SCHEMA = 1

Way = Literal["ptq", "qat"]
"""Quantized after training, or trained with quantization."""


def save_int8(
    path: Path, network: Int8Network, way: Way, recipe: Recipe, classes: Sequence[str], keep_float: Sequence[str] = ()
) -> None:
    """Keep an int8 network of a recipe; the file appears as a whole or not at all. Raises `CompressError`."""
    content = {
        "schema": SCHEMA,
        "way": way,
        "recipe": recipe.as_dict(),
        "classes": list(classes),
        "keep_float": list(keep_float),
        "int8": network.state_dict(),
    }
    try:
        write_atomically(path, lambda file: torch.save(content, file))
    except TrainError as error:
        raise CompressError(str(error)) from None


def load_int8(path: Path) -> Int8Network:
    """The int8 network of a file. Raises `CompressError` for a file that is missing, damaged or another one.

    The graph is made anew from the recipe, and filled with what the file has: no code comes from the file. A network
    that was trained with rounding has the same graph as one that was quantized afterwards.
    """
    content = _content(path)
    try:
        recipe = Recipe.from_dict(content["recipe"])
        model = build_network(replace(recipe, start=None), len(content["classes"])).eval()
        images = torch.randn(2, 3, recipe.resolution, recipe.resolution)
        network = post_training_quantized(model, [images], content["keep_float"])
        network.load_state_dict(content["int8"])
    except (CompressError, TrainError, RuntimeError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise CompressError(f"{path}: damaged, or of another version ({str(error).splitlines()[0]})") from None
    return network


def state_size(network: nn.Module) -> int:
    """Bytes of the network's state dict as a file."""
    file = io.BytesIO()
    torch.save(network.state_dict(), file)
    return file.tell()


def _content(path: Path) -> dict[str, Any]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise CompressError(f"{path}: no such file") from None
    except Exception as error:  # torch, pickle and zip raise whatever they like for a damaged file
        raise CompressError(f"{path}: damaged, or no int8 network ({type(error).__name__})") from None
    if not isinstance(content, dict) or content.get("schema") != SCHEMA or "int8" not in content:
        raise CompressError(f"{path}: no int8 network of layout {SCHEMA}")
    return content
