"""Comparisons as files: a document of each with all raw samples, and a ledger of many. The only reader of either."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mnv1.base.documents import checked, parsed, text_of
from mnv1.base.errors import UserError
from mnv1.base.files import write_whole
from mnv1.regression.comparison import Comparison
from mnv1.regression.sides import Side

SCHEMA = 2


class StoredError(UserError):
    """A file cannot be read or written, or is not of a comparison."""


def document(
    found: Comparison, sides: Sequence[Side], proofs: Mapping[str, Mapping[str, Any]], about: Mapping[str, Any]
) -> dict[str, Any]:
    """Everything that a comparison found, with raw samples in seconds."""
    return {
        "schema": SCHEMA,
        "about": dict(about),
        "sides": {
            side.name: {"revision": side.revision, "code": _code_of(side), **_proven(proofs.get(side.name, {}))}
            for side in sides
        },
        "exit_status": found.exit_status,
        "wall_time": round(found.wall_time, 1),
        "verdicts": {name: asdict(verdict) for name, verdict in found.verdicts.items()},
        "ratios": found.ratios,
        "pair_times": found.pair_times,
        "controls": found.controls,
        "calls": found.calls,
        "exact": found.exact,
        "wrong_outputs": found.wrong_outputs,
        "failed": found.failed,
        "head_fails": found.head_fails,
        "hints": {name: asdict(hint) for name, hint in found.hints.items() if hint},
        "suite": asdict(found.suite) if found.suite else None,
        "suite_slower": found.suite_slower,
        "more_memory": found.more_memory(),
        "unusable": found.unusable,
        "taken_again": found.taken_again,
        "states": found.states,
        "raw": found.raw,
    }


def write(path: Path, content: Mapping[str, Any]) -> None:
    """Store one comparison. Raises `StoredError`."""
    try:
        write_whole(path, lambda file: file.write(f"{json.dumps(content)}\n".encode()))
    except OSError as error:
        raise StoredError(f"{path}: cannot be written: {error.strerror}") from None


def append_line(path: Path, content: Mapping[str, Any]) -> None:
    """Add a line of JSON to a ledger: one comparison, without its raw samples. Raises `StoredError`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf8") as file:
            kept = {name: told for name, told in content.items() if name != "raw"}
            file.write(json.dumps(kept, separators=(",", ":")) + "\n")
    except OSError as error:
        raise StoredError(f"{path}: cannot be written: {error.strerror}") from None


def read(path: Path) -> dict[str, Any]:
    """One stored comparison. Raises `StoredError` for a file that is missing, damaged or something else."""
    return _parsed(text_of(path, StoredError), str(path))


def read_ledger(path: Path) -> list[dict[str, Any]]:
    """All comparisons of a ledger, the oldest first. Raises `StoredError`, naming the line."""
    lines = text_of(path, StoredError).splitlines()
    entries = [_parsed(line, f"{path}, line {number}") for number, line in enumerate(lines, 1) if line.strip()]
    if not entries:
        raise StoredError(
            f"{path}: the ledger is empty: add runs with python -m mnv1.regression --self-test --ledger {path}"
        )
    return entries


def is_of_identical_code(stored: Mapping[str, Any]) -> bool:
    """Whether both sides ran the same files on the same packages, whatever their revisions were called."""
    about = stored["about"]
    base, head = ({**side, "revision": ""} for side in stored["sides"].values())
    return bool(about["self_test"] or (base == head and not about.get("installed")))


def usual_self_tests(ledger: Iterable[Mapping[str, Any]], quick: bool) -> list[Mapping[str, Any]]:
    """Comparisons of identical code by one plan, with injected work or without, that ended when all was decided."""
    usual = (one for one in ledger if one["about"]["quick"] == quick and not one["about"]["whole"])
    return [one for one in usual if is_of_identical_code(one)]


def to_confirm(stored: Mapping[str, Any]) -> list[str]:
    """The cases that another machine should confirm: slower ones; all where all together are slower."""
    verdicts = stored["verdicts"]
    if stored["suite_slower"]:
        return list(verdicts)
    slower = {name for name, verdict in verdicts.items() if verdict["word"] == "SLOWER"}
    return [name for name in verdicts if name in slower | set(stored["more_memory"])]


def _code_of(side: Side) -> str:
    """One hash of all Python files of a side's copy."""
    text = "".join(f"{digest} {name}\n" for name, digest in sorted(side.hashes.items()))
    return hashlib.sha256(text.encode()).hexdigest()


def _proven(proof: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept of a side's proof: not where its interpreter and packages lie, which says nothing elsewhere."""
    return {name: told for name, told in proof.items() if name != "python" and not name.endswith("_file")}


def _parsed(text: str, where: str) -> dict[str, Any]:
    what = "a stored comparison: make one with python -m mnv1.regression --json"
    return checked(parsed(text, where, StoredError), where, StoredError, what, SCHEMA, {"verdicts"})
