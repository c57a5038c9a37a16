"""What a compression costs and brings: the network before and after, side by side, as facts for a file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import nn

from mnv1.cases import Network
from mnv1.compression.evaluate import Answers, answers, example_of
from mnv1.compression.latency import compiled, in_turns
from mnv1.compression.layout import ACCURACY, COMPRESSED, SCHEMA, Method
from mnv1.compression.methods import Compressor, Made, Trained
from mnv1.compression.saved import state_size
from mnv1.net.architecture import kind_of, network_layers
from mnv1.net.counts import count
from mnv1.net.errors import CompressError
from mnv1.net.model import MobileNetV1
from mnv1.training.files import write_atomically
from mnv1.training.recipe import Recipe


def compare(
    compressor: Compressor, method: Method, made: Made, against: Trained | None, batch_sizes: Sequence[int]
) -> dict[str, Any]:
    """Accuracy, outputs, counts and file sizes `before` and `after`, and latencies in turns.

    Every network is compiled with its weights as constants, as it would be used. `against` is another network to be
    told and timed beside the result. Raises `CompressError` when it knows other classes or sees another size.
    """
    source, network = compressor.source, made.network
    recipe, pictures = source.recipe, compressor.data.test

    def seen(one: nn.Module) -> Answers:
        return answers(compiled(one, example_of(recipe)), pictures, recipe, compressor.workers)

    check_alike(source, against)
    before, after = seen(source.model), seen(network)
    widths = network.widths if isinstance(network, MobileNetV1) else source.model.widths
    facts: dict[str, Any] = {
        "schema": SCHEMA,
        "method": method,
        "settings": asdict(compressor.settings),
        "recipe": recipe.as_dict(),
        "before": _told(source.model, before, source.model.widths, recipe),
        "after": {**_told(network, after, widths, recipe), **after.beside(before)},
        **made.facts,
    }
    latency = {"before": [in_turns(source.model, network, example_of(recipe, size)) for size in batch_sizes]}
    if against:
        other = against.model
        facts["against"] = {**_told(other, seen(other), other.widths, against.recipe), "alpha": against.recipe.alpha}
        latency["against"] = [in_turns(other, network, example_of(recipe, size)) for size in batch_sizes]
    return {**facts, "latency": latency}


def check_alike(source: Trained, against: Trained | None) -> None:
    """Raises `CompressError` when the other network cannot be compared with what is compressed."""
    if against and (against.classes, against.recipe.resolution) != (source.classes, source.recipe.resolution):
        raise CompressError(f"{against.path}: knows other classes, or sees another size of images")


def keep(folder: Path, facts: Mapping[str, Any]) -> None:
    """Write the facts; of quantization after training also the accuracy as the ladder reads it.

    Raises `mnv1.training.recipe.TrainError` when it cannot be written.
    """
    _write(folder / COMPRESSED, facts)
    if facts["method"] == "ptq" and facts["recipe"]["widths"] is None:
        recipe, after = facts["recipe"], facts["after"]
        accuracy = {
            "accuracy": after["accuracy"],
            "baseline": facts["before"]["accuracy"],
            "images": after["images"],
            "data": recipe["data"],
        }
        _write(folder / ACCURACY, {f"{network_id(recipe)}-int8": accuracy})


def network_id(recipe: Mapping[str, Any]) -> str:
    """The network of a recipe as cases call it, such as `model-separable-a0.25-r64`."""
    return Network(recipe["block"], recipe["alpha"], recipe["resolution"]).id


def _told(network: nn.Module, seen: Answers, widths: Sequence[int], recipe: Recipe) -> dict[str, Any]:
    kind = kind_of(widths, recipe.block == "standard")
    counted = count(network_layers(kind, resolution=recipe.resolution, num_classes=seen.logits.shape[1], widths=widths))
    return {
        **seen.accuracy(),
        "params": counted.params,
        "macs": counted.macs,
        "file_size": state_size(network),
        "widths": list(widths),
    }


def _write(path: Path, content: Mapping[str, Any]) -> None:
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    write_atomically(path, lambda file: file.write(text.encode()))
