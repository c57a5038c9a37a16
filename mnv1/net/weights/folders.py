"""Folders of weights: as `save_pretrained` of transformers or timm's hub writes them, or a training run's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from mnv1.base.files import CHECKPOINT
from mnv1.net.errors import PretrainedError
from mnv1.net.semantics import TIMM, Semantics
from mnv1.net.weights.contents import Contents
from mnv1.net.weights.files import read

CONFIG = "config.json"
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
"""What a package keeps its weights in, the better one first."""
INDEX = ".index.json"
"""After the name of a file of weights: which parts it was split into."""


def read_path(path: Path) -> Contents:
    """What a file or a folder holds, with what the `config.json` beside it says. Raises `PretrainedError`."""
    if path.is_dir():
        names = (*WEIGHTS, *(name + INDEX for name in WEIGHTS), CHECKPOINT)
        inside = next((path / name for name in names if (path / name).is_file()), None)
        if inside is None:
            raise PretrainedError(f"{path}: a folder with none of {', '.join((*WEIGHTS, CHECKPOINT))}")
        return read_path(inside)
    contents = _joined(path) if path.name.endswith(INDEX) else read(path)
    config = path.with_name(CONFIG)
    if path.name.removesuffix(INDEX) in WEIGHTS and config.is_file():
        return _with_config(contents, config)
    return contents


def _joined(index: Path) -> Contents:
    """The parts of split weights together."""
    try:
        parts = sorted(set(json.loads(index.read_text())["weight_map"].values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise PretrainedError(f"{index}: damaged, or no index of weights") from None
    tree: dict[str, Any] = {}
    for part in parts:
        path = index.with_name(Path(part).name)
        if not path.is_file():
            raise PretrainedError(f"{index}: its part {part} is missing")
        tree |= read(path).tree
    return Contents(tree)


def _with_config(contents: Contents, path: Path) -> Contents:
    """Contents with what a `config.json` says of them; one that is not of transformers or timm says nothing."""
    try:
        config = json.loads(path.read_text())
    except (OSError, ValueError):
        raise PretrainedError(f"{path}: damaged") from None
    if not isinstance(config, Mapping):
        return contents
    if "model_type" in config:
        return _of_transformers(contents, config, path)
    if "architecture" in config:
        return _of_timm(contents, config, path)
    return contents


def _of_transformers(contents: Contents, config: Mapping[str, Any], path: Path) -> Contents:
    if config["model_type"] != "mobilenet_v1":
        raise PretrainedError(f"{path}: another network: {config['model_type']}")
    activation = config.get("hidden_act", "relu6")
    if activation not in ("relu", "relu6"):
        raise PretrainedError(f"{path}: other activations than MobileNetV1's: {activation}; relu and relu6 are known")
    try:
        semantics = Semantics(
            "same" if config.get("tf_padding", True) else "symmetric",
            activation,
            float(config.get("layer_norm_eps", 1e-3)),
        )
    except (TypeError, ValueError) as error:
        raise PretrainedError(f"{path}: {error}") from None
    names = config.get("id2label") if "ForImageClassification" in str(config.get("architectures")) else None
    labels = tuple(str(names[key]) for key in sorted(names, key=int)) if isinstance(names, Mapping) else None
    return replace(contents, semantics=semantics, labels=labels)


def _of_timm(contents: Contents, config: Mapping[str, Any], path: Path) -> Contents:
    name = str(config["architecture"])
    if not name.startswith("mobilenetv1_"):
        raise PretrainedError(f"{path}: another network: {name}")
    settings = config.get("model_args") or {}
    activation = str(settings.get("act_layer", "relu6")).lower()
    if activation not in ("relu", "relu6"):
        raise PretrainedError(f"{path}: other activations than MobileNetV1's: {activation}; relu and relu6 are known")
    padding = {"": "symmetric", "same": "same"}.get(settings.get("pad_type", ""))
    eps = (settings.get("norm_kwargs") or {}).get("eps", settings.get("bn_eps") or TIMM.eps)
    if padding is None:
        raise PretrainedError(f"{path}: padding {settings['pad_type']!r}; '' and 'same' are known")
    labels = config.get("label_names")
    return replace(
        contents,
        semantics=Semantics(padding, activation, float(eps)),  # type: ignore[arg-type]  # just looked at
        labels=tuple(map(str, labels)) if isinstance(labels, list) else None,
    )
