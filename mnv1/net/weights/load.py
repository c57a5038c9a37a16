"""From weights of any known layout to a network, or to one line that says what does not fit."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch

from mnv1.net.errors import PretrainedError
from mnv1.net.model import MobileNetV1, initialise
from mnv1.net.semantics import Semantics
from mnv1.net.weights import hub
from mnv1.net.weights.contents import Contents, as_note
from mnv1.net.weights.files import ENDINGS
from mnv1.net.weights.find import find
from mnv1.net.weights.folders import read_path

_LOGGER = logging.getLogger("mnv1.pretrained")


@dataclass(frozen=True)
class Loaded:
    """What became of weights: `model.loaded` of a network that was loaded.

    `entry` is the dotted name under which the file held them, and `prefix` what stood before each name; both may be
    empty. `labels` are the classes' names where the file tells them and the classifier is kept.
    """

    layout: str
    entry: str
    prefix: str
    classifier: Literal["kept", "new", "none"]
    labels: tuple[str, ...] | None
    said: tuple[str, ...]
    """What the user should know, a line each; `load` logs them as warnings of the logger `mnv1.net.weights`."""


def load(
    path_or_name: str | Path,
    semantics: Semantics | None = None,
    drop_background: bool = False,
    *,
    num_classes: int | None = None,
    key: str | None = None,
) -> MobileNetV1:
    """A network in evaluation mode from a file or a folder, or from the hub where there is neither.

    `semantics` are those that the file tells or its layout implies, unless given. `drop_background` leaves class 0 out
    of a classifier of 1001 classes, as TensorFlow's checkpoints have it. A classifier of another number of classes
    than `num_classes` is replaced by an untrained one; 0 leaves a feature extractor, which is also what a network
    without a classifier becomes when `num_classes` is not given. `key` is the dotted name of the weights where a file
    holds several. `model.loaded` tells what was done. Raises `PretrainedError`, and
    `mnv1.base.packages.MissingPackageError` when a package that reads the file is missing.
    """
    model = load_silently(path_or_name, semantics, drop_background, num_classes=num_classes, key=key)
    assert model.loaded is not None
    for line in model.loaded.said:
        _LOGGER.warning("%s: %s", path_or_name, line)
    return model


def load_silently(
    path_or_name: str | Path,
    semantics: Semantics | None = None,
    drop_background: bool = False,
    *,
    num_classes: int | None = None,
    key: str | None = None,
) -> MobileNetV1:
    """`load`, for callers that say themselves what was done."""
    path = Path(path_or_name).expanduser()
    if not path.exists():
        if isinstance(path_or_name, Path) or _looks_like_a_path(path_or_name):
            raise PretrainedError(f"{path_or_name}: no such file")
        path = hub.download(str(path_or_name))
    contents = read_path(path)
    try:
        return _made(contents, semantics, drop_background, num_classes, key)
    except PretrainedError as error:
        raise PretrainedError(f"{path_or_name}: {error}") from None


def from_state(
    arrays: Mapping[str, Any],
    semantics: Semantics | None = None,
    drop_background: bool = False,
    *,
    num_classes: int | None = None,
    key: str | None = None,
) -> MobileNetV1:
    """A network in evaluation mode from weights of any known layout, recognised by their names.

    `arrays` may be a whole checkpoint with a state dict in it. Width and number of classes are those of the weights;
    the rest is as for `load`, but nothing is logged. Raises `PretrainedError` that names what is missing, not expected,
    or of another shape.
    """
    return _made(Contents(arrays), semantics, drop_background, num_classes, key)


def notes_of(model: MobileNetV1) -> dict[str, str]:
    """What a safetensors file should say beside a network's weights, so that it is loaded as what it was."""
    return as_note(model.semantics)


def _made(
    contents: Contents, semantics: Semantics | None, drop_background: bool, num_classes: int | None, key: str | None
) -> MobileNetV1:
    if num_classes is not None and num_classes < 0:
        raise PretrainedError(f"num_classes must be 0 (a feature extractor) or more, got {num_classes}")
    network = find(contents.tree, key)
    said = list(contents.said)
    state = {name: _as_float(name, value) for name, value in network.own.items()}
    kinds = sorted({str(value.dtype).removeprefix("torch.") for value in network.own.values() if _is_other(value)})
    if kinds:
        said.append(f"its weights are {' and '.join(kinds)}, and are loaded as float32")
    if network.only_prefixed:
        said.append(f"only {network.label} is loaded")
    model = MobileNetV1(
        network.classes or 1,
        1,
        network.block,
        widths=network.widths,
        semantics=semantics or contents.semantics or network.layout.semantics,
    )
    if network.classes is None:
        _leave_features(model)
    model.load_state_dict(model.state_dict() | state)
    labels = contents.labels
    if labels is not None and network.classes not in (None, len(labels)):
        raise PretrainedError(f"its classifier has {network.classes} classes, where {len(labels)} are named")
    if drop_background:
        _drop_background(model)
        labels = labels and labels[1:]
    classifier: Literal["kept", "none"] = "kept" if network.classes else "none"
    model.loaded = Loaded(network.layout.name, network.entry, network.prefix, classifier, labels, tuple(said))
    return with_classes(model, num_classes).eval()


def _is_other(value: torch.Tensor) -> bool:
    return value.is_floating_point() and value.dtype != torch.float32


def _as_float(name: str, value: torch.Tensor) -> torch.Tensor:
    if value.is_floating_point():
        return value.float()
    if name.endswith("num_batches_tracked"):
        return value
    raise PretrainedError(f"its weights are {str(value.dtype).removeprefix('torch.')}: quantized ones cannot be loaded")


def with_classes(model: MobileNetV1, wanted: int | None, is_new: bool = False) -> MobileNetV1:
    """A loaded network with the classifier that is wanted, which `loaded` then tells.

    One of the same number of classes is kept, unless `is_new` says that these are others.
    """
    channels, had = model.widths[-1], getattr(model.classifier, "out_features", None)
    before = "it has no classifier" if had is None else f"its classifier of {had} classes is left out"
    if wanted is None and had is None:
        features = f"a feature extractor of {channels} channels; num_classes= gives it a new classifier"
        return _told(model, "none", f"{before}: {features}")
    if wanted is None or (wanted == had and not is_new):
        return model
    if wanted == 0:
        _leave_features(model)
        return _told(model, "none", f"{before}: a feature extractor of {channels} channels")
    model.classifier = torch.nn.Linear(channels, wanted)
    initialise(model.classifier)
    return _told(model, "new", f"{before}: a new, untrained one of {wanted} classes; all other weights are loaded")


def _told(model: MobileNetV1, classifier: Literal["new", "none"], line: str) -> MobileNetV1:
    assert model.loaded is not None
    said = (*model.loaded.said, line)
    model.loaded = replace(model.loaded, classifier=classifier, labels=None, said=said)
    return model


def _leave_features(model: MobileNetV1) -> None:
    model.classifier = torch.nn.Identity()  # type: ignore[assignment]  # a network with a classifier is the rule


def _drop_background(model: MobileNetV1) -> None:
    classes = getattr(model.classifier, "out_features", 0)
    if classes != 1001:
        raise PretrainedError(f"it has {classes} classes; only one with 1001 has a background class to drop")
    smaller = torch.nn.Linear(model.widths[-1], classes - 1)
    smaller.load_state_dict({name: value[1:] for name, value in model.classifier.state_dict().items()})
    model.classifier = smaller


def _looks_like_a_path(text: str | Path) -> bool:
    return Path(text).suffix in ENDINGS or str(text).startswith(("/", "./", "../", "~")) or str(text).count("/") > 1
