"""How each implementation names and orders the weights of MobileNetV1, and maps between them in both directions.

Keys and semantics are those of timm 1.0 (`mobilenetv1_*`), transformers 5 (`MobileNetV1ForImageClassification`) and
Keras 3 (`keras.applications.MobileNet`), whose arrays are named `LAYER/VARIABLE`, such as `conv_dw_1_bn/gamma`. The
article's are those of an `nn.Sequential` called `model` and a linear layer `fc`; many PyTorch checkpoints have them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import accumulate
from typing import Any, Literal

import numpy as np
import torch

from mnv1.net.architecture import ROWS
from mnv1.net.errors import PretrainedError
from mnv1.net.model import MobileNetV1
from mnv1.net.semantics import KERAS, PAPER, TENSORFLOW, TIMM, Semantics

Half = Literal["stem", "depthwise", "pointwise"]
State = Mapping[str, torch.Tensor]
Arrays = Mapping[str, torch.Tensor | np.ndarray[Any, Any]]
Names = Callable[[int, Half], tuple[str, str]]
"""Names of a convolution and of its BatchNorm, by block (the stem is block 0) and half."""

PLACES: tuple[tuple[int, Half], ...] = (
    (0, "stem"),
    *((block, half) for block in range(1, len(ROWS) + 1) for half in ("depthwise", "pointwise")),
)
"""The network's convolutions in their order."""

# timm begins a stage with each stride of 2.
_STAGES = list(accumulate((int(stride == 2) for _, stride in ROWS)))
_TIMM_PLACES = [(stage, number - _STAGES.index(stage)) for number, stage in enumerate(_STAGES)]

