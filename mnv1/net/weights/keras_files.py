"""Keras's files: the `.keras` archive, whole models and weights as HDF5, of Keras 3 and of Keras 2.

Nothing in them is executed: the description of the layers is read as data, to see what the weights mean.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mnv1.base.packages import require
from mnv1.net.errors import PretrainedError
from mnv1.net.semantics import KERAS, Semantics
from mnv1.net.weights.contents import Contents
from mnv1.net.weights.find import listed
from mnv1.net.weights.layouts import LAYOUTS, PLACES

_CONVOLUTION, _NORM = ("kernel", "bias"), ("gamma", "beta", "moving_mean", "moving_variance")
_PLAIN = {
    *("InputLayer", "Conv2D", "DepthwiseConv2D", "BatchNormalization", "ZeroPadding2D", "GlobalAveragePooling2D"),
    *("Dropout", "Dense", "Reshape", "Flatten", "Functional", "Sequential", "Model"),
}
"""Layers that mean the same here. The network's shape is known by its weights."""
_ACTIVATIONS = {"ReLU", "LeakyReLU", "PReLU", "ELU", "ThresholdedReLU", "Softmax", "Activation"}
_OUTPUTS = {"softmax", "sigmoid"}

Arrays = dict[str, np.ndarray[Any, Any]]


def read_archive(path: Path) -> Contents:
    """What a `.keras` archive holds. Raises `PretrainedError`."""
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if "config.json" not in names or "model.weights.h5" not in names:
            raise PretrainedError("no archive of Keras: it lacks config.json or model.weights.h5")
        config = archive.read("config.json").decode()
        weights = io.BytesIO(archive.read("model.weights.h5"))
    return _contents(_arrays(weights)[0], config)


def read_hdf5(path: Path) -> Contents:
    """What an HDF5 file of Keras holds: weights, or a whole model with its description. Raises `PretrainedError`."""
    return _contents(*_arrays(path))


def _contents(arrays: Arrays, config: str | None) -> Contents:
    semantics, said = described(config) if config else (None, ())
    return Contents(arrays, semantics, said=said)


def _arrays(source: Path | io.BytesIO) -> tuple[Arrays, str | None]:
    """Arrays by `LAYER/VARIABLE`, behind the names of the models within models, and the description of the layers."""
    h5py = require("h5py", "pretrained")
    with h5py.File(source) as file:
        config = file.attrs.get("model_config")
        found: list[tuple[list[str], Any]] = []

        def visit(name: str, item: Any) -> None:
            if isinstance(item, h5py.Dataset):
                found.append((name.split("/"), item))

        root = file.get("model_weights", file)
        root.visititems(visit)
        arrays: Arrays = {}
        for parts, item in found:
            if parts[0].startswith("optimizer") or "seed_generator" in item.name:
                continue
            name = _numbered(root, parts) if parts[-2:-1] == ["vars"] else _named(root, parts)
            arrays[name] = item[()]
    return arrays, config.decode() if isinstance(config, bytes) else config


def _numbered(root: Any, parts: list[str]) -> str:
    """Keras 3: `layers/KIND_7/vars/0`, where the layer's name is an attribute of `vars`, that of a model too.

    Keras 2 and the first Keras 3 did not write the attribute: their layers are told by their kind and number.
    """
    names = []
    for number, part in enumerate(parts[:-2]):
        if part not in ("layers", "_layer_checkpoint_dependencies"):
            own = root["/".join(parts[: number + 1])].get("vars")
            name = own.attrs.get("name") if own is not None else None
            names.append(str(name) if name else _BY_NUMBER.get(part, part))
    variables = _NORM if names and names[-1].endswith("_bn") else _CONVOLUTION
    place = int(parts[-1]) if parts[-1].isdecimal() else len(variables)
    return "/".join([*names, variables[place] if place < len(variables) else parts[-1]])


def _by_number() -> dict[str, str]:
    names = [LAYOUTS["keras"].names(*place) for place in PLACES]
    kinds = {
        "conv2d": [name for name, _ in names if "dw" not in name] + [LAYOUTS["keras"].classifier],
        "depthwise_conv2d": [name for name, _ in names if "dw" in name],
        "batch_normalization": [norm for _, norm in names],
    }
    return {
        f"{kind}_{number}" if number else kind: name for kind, of in kinds.items() for number, name in enumerate(of)
    }


_BY_NUMBER = _by_number()
"""Names of MobileNet's layers by how Keras numbers those of a kind."""


