"""What pytest-benchmark is given so that it computes and stores rounds that were timed elsewhere."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pytest_benchmark.storage.file import FileStorage

from mnv1.base.errors import UserError
from mnv1.base.files import write_whole
from mnv1.store.documents import compact


class StorageError(UserError):
    """Results cannot be stored."""


class Replay:
    """A clock that tells pytest-benchmark how long rounds took that are already over."""

    def __init__(self) -> None:
        self._moments = iter(list[float]())

    def load(self, durations: Iterable[float]) -> None:
        """Take the seconds of each round."""
        self._moments = iter([moment for duration in durations for moment in (0.0, duration)])

    def __call__(self) -> float:
        """The next moment, in seconds."""
        return next(self._moments)


class WholeFiles(FileStorage):
    """pytest-benchmark's storage, but a run appears there as a whole or not at all."""

    saved = False

    @property
    def location(self) -> str:
        """The folder, wherever that is; pytest-benchmark's own is below the working directory alone."""
        return str(self.path)

    def save(self, output_json: Any, save: str) -> None:
        """Write a run beside its place, and move it there when it is complete."""
        target = self.get(f"{self._next_num}_{save}.json")
        text = compact(output_json)
        write_whole(target, lambda file: file.write(text.encode("ascii")))
        self.saved = True
        self.logger.info(f"Saved benchmark data in: {target}")


def try_to_write(folder: Path, size: int) -> None:
    """Find a full or unwritable disk before hours are spent: write `size` bytes and take them back.

    Raises `StorageError`.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(size))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise StorageError(f"{folder}: results cannot be stored here: {error.strerror}") from None
