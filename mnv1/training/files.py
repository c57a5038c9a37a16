"""What a run leaves on disk, written so that a kill at any moment loses none of it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from mnv1.base.files import write_whole
from mnv1.training.layout import CHECKPOINT, FACTS, LOG, SCHEMA
from mnv1.training.recipe import TrainError


def write_atomically(path: Path, write: Callable[[Any], object]) -> None:
    """Write a file that appears as a whole or not at all. Raises `TrainError`."""
    try:
        write_whole(path, write)
    except (OSError, RuntimeError) as error:  # torch.save raises RuntimeError on a full disk
        raise TrainError(f"{path}: cannot be written: {str(error).splitlines()[0]}") from None


def save_checkpoint(path: Path, content: Mapping[str, Any]) -> None:
    """Keep a checkpoint; the one before is replaced only by a whole one. Raises `TrainError`."""
    write_atomically(path, lambda file: torch.save({"schema": SCHEMA, **content}, file))


def load_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint's content: tensors and plain values alone. Raises `TrainError` when it is missing or damaged."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise TrainError(f"{path}: no such checkpoint") from None
    except IsADirectoryError:
        return load_checkpoint(path / CHECKPOINT)
    except Exception as error:  # torch, pickle and zip raise whatever they like for a damaged file
        raise TrainError(f"{path}: damaged, or no checkpoint ({type(error).__name__}); restore or delete it") from None
    if not isinstance(content, dict) or not {"schema", "recipe", "classes", "model"} <= set(content):
        raise TrainError(f"{path}: no checkpoint of scripts/train.py")
    if content["schema"] != SCHEMA:
        raise TrainError(f"{path}: layout {content['schema']!r}, this version reads {SCHEMA}")
    return content


def save_facts(folder: Path, facts: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> None:
    """Keep what is known of a run: as JSON, and its epochs as CSV too. Raises `TrainError`."""
    document = json.dumps({"schema": SCHEMA, **facts, "epochs": list(rows)}, indent=1, allow_nan=False) + "\n"
    write_atomically(folder / FACTS, lambda file: file.write(document.encode()))
    text = io.StringIO()
    if rows:
        table = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    write_atomically(folder / LOG, lambda file: file.write(text.getvalue().encode()))