_TORCH_CONV = {"weight": ".weight"}
_TORCH_NORM = {name: f".{name}" for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")}
_TORCH_LINEAR = {"weight": ".weight", "bias": ".bias"}
_KERAS_CONV = {"weight": "/kernel"}
_KERAS_NORM = {
    "weight": "/gamma",
    "bias": "/beta",
    "running_mean": "/moving_mean",
    "running_var": "/moving_variance",
}
_KERAS_LINEAR = {"weight": "/kernel", "bias": "/bias"}


def _own(block: int, half: Half) -> tuple[str, str]:
    first = 3 if half == "pointwise" else 0
    return f"features.{block}.{first}", f"features.{block}.{first + 1}"


def _article(block: int, half: Half) -> tuple[str, str]:
    convolution, norm = _own(block, half)
    return convolution.replace("features", "model"), norm.replace("features", "model")


def _timm(block: int, half: Half) -> tuple[str, str]:
    if half == "stem":
        return "conv_stem", "bn1"
    stage, number = _TIMM_PLACES[block - 1]
    convolution, norm = ("conv_dw", "bn1") if half == "depthwise" else ("conv_pw", "bn2")
    return f"blocks.{stage}.{number}.{convolution}", f"blocks.{stage}.{number}.{norm}"


def _transformers(block: int, half: Half) -> tuple[str, str]:
    place = "conv_stem" if half == "stem" else f"layer.{2 * (block - 1) + (half == 'pointwise')}"
    return f"mobilenet_v1.{place}.convolution", f"mobilenet_v1.{place}.normalization"


def _keras(block: int, half: Half) -> tuple[str, str]:
    name = "conv1" if half == "stem" else f"conv_{'dw' if half == 'depthwise' else 'pw'}_{block}"
    return name, f"{name}_bn"


@dataclass(frozen=True)
class Layout:
    """An implementation's names, the order of its weights' axes, and what its weights mean."""

    name: str
    semantics: Semantics
    names: Names
    classifier: str
    leaves: tuple[Mapping[str, str], ...] = field(default=(_TORCH_CONV, _TORCH_NORM, _TORCH_LINEAR))
    """What follows the name of a convolution, of a BatchNorm and of the classifier, by torch's name of the variable."""
    is_channels_last: bool = False
    """Whether kernels are height x width x in x out, depthwise ones height x width x channels x 1."""
    root: str = ""
    """What the names of convolutions and BatchNorms begin with; what is saved without the classifier may lack it."""

    @property
    def bare(self) -> Layout:
        """The same layout without its root."""

        def names(block: int, half: Half) -> tuple[str, str]:
            convolution, norm = self.names(block, half)
            return convolution.removeprefix(self.root), norm.removeprefix(self.root)

        return replace(self, names=names, root="")

    @cached_property
    def keys(self) -> dict[str, str]:
        """This layout's key by the key of `MobileNetV1`."""
        parts = [
            pair for place in PLACES for pair in zip(_own(*place), self.names(*place), self.leaves[:2], strict=True)
        ]
        parts.append(("classifier", self.classifier, self.leaves[2]))
        return {f"{own}.{leaf}": theirs + after for own, theirs, leaves in parts for leaf, after in leaves.items()}

    def to_own(self, key: str, value: torch.Tensor | np.ndarray[Any, Any]) -> torch.Tensor:
        """A weight as `MobileNetV1` has it under this key."""
        tensor = torch.as_tensor(np.array(value)) if isinstance(value, np.ndarray) else value
        if not self.is_channels_last:
            return tensor
        if key == "classifier.weight" and tensor.dim() in (2, 4):  # a dense layer, or a convolution of 1 x 1
            return tensor.reshape(tensor.shape[-2:]).T.contiguous() if tensor.shape[:-2].numel() == 1 else tensor
        if tensor.dim() != 4:
            return tensor
        return (
            tensor.permute(2, 3, 0, 1).contiguous() if _is_depthwise(key) else tensor.permute(3, 2, 0, 1).contiguous()
        )

    def from_own(self, key: str, tensor: torch.Tensor) -> torch.Tensor | np.ndarray[Any, Any]:
        """A weight of `MobileNetV1` as this layout has it: numpy arrays for Keras, copies for all."""
        tensor = tensor.detach().cpu().clone()
        if not self.is_channels_last:
            return tensor
        if key == "classifier.weight":
            tensor = tensor.T[None, None]
        elif tensor.dim() == 4:
            tensor = tensor.permute(2, 3, 0, 1) if _is_depthwise(key) else tensor.permute(2, 3, 1, 0)
        array: np.ndarray[Any, Any] = tensor.contiguous().numpy()
        return array


def _is_depthwise(key: str) -> bool:
    """Whether a key of `MobileNetV1` is that of a depthwise kernel."""
    return key.endswith(".0.weight") and key != "features.0.0.weight"


LAYOUTS = {
    layout.name: layout
    for layout in (
        Layout("mnv1", PAPER, _own, "classifier", root="features."),
        Layout("article", PAPER, _article, "fc", root="model."),
        Layout("timm", TIMM, _timm, "classifier"),
        Layout("transformers", TENSORFLOW, _transformers, "classifier", root="mobilenet_v1."),
        Layout("keras", KERAS, _keras, "conv_preds", (_KERAS_CONV, _KERAS_NORM, _KERAS_LINEAR), True),
    )
}
"""Every known layout by its name."""


def to_state(model: MobileNetV1, layout: str) -> dict[str, Any]:
    """The weights of a network under the names of a layout: tensors, or numpy arrays for Keras.

    They mean the same there only where the network has that layout's semantics. A feature extractor has no classifier
    there either. Raises `PretrainedError` for an unknown layout, for other semantics, and for the shallow network or
    the standard-convolution twin, which nobody else has.
    """
    if layout not in LAYOUTS:
        raise PretrainedError(f"unknown layout {layout!r}: choose one of {', '.join(LAYOUTS)}")
    chosen, own = LAYOUTS[layout], model.state_dict()
    if layout != "mnv1" and model.semantics != chosen.semantics:
        raise PretrainedError(f"a network with {model.semantics} gives other outputs in {layout}: {chosen.semantics}")
    if layout != "mnv1" and set(own) | {"classifier.weight", "classifier.bias"} != set(LAYOUTS["mnv1"].keys):
        raise PretrainedError(f"only the separable network of {len(ROWS)} blocks has a counterpart in {layout}")
    names = chosen.keys if layout != "mnv1" else {key: key for key in own}
    return {theirs: chosen.from_own(key, own[key]) for key, theirs in names.items() if key in own}


def keras_arrays(model: Any) -> dict[str, np.ndarray[Any, Any]]:
    """Weights of a Keras model as arrays by `LAYER/VARIABLE`."""
    return {
        f"{layer.name}/{variable.name}": np.array(value)
        for layer in model.layers
        for variable, value in zip(layer.weights, layer.get_weights(), strict=True)
    }


def set_keras_arrays(model: Any, arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
    """Give a Keras model weights by `LAYER/VARIABLE`. Raises `KeyError` for one that is missing."""
    for layer in model.layers:
        if layer.weights:
            layer.set_weights([arrays[f"{layer.name}/{variable.name}"] for variable in layer.weights])
