"""What a running sweep has found so far, on disk: a line for each visit, written at once.

The journal is what an interrupted sweep continues from. A file belongs to the process that holds its lock; a line that
a killed process left unfinished is cut off when the journal is opened again. Needs no torch.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout

from mnv1.base.errors import UserError
from mnv1.measure.timing import Visit

ENDING = ".journal"
LOCK_ENDING = ".lock"
"""Of the file beside a journal that is locked as long as a sweep runs; the system frees it when the process dies."""

FORMAT = 2


class JournalError(UserError):
    """A journal cannot be written or read."""


@dataclass
class Entries:
    """What a journal holds of its cases, by their ids."""

    visits: dict[str, list[Visit]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    """Why the case could not be measured."""


class Journal:
    """An open journal. `header` is what the sweep was started with; `entries` is what it had found when opened."""

    def __init__(
        self, path: Path, file: IO[bytes], lock: FileLock, header: Mapping[str, Any], entries: Entries
    ) -> None:
        self.path, self.header, self.entries = path, header, entries
        self._file, self._lock = file, lock

    @classmethod
    def begin(cls, folder: Path, header: Mapping[str, Any]) -> Journal:
        """Start a journal in a folder. Raises `JournalError` when it cannot be written."""
        path = folder / f"{datetime.now(UTC):%Y%m%d_%H%M%S_%f}_{os.getpid()}{ENDING}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = _lock(path)
            lock.acquire()
            file = path.open("xb", buffering=0)
        except (OSError, Timeout) as error:
            raise JournalError(f"{path}: cannot be written: {error.strerror or error}") from None
        journal = cls(path, file, lock, header, Entries())
        journal._append({"format": FORMAT, "header": dict(header)})
        return journal

    @classmethod
    def resume(cls, folder: Path) -> Journal:
        """Open the newest journal below a folder that no running sweep holds.

        Raises `JournalError` when there is none, or it is damaged.
        """
        for path in interrupted(folder):
            lock = _lock(path)
            try:
                lock.acquire()
                file = path.open("r+b", buffering=0)
            except Timeout:
                continue
            except OSError as error:
                raise JournalError(f"{path}: cannot be continued: {error.strerror}") from None
            try:
                found = _read(path, file)
            except JournalError:
                file.close()
                _unlock(path, lock)
                raise
            if found:
                return cls(path, file, lock, *found)
            file.close()
            path.unlink()  # ended before it had begun
            _unlock(path, lock)
        raise JournalError(f"{folder}: no interrupted sweep here, so there is nothing to resume")

    def visited(self, case_id: str, visit: Visit) -> None:
        """Keep a visit. Raises `JournalError` when it cannot be written."""
        self._append({"id": case_id, "visit": asdict(visit)})

    def failed(self, case_id: str, reason: str) -> None:
        """Keep that a case could not be measured. Raises `JournalError`."""
        self._append({"id": case_id, "failed": reason})

    def close(self, complete: bool) -> None:
        """Close the journal, and remove it when the sweep's results are stored elsewhere or not wanted."""
        self._file.close()
        if complete:
            self.path.unlink(missing_ok=True)
        _unlock(self.path, self._lock)

    def _append(self, entry: Mapping[str, Any]) -> None:
        line = json.dumps(entry, separators=(",", ":")).encode() + b"\n"
        try:
            written = self._file.write(line)
            os.fsync(self._file.fileno())
        except OSError as error:
            raise JournalError(self._full(error.strerror)) from None
        if written != len(line):
            raise JournalError(self._full("no space left"))

    def _full(self, why: str | None) -> str:
        return f"{self.path}: cannot be written: {why}; free some space and continue with pytest benchmarks --resume"


def interrupted(folder: Path) -> list[Path]:
    """Journals below a folder, the newest first: of interrupted sweeps, or of running ones."""
    return sorted(folder.rglob(f"*{ENDING}"), key=lambda path: path.name, reverse=True)


def is_running(path: Path) -> bool:
    """Whether a running sweep holds the journal."""
    if not _lock_file(path).exists():
        return False
    lock = _lock(path)
    try:
        lock.acquire()
    except Timeout:
        return True
    except OSError:  # somebody else's: who may not write here cannot continue it either
        return False
    lock.release()
    return False


def _lock_file(path: Path) -> Path:
    return path.with_name(path.name + LOCK_ENDING)


def _lock(path: Path) -> FileLock:
    return FileLock(_lock_file(path), timeout=0)


def _unlock(path: Path, lock: FileLock) -> None:
    """Free a lock, and leave no file: on Windows a file that is open cannot be removed, elsewhere it is so in time."""
    gone = _remove(_lock_file(path))
    lock.release()
    if not gone:
        _remove(_lock_file(path))


def _remove(path: Path) -> bool:
    with suppress(OSError):
        path.unlink(missing_ok=True)
        return True
    return False


def _read(path: Path, file: IO[bytes]) -> tuple[Mapping[str, Any], Entries] | None:
    """Header and entries, or None when there is no whole line; a last line without its end is cut off the file."""
    data = file.read()
    whole = data[: data.rfind(b"\n") + 1]
    file.truncate(len(whole))
    file.seek(0, os.SEEK_END)
    if not whole:
        return None
    entries = Entries()
    try:
        first, *lines = (json.loads(line) for line in whole.splitlines())
        if first["format"] != FORMAT:
            raise JournalError(f"{path}: written by another version of mnv1; resume with that one, or delete it")
        for line in lines:
            if "visit" in line:
                entries.visits.setdefault(line["id"], []).append(_visit(line["visit"]))
            else:
                entries.failed[line["id"]] = line["failed"]
        return first["header"], entries
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise JournalError(f"{path}: damaged ({error}); delete it and measure again") from None


def _visit(stored: Mapping[str, Any]) -> Visit:
    return Visit(
        **{
            **stored,
            "sides": tuple(map(tuple, stored["sides"])),
            "calls": tuple(stored["calls"]),
            "device": tuple(stored["device"]),
            "messages": tuple(map(tuple, stored["messages"])),
            "throttled": tuple(stored["throttled"]),
        }
    )
