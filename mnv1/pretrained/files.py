"""Weights in files: safetensors, torch's own (read without running code in it), and Keras's HDF5 or numpy archives."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mnv1.extras import require
from mnv1.pretrained.errors import PretrainedError
from mnv1.pretrained.layouts import Arrays

Contents = tuple[Arrays, dict[str, str]]
"""Weights by their names, and what the file says of them."""

WRAPPERS = ("state_dict", "model_state_dict", "model", "state_dict_ema")
"""Training scripts put the weights under one of these names."""

_CONVOLUTION, _NORM = ("kernel", "bias"), ("gamma", "beta", "moving_mean", "moving_variance")


def read(path: Path) -> Contents:
    """The weights of a file. Raises `PretrainedError` when it cannot be read or holds something else."""
    if path.is_dir():
        raise PretrainedError(f"{path}: a folder, not a file of weights")
    reader = _READERS.get(path.suffix, _torch)
    try:
        arrays, notes = reader(path)
    except PretrainedError:
        raise
    except pickle.UnpicklingError as error:
        if "GLOBAL" in str(error):  # torch names the first thing in the file that is no plain data
            why = "it holds more than weights, and code in a file is not run; save a state_dict"
            raise PretrainedError(f"{path}: {why}") from None
        raise PretrainedError(f"{path}: damaged, or no file of weights") from None
    except (OSError, ValueError, RuntimeError, EOFError, KeyError, zipfile.BadZipFile) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise PretrainedError(f"{path}: damaged, or no file of weights ({first})") from None
    if not arrays:
        raise PretrainedError(f"{path}: it holds no weights")
    return arrays, notes


def _safetensors(path: Path) -> Contents:
    safetensors = require("safetensors", "pretrained")
    try:
        with safetensors.safe_open(str(path), framework="pt", device="cpu") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except safetensors.SafetensorError as error:
        raise PretrainedError(f"{path}: damaged, or no file of weights ({error})") from None


def _torch(path: Path) -> Contents:
    found: Any = torch.load(path, map_location="cpu", weights_only=True)
    for name in WRAPPERS:
        if isinstance(found, dict) and isinstance(found.get(name), dict):
            found = found[name]
    if not isinstance(found, dict):
        raise PretrainedError(f"{path}: it holds a {type(found).__name__}, not a state_dict")
    return {str(name): value for name, value in found.items() if isinstance(value, torch.Tensor)}, {}


def _numpy(path: Path) -> Contents:
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}, {}


def _keras(path: Path) -> Contents:
    """Keras 3's `.weights.h5`, whose variables are numbered by layer, or the `.h5` of Keras 2, where they are named."""
    h5py = require("h5py", "pretrained")
    arrays: dict[str, np.ndarray[Any, Any]] = {}

    def visit(name: str, item: Any) -> None:
        if not isinstance(item, h5py.Dataset):
            return
        variable = name.rsplit("/", 1)[1].partition(":")[0]
        layer = str(item.parent.attrs.get("name", name.split("/")[0]))
        if variable.isdecimal():
            variable = (_NORM if layer.endswith("_bn") else _CONVOLUTION)[int(variable)]
        arrays[f"{layer}/{variable.removeprefix('depthwise_')}"] = item[()]

    with h5py.File(path) as file:
        file.visititems(visit)
    return arrays, {}


_READERS: dict[str, Callable[[Path], Contents]] = {
    ".safetensors": _safetensors,
    ".npz": _numpy,
    ".h5": _keras,
    ".hdf5": _keras,
}
ENDINGS = (*_READERS, ".pt", ".pth", ".bin", ".ckpt", ".pkl")
"""Endings by which a text is taken for the path of a file."""