def _named(root: Any, parts: list[str]) -> str:
    """Keras 2, and Keras 3 in its way: `LAYER/.../LAYER/VARIABLE:0`, or `MODEL/.../LAYER/VARIABLE:0`."""
    group = root[parts[0]]
    within = {path[-2] for path in _paths(group.attrs.get("weight_names", ())) if len(path) > 1}
    variable = parts[-1].partition(":")[0].removeprefix("depthwise_")
    # A group with weights of several layers is a model; TensorFlow may have numbered the name of a single one.
    return "/".join([parts[0], parts[-2], variable] if len(within) > 1 else [parts[0], variable])


def _paths(names: Any) -> Iterator[list[str]]:
    for name in names:
        yield (name.decode() if isinstance(name, bytes) else str(name)).split("/")


def described(config: str) -> tuple[Semantics, tuple[str, ...]]:
    """What weights mean by the description of the layers, and what the user should know of it.

    Raises `PretrainedError` for layers that MobileNetV1 has not, which would change its outputs.
    """
    try:
        layers = list(_layers(json.loads(config)))
    except (ValueError, AttributeError, TypeError):
        raise PretrainedError("its description of the layers is damaged") from None
    strange = sorted(
        {kind for kind, _ in layers if kind not in _PLAIN | _ACTIVATIONS and not kind.startswith("Random")}
    )
    if strange:
        raise PretrainedError(
            f"it has layers that MobileNetV1 has not: {listed(strange)}: save the network without them, and do "
            "their work on the images"
        )
    activations = [
        _activation(kind, one) for kind, one in layers if kind in _ACTIVATIONS or one.get("activation") is not None
    ]
    inner = {one for one in activations if one not in _OUTPUTS and one != "linear"}
    if len(inner) != 1 or not inner <= {"relu", "relu6"}:
        raise PretrainedError(
            f"other activations than MobileNetV1's: {listed(sorted(inner)) or 'none'}; relu and relu6 are known"
        )
    eps = {one["epsilon"] for kind, one in layers if kind == "BatchNormalization"}
    if len(eps) != 1:
        raise PretrainedError(f"BatchNormalization with several values of epsilon: {', '.join(map(str, sorted(eps)))}")
    strided = {one["padding"] for kind, one in layers if kind == "DepthwiseConv2D" and max(_pair(one["strides"])) > 1}
    paddings = {_pairs(one["padding"]) for kind, one in layers if kind == "ZeroPadding2D"}
    if strided == {"valid"} and paddings == {((0, 1), (0, 1))}:
        padding = KERAS.padding
    elif strided == {"same"} and not paddings:
        padding = "same"
    elif strided == {"valid"} and paddings == {((1, 1), (1, 1))}:
        padding = "symmetric"
    else:
        raise PretrainedError("its strided convolutions are padded in another way than those of MobileNetV1 in Keras")
    said = [f"its {one} is left out: outputs are logits" for one in sorted(set(activations) & _OUTPUTS)]
    stem = next((one for kind, one in layers if kind == "Conv2D" and max(_pair(one["strides"])) > 1), {})
    if padding == "keras" and stem.get("padding") == "valid":
        said.append(
            "its first convolution is padded at bottom and right only: outputs are the same for even sides alone"
        )
    return Semantics(padding, inner.pop(), eps.pop()), tuple(said)  # type: ignore[arg-type]  # just looked at


def _layers(config: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Kind and settings of every layer, those of models within models too."""
    inside = config.get("config", {})
    yield config["class_name"], inside if isinstance(inside, Mapping) else {}
    for layer in inside.get("layers", ()) if isinstance(inside, Mapping) else inside:
        yield from _layers(layer)


def _activation(kind: str, config: Mapping[str, Any]) -> str:
    if kind == "ReLU":
        bent = config.get("negative_slope") or config.get("threshold")
        top = config.get("max_value")
        return "relu6" if top == 6 and not bent else "relu" if top is None and not bent else f"{kind} up to {top}"
    found = config.get("activation") if kind not in _ACTIVATIONS or kind == "Activation" else kind.lower()
    if isinstance(found, Mapping):  # a function that was registered with Keras
        found = found.get("config", {})
        found = found if isinstance(found, str) else found.get("name", found)
    return str(found)


def _pair(value: Any) -> tuple[int, ...]:
    return tuple(value) if isinstance(value, list | tuple) else (int(value),)


def _pairs(value: Any) -> tuple[tuple[int, ...], ...]:
    return tuple(_pair(one) for one in value) if isinstance(value, list | tuple) else (_pair(value),)
