"""Files that appear as a whole or not at all, also when the process is killed while it writes. Needs no torch."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import IO

CHECKPOINT = "last.pt"
"""The file of a training run that holds its weights; a folder with one is a source of weights."""


def write_whole(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write a file under another name, see it on disk, and only then give it its name; its folder is made.

    Removes what a process that was killed while it wrote has left. Raises `OSError`, and whatever `write` raises.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for leftover in path.parent.glob(f".{path.name}-*"):
        leftover.unlink(missing_ok=True)
    part = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        with part.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
