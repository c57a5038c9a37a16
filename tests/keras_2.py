"""Files as Keras 2 wrote them, from the arrays of a MobileNet: no package of today writes them.

Groups, attributes and their order are those of files that `keras.applications.MobileNet` of Keras 2.15 left: `save`
and `save_weights` to `.h5`, and the `.keras` archive, whose layers are numbered and have no names.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections import Counter
from pathlib import Path

import h5py
import numpy as np

VERSION = "2.15.0"
STRIDED = (2, 4, 6, 12)


def layers(classes: int | None, activation: str | None = "softmax") -> list[tuple[str, dict]]:
    """Kind and settings of MobileNet's layers in their order, without the classifier where there are no classes."""

    def convolved(kind: str, name: str, padding: str = "same", stride: int = 1) -> list[tuple[str, dict]]:
        return [
            (kind, {"name": name, "padding": padding, "strides": [stride, stride], "activation": "linear"}),
            ("BatchNormalization", {"name": f"{name}_bn", "axis": [3], "momentum": 0.99, "epsilon": 0.001}),
            ("ReLU", {"name": f"{name}_relu", "max_value": 6.0, "negative_slope": 0.0, "threshold": 0.0}),
        ]

    made = [("InputLayer", {"name": "input_1"}), *convolved("Conv2D", "conv1", stride=2)]
    for block in range(1, 14):
        if block in STRIDED:
            made.append(("ZeroPadding2D", {"name": f"conv_pad_{block}", "padding": [[0, 1], [0, 1]]}))
        padding, stride = ("valid", 2) if block in STRIDED else ("same", 1)
        made += convolved("DepthwiseConv2D", f"conv_dw_{block}", padding, stride)
        made += convolved("Conv2D", f"conv_pw_{block}")
    made.append(("GlobalAveragePooling2D", {"name": "global_average_pooling2d"}))
    if classes:
        head = {"name": "conv_preds", "padding": "same", "strides": [1, 1], "activation": "linear"}
        made += [("Dropout", {"name": "dropout", "rate": 0.001}), ("Conv2D", head), ("Reshape", {"name": "reshape_2"})]
        made.append(("Activation", {"name": "predictions", "activation": activation}))
    return made


def config_of(found: list[tuple[str, dict]]) -> dict:
    inside = [{"class_name": kind, "config": config, "name": config["name"]} for kind, config in found]
    return {"class_name": "Functional", "config": {"name": "mobilenet", "layers": inside}}


def variables_of(arrays: dict[str, np.ndarray], layer: str) -> list[tuple[str, np.ndarray]]:
    """A layer's weights by the names that Keras 2 gives them, in its order."""
    order = ("kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance")
    return [
        (f"depthwise_{leaf}" if layer.startswith("conv_dw") and leaf == "kernel" else leaf, arrays[f"{layer}/{leaf}"])
        for leaf in order
        if f"{layer}/{leaf}" in arrays
    ]


def write_hdf5(path: Path, arrays: dict[str, np.ndarray], *, whole: bool, **described) -> None:
    """`model.save(path)` when whole, with an optimizer's state, or `model.save_weights(path)`."""
    found = layers(len(arrays["conv_preds/bias"]) if "conv_preds/bias" in arrays else None, **described)
    with h5py.File(path, "w") as file:
        root = file.create_group("model_weights") if whole else file
        _group(root, {config["name"]: variables_of(arrays, config["name"]) for _, config in found})
        if whole:
            file.attrs["backend"], file.attrs["keras_version"] = "tensorflow", VERSION
            file.attrs["model_config"] = json.dumps(config_of(found))
            file.attrs["training_config"] = json.dumps({"loss": "categorical_crossentropy"})
            state = file.create_group("optimizer_weights")
            state["iteration:0"] = np.int64(1)
            state["Adam/m/conv1/kernel:0"] = np.zeros_like(arrays["conv1/kernel"])


def write_nested(path: Path, arrays: dict[str, np.ndarray], kernel: np.ndarray, bias: np.ndarray) -> None:
    """`save_weights` of `Sequential([MobileNet(include_top=False, pooling="avg"), Dropout(0.1), Dense(classes)])`."""
    names = [config["name"] for _, config in layers(None)]
    inner = [(f"{name}/{leaf}", array) for name in names for leaf, array in variables_of(arrays, name)]
    inner.sort(key=lambda one: "moving" in one[0])  # what is trained comes first
    with h5py.File(path, "w") as file:
        _group(file, {"mobilenet_0.06_64": inner, "dropout": [], "dense": [("kernel", kernel), ("bias", bias)]})


def _group(root: h5py.Group, layers: dict[str, list[tuple[str, np.ndarray]]]) -> None:
    root.attrs["layer_names"] = list(layers)
    root.attrs["backend"], root.attrs["keras_version"] = "tensorflow", VERSION
    for layer, variables in layers.items():
        group = root.create_group(layer)
        names = [f"{name}:0" if "/" in name else f"{layer}/{name}:0" for name, _ in variables]
        group.attrs["weight_names"] = names or np.array([])
        for name, (_, array) in zip(names, variables, strict=True):
            group[name] = array
    root.create_group("top_level_model_weights").attrs["weight_names"] = np.array([])


def write_archive(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """`model.save(path)` to a `.keras` archive: layers by kind and number."""
    found = layers(len(arrays["conv_preds/bias"]))
    numbers: Counter[str] = Counter()
    weights = io.BytesIO()
    with h5py.File(weights, "w") as file:
        for kind, config in found:
            group = re.sub(r"([a-z])([A-Z])", r"\1_\2", re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", kind)).lower()
            number = numbers[group]
            numbers[group] += 1
            inside = file.create_group(f"layers/{group}_{number}/vars" if number else f"layers/{group}/vars")
            for place, (_, array) in enumerate(variables_of(arrays, config["name"])):
                inside[str(place)] = array
        file.create_group("vars")
        file.create_group("optimizer/vars")["0"] = np.int64(1)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": VERSION}))
        archive.writestr("config.json", json.dumps(config_of(found)))
        archive.writestr("model.weights.h5", weights.getvalue())
