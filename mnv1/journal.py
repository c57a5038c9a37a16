"""What a running sweep has found so far, on disk: a line for each visit and each finished case, written at once.

The journal is what an interrupted sweep continues from. A file belongs to the process that holds its lock; a line that
a killed process left unfinished is cut off when the journal is opened again. Needs no torch.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from mnv1.measure.timing import Visit

ENDING = ".journal"
FORMAT = 1


class JournalError(Exception):
    """A journal cannot be written or read; the message is one line for the user."""


@dataclass
class Entries:
    """What a journal holds of its cases, by their ids."""

    visits: dict[str, list[Visit]] = field(default_factory=dict)
    finished: dict[str, str] = field(default_factory=dict)
    """Why sampling stopped."""
    failed: dict[str, str] = field(default_factory=dict)
    """Why the case could not be measured."""


class Journal:
    """An open journal. `header` is what the sweep was started with; `entries` is what it had found when opened."""

    def __init__(self, path: Path, file: IO[bytes], header: Mapping[str, Any], entries: Entries) -> None:
        self.path, self.header, self.entries = path, header, entries
        self._file = file

    @classmethod
    def begin(cls, folder: Path, header: Mapping[str, Any]) -> Journal:
        """Start a journal in a folder. Raises `JournalError` when it cannot be written."""
        path = folder / f"{datetime.now(UTC):%Y%m%d_%H%M%S_%f}_{os.getpid()}{ENDING}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            file = path.open("xb", buffering=0)
        except OSError as error:
            raise JournalError(f"{path}: cannot be written: {error.strerror}") from None
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        journal = cls(path, file, header, Entries())
        journal._append({"format": FORMAT, "header": dict(header)})
        return journal

    @classmethod
    def resume(cls, folder: Path) -> Journal:
        """Open the newest journal below a folder that no running sweep holds.

        Raises `JournalError` when there is none, or it is damaged.
        """
        for path in interrupted(folder):
            file = path.open("r+b", buffering=0)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.close()
                continue
            try:
                found = _read(path, file)
            except JournalError:
                file.close()
                raise
            if found:
                return cls(path, file, *found)
            path.unlink()  # ended before it had begun
            file.close()
        raise JournalError(f"{folder}: no interrupted sweep here, so there is nothing to resume")

    def visited(self, case_id: str, visit: Visit) -> None:
        """Keep a visit. Raises `JournalError` when it cannot be written."""
        self._append({"id": case_id, "visit": asdict(visit)})

    def finished(self, case_id: str, stopped: str) -> None:
        """Keep that a case was visited for the last time, and why. Raises `JournalError`."""
        self._append({"id": case_id, "finished": stopped})

    def failed(self, case_id: str, reason: str) -> None:
        """Keep that a case could not be measured. Raises `JournalError`."""
        self._append({"id": case_id, "failed": reason})

    def close(self, complete: bool) -> None:
        """Close the journal, and remove it when the sweep's results are stored elsewhere or not wanted."""
        if complete:
            self.path.unlink(missing_ok=True)
        self._file.close()

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
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
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
            elif "finished" in line:
                entries.finished[line["id"]] = line["finished"]
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
            "disturbed": tuple(stored["disturbed"]),
            "calls": tuple(stored["calls"]),
            "device": tuple(stored["device"]),
            "controls": tuple(map(tuple, stored["controls"])),
        }
    )
