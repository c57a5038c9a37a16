"""Weights in files: safetensors, torch's own (read without running code in it), and Keras's HDF5 or numpy archives."""

from __future__ import annotations

import pickle
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mnv1.base.packages import require
from mnv1.net.errors import PretrainedError
from mnv1.net.weights.contents import Contents, from_note, semantics_of
from mnv1.net.weights.keras_files import read_archive, read_hdf5
from mnv1.net.weights.pickled import LEFT, complaint

_OTHERS = {
    ".onnx": "an ONNX graph, whose weights have lost their names",
    ".tflite": "a TensorFlow Lite graph, whose weights have lost their names",
    ".pb": "a TensorFlow graph",
    ".index": "a TensorFlow checkpoint",
    ".meta": "a TensorFlow checkpoint",
    ".data-00000-of-00001": "a TensorFlow checkpoint",
}
_OTHERS_ADVICE = "load it with the package that wrote it, and save a state dict, safetensors or Keras's .h5"


def read(path: Path) -> Contents:
    """What a file holds. Raises `PretrainedError` when it cannot be read or holds something else."""
    if path.suffix in _OTHERS:
        raise PretrainedError(f"{path}: {_OTHERS[path.suffix]}: {_OTHERS_ADVICE}")
    reader = _READERS.get(path.suffix, _torch)
    try:
        return reader(path)
    except PretrainedError as error:
        raise PretrainedError(f"{path}: {error}") from None
    except (OSError, ValueError, RuntimeError, EOFError, KeyError, zipfile.BadZipFile) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise PretrainedError(f"{path}: damaged, or no file of weights ({first})") from None


def _safetensors(path: Path) -> Contents:
    safetensors = require("safetensors", "pretrained")
    try:
        with safetensors.safe_open(str(path), framework="pt", device="cpu") as file:
            tree = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return Contents(tree, from_note(file.metadata() or {}))
    except safetensors.SafetensorError as error:
        raise PretrainedError(f"damaged, or no file of weights ({error})") from None


def _torch(path: Path) -> Contents:
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(LEFT):
            warnings.simplefilter("ignore")  # what torch warns of is refused below
            found: Any = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # torch, pickle and zip raise whatever they like for a damaged file
        said = "" if isinstance(error, pickle.UnpicklingError) else f" ({(str(error).splitlines() or [''])[0]})"
        line = complaint(path)
        raise PretrainedError(line + said if line.startswith("damaged") else line) from None
    if not isinstance(found, Mapping):
        raise PretrainedError(f"it holds a {type(found).__name__}, not a state_dict")
    recipe = found.get("recipe")  # of a checkpoint of scripts/train.py
    values = recipe.get("semantics") if isinstance(recipe, Mapping) else None
    labels = found.get("classes") if recipe is not None else None
    return Contents(
        found,
        semantics_of(values, "recipe") if isinstance(values, Mapping) else None,
        tuple(map(str, labels)) if isinstance(labels, list) else None,
    )


def _numpy(path: Path) -> Contents:
    with np.load(path, allow_pickle=False) as archive:
        return Contents({name: archive[name] for name in archive.files})


_READERS: dict[str, Callable[[Path], Contents]] = {
    ".safetensors": _safetensors,
    ".npz": _numpy,
    ".h5": read_hdf5,
    ".hdf5": read_hdf5,
    ".keras": read_archive,
}
ENDINGS = (*_READERS, *_OTHERS, ".pt", ".pth", ".bin", ".ckpt", ".pkl", ".tar")
"""Endings by which a text is taken for the path of a file."""
