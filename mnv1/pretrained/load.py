"""From weights of any known layout to a network, or to one line that says what does not fit."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from mnv1.architecture import ROWS, SHALLOW_ROWS
from mnv1.blocks import conv_dw, conv_standard
from mnv1.model import MobileNetV1
from mnv1.pretrained import hub
from mnv1.pretrained.errors import PretrainedError
from mnv1.pretrained.files import ENDINGS, read
from mnv1.pretrained.layouts import Arrays, Layout, recognise
from mnv1.semantics import Semantics

SEMANTICS_NOTE = "mnv1.semantics"
"""Under this name a safetensors file of this project tells what its weights mean."""

SHOWN = 3
"""So many keys of a kind are named in a message."""


def load(path_or_name: str | Path, semantics: Semantics | None = None, drop_background: bool = False) -> MobileNetV1:
    """A network in evaluation mode from a file, or from the hub where there is no such file.

    `semantics` are those that the file notes or its layout implies, unless given. `drop_background` leaves class 0 out
    of a classifier of 1001 classes, as TensorFlow's checkpoints have it. Raises `PretrainedError`, and
    `mnv1.extras.MissingPackageError` when a package that reads the file is missing.
    """
    path = Path(path_or_name).expanduser()
    if not path.exists():
        if isinstance(path_or_name, Path) or _looks_like_a_path(path_or_name):
            raise PretrainedError(f"{path_or_name}: no such file")
        path = hub.download(str(path_or_name))
    arrays, notes = read(path)
    try:
        return from_state(arrays, semantics or _noted(notes), drop_background)
    except PretrainedError as error:
        raise PretrainedError(f"{path_or_name}: {error}") from None


def from_state(arrays: Arrays, semantics: Semantics | None = None, drop_background: bool = False) -> MobileNetV1:
    """A network in evaluation mode from weights of any known layout, recognised by their keys.

    Width and number of classes are those of the weights. Raises `PretrainedError` that names what is missing, not
    expected, or of another shape.
    """
    layout = recognise(arrays)
    classifier = layout.keys["classifier.weight"]
    if classifier not in arrays:
        raise PretrainedError(_complaint(layout, [classifier], [], []))
    weight = layout.to_own("classifier.weight", arrays[classifier])
    if weight.dim() != 2 or 0 in weight.shape:
        raise PretrainedError(_complaint(layout, [], [], [f"{classifier} is {_shape(arrays[classifier])}"]))
    classes, channels = weight.shape
    # The width rule rounds down, so that the last width gives back all the others.
    model = _variant(layout, arrays, classes, channels / ROWS[-1][0], semantics or layout.semantics)
    own = model.state_dict()
    names = {key: key for key in own} if layout.name == "mnv1" else layout.keys
    known = {key: theirs for key, theirs in names.items() if theirs in arrays}
    # How many batches BatchNorm has seen does not matter to what it computes.
    missing = [names[key] for key in names if key not in known and not key.endswith("num_batches_tracked")]
    unexpected = [key for key in arrays if key not in names.values()]
    state = {key: layout.to_own(key, arrays[theirs]) for key, theirs in known.items()}
    shapes = [
        f"{names[key]} is {_shape(arrays[names[key]])} where alpha {channels / ROWS[-1][0]:g} has "
        f"{_shape(layout.from_own(key, own[key]))}"
        for key, value in state.items()
        if value.shape != own[key].shape
    ]
    if missing or unexpected or shapes:
        raise PretrainedError(_complaint(layout, missing, unexpected, shapes))
    model.load_state_dict(own | state)
    if drop_background:
        _drop_background(model)
    return model.eval()


def notes_of(model: MobileNetV1) -> dict[str, str]:
    """What a safetensors file should say beside a network's weights, so that it is loaded as what it was."""
    return {"format": "pt", SEMANTICS_NOTE: json.dumps(asdict(model.semantics))}


def _noted(notes: Mapping[str, str]) -> Semantics | None:
    try:
        return Semantics(**json.loads(notes[SEMANTICS_NOTE])) if SEMANTICS_NOTE in notes else None
    except (ValueError, TypeError):
        raise PretrainedError(f"its note {SEMANTICS_NOTE} is damaged: {notes[SEMANTICS_NOTE]}") from None


def _looks_like_a_path(text: str | Path) -> bool:
    return Path(text).suffix in ENDINGS or str(text).startswith(("/", "./", "../", "~")) or str(text).count("/") > 1


def _variant(layout: Layout, arrays: Arrays, classes: int, alpha: float, semantics: Semantics) -> MobileNetV1:
    """The network of these weights: this project's own may be the shallow one or the standard-convolution twin too."""
    if layout.name != "mnv1":
        return MobileNetV1(classes, alpha, semantics=semantics)
    stages = {key.split(".")[1] for key in arrays if key.startswith("features.")}
    block = conv_dw if "features.1.3.weight" in arrays else conv_standard
    return MobileNetV1(classes, alpha, block, shallow=len(stages) == len(SHALLOW_ROWS) + 1, semantics=semantics)


def _drop_background(model: MobileNetV1) -> None:
    classes = model.classifier.out_features
    if classes != 1001:
        raise PretrainedError(f"it has {classes} classes; only one with 1001 has a background class to drop")
    smaller = torch.nn.Linear(model.classifier.in_features, classes - 1)
    smaller.load_state_dict({name: value[1:] for name, value in model.classifier.state_dict().items()})
    model.classifier = smaller


def _complaint(layout: Layout, missing: Sequence[str], unexpected: Sequence[str], shapes: Sequence[str]) -> str:
    named = {"missing": missing, "unexpected": unexpected, "of another shape": shapes}
    return f"does not fit MobileNetV1 as {layout.name} has it: " + "; ".join(
        f"{what}: {_listed(keys)}" for what, keys in named.items() if keys
    )


def _listed(keys: Sequence[str]) -> str:
    more = f" and {len(keys) - SHOWN} more" if len(keys) > SHOWN else ""
    return ", ".join(keys[:SHOWN]) + more


def _shape(value: Any) -> str:
    return "x".join(map(str, value.shape)) or "a number"
