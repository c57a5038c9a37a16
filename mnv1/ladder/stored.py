"""Ladders as files: one for each batch size, raw rounds and environment included. The only reader of their layout.

A file with accuracies, `accuracy*.json` anywhere below `results/`, is an object: what was evaluated, by a rung's id or
by the workload and precision alone (`model-separable-a0.25-r64-int8`, for every mode and batch size), and of each at
least `accuracy` and `baseline` (the same weights in fp32), as shares of `images` that were right. Needs no torch.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from mnv1.base.documents import checked, read_json
from mnv1.base.errors import UserError
from mnv1.base.files import write_whole
from mnv1.cases import DEVICES, MODES, PRECISIONS
from mnv1.ladder.climb import Climbed
from mnv1.ladder.counted import Around, Counted, Ends, counted
from mnv1.ladder.rungs import KINDS, Finding, label
from mnv1.measure.state import STATES
from mnv1.measure.states import State

SCHEMA = 1


class LadderError(UserError):
    """A file that cannot be read or written, or holds no ladder."""


@dataclass(frozen=True)
class StoredRung:
    """A rung as it was measured. `seconds`: a call, one for each round that counts; empty where it `failed`."""

    id: str
    kind: str
    alpha: float | None
    resolution: int
    batch_size: int
    device: str
    precision: str
    mode: str
    state: str
    threads: int | None
    facts: Mapping[str, Any]
    seconds: tuple[float, ...]
    failed: str | None

    @property
    def label(self) -> str:
        """As a person calls it."""
        return label(self.kind, self.precision, self.mode, self.state, self.threads)

    @property
    def workload(self) -> str:
        """The network's id, such as `model-separable-a1.00-r224`."""
        return self.id.partition(f"-b{self.batch_size}-{self.device}-")[0]


@dataclass(frozen=True)
class Ladder:
    """A stored ladder, or the measured effects of some settings (`findings`: name, id over, id under).

    Its rungs have the rounds that count alone, all of one state of the machine: `counted`.
    """

    name: str
    time: str
    environment: Mapping[str, Any]
    options: Mapping[str, Any]
    rungs: tuple[StoredRung, ...]
    left_out: tuple[tuple[str, str], ...]
    counted: Counted
    findings: tuple[tuple[str, str, str], ...] = field(default=())

    @property
    def measured(self) -> list[StoredRung]:
        """The rungs that did not fail."""
        return [rung for rung in self.rungs if rung.failed is None]


def document(
    climbed: Sequence[Climbed],
    environment: Mapping[str, Any],
    options: Mapping[str, Any],
    left_out: Sequence[tuple[str, str]],
    time: str,
    findings: Sequence[Finding] = (),
    around: Around | None = None,
) -> dict[str, Any]:
    """What is stored; `time` in ISO 8601. Nothing is said of messages where none was read."""
    return {
        "schema": SCHEMA,
        "datetime": time,
        "environment": dict(environment),
        "options": dict(options),
        "rungs": [_as_stored(one) for one in climbed],
        "left_out": [list(one) for one in left_out],
        "findings": [[one.name, one.over.id, one.under.id] for one in findings],
        **(_messages(around) if around and any(around.rounds) else {}),
    }


def _messages(around: Around) -> dict[str, Any]:
    """Messages around each round, and the states that all readings told apart; seconds."""
    return {"messages": {"rounds": around.rounds, "states": [asdict(state) for state in around.states]}}


def _as_stored(one: Climbed) -> dict[str, Any]:
    workload, conditions = one.rung.case.workload, one.rung.case.conditions
    return {
        "id": one.rung.id,
        "kind": one.rung.kind,
        "alpha": getattr(workload, "alpha", None),
        "resolution": getattr(workload, "resolution", None),
        "batch_size": conditions.batch_size,
        "device": conditions.device,
        "precision": conditions.precision,
        "mode": conditions.mode,
        "state": one.rung.state,
        "threads": one.rung.threads,
        "facts": one.facts,
        "seconds": [] if one.failed else one.seconds,
        "failed": one.failed,
    }


def write(path: Path, content: Mapping[str, Any]) -> None:
    """Store a document: the file appears as a whole or not at all. Raises `LadderError`."""
    try:
        write_whole(path, lambda file: file.write(f"{json.dumps(content)}\n".encode()))
    except OSError as error:
        raise LadderError(f"{path}: cannot be written: {error.strerror or error}") from None


def read(path: Path) -> Ladder:
    """A stored ladder. Raises `LadderError` for a file that is missing, damaged or something else."""
    content = read_json(path, LadderError)
    checked(content, path, LadderError, "a stored ladder", SCHEMA, {"rungs", "environment"})
    return from_document(content, path.stem, str(path))


def from_document(content: Mapping[str, Any], name: str, where: str = "the ladder") -> Ladder:
    """A ladder from its document. Raises `LadderError` where something is missing or not what it should be."""
    try:
        rungs = tuple(
            StoredRung(**{**one, "seconds": tuple(float(second) for second in one["seconds"])})
            for one in content["rungs"]
        )
        rounds, states = _read_messages(content)
        lengths = {len(rung.seconds) for rung in rungs if rung.failed is None}
        broken = next(filter(None, map(_what_is_wrong, rungs)), None) or _what_is_wrong_with_rounds(lengths, rounds)
        count = counted(max(lengths, default=0), rounds, states)
        ladder = Ladder(
            name,
            str(content["datetime"]),
            content["environment"],
            content["options"],
            rungs if broken else tuple(_with_counted(rung, count) for rung in rungs),
            tuple((str(what), str(why)) for what, why in content["left_out"]),
            count,
            tuple((str(what), str(over), str(under)) for what, over, under in content["findings"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise LadderError(f"{where}: damaged: {error}") from None
    if not isinstance(ladder.environment, dict) or not isinstance(ladder.environment.get("machine"), str):
        broken = broken or "its environment names no machine"
    if broken:
        raise LadderError(f"{where}: damaged: {broken}")
    return ladder


def _read_messages(content: Mapping[str, Any]) -> tuple[list[Ends], list[State]]:
    """Messages around each round, and the states that they told apart; earlier revisions read none."""
    found = content.get("messages", {"rounds": [], "states": []})
    rounds = [None if ends is None else _two(*ends) for ends in found["rounds"]]
    return rounds, [State(**one) for one in found["states"]]


def _two(low: float, high: float) -> tuple[float, float]:
    return float(low), float(high)


def _with_counted(rung: StoredRung, count: Counted) -> StoredRung:
    return rung if rung.failed else replace(rung, seconds=tuple(count.among(rung.seconds)))


def _what_is_wrong_with_rounds(lengths: Collection[int], rounds: Sequence[Ends]) -> str | None:
    if not lengths:
        return "no rung was measured"
    if len(lengths) > 1 or min(lengths) < 2:
        return "its rungs have not the same number of rounds, at least two"
    if rounds and {len(rounds)} != lengths:
        return "its messages are of another number of rounds"
    return None


def _what_is_wrong(rung: StoredRung) -> str | None:
    choices = {"kind": KINDS, "device": DEVICES, "precision": PRECISIONS, "mode": MODES, "state": STATES}
    for name, valid in choices.items():
        if getattr(rung, name) not in valid:
            return f"{rung.id} has no valid {name}"
    if not all(0 < second < 1e6 for second in rung.seconds):
        return f"{rung.id} has a time that is none"
    if not rung.failed and not isinstance(rung.facts.get("output_error"), float):
        return f"{rung.id} has no output error"
    return None


def find(folder: Path) -> list[Path]:
    """The stored ladders in a folder. Raises `LadderError` when there is none."""
    found = sorted(folder.glob("*.json")) if folder.is_dir() else []
    if not found:
        raise LadderError(f"{folder}: no stored ladder here; measure one first: python scripts/find_fastest.py --help")
    return found


def load_accuracies(paths: Iterable[Path]) -> dict[str, dict[str, float]]:
    """What is known of accuracy, by id: `accuracy`, `baseline` and `images`. Raises `LadderError`."""
    known: dict[str, dict[str, float]] = {}
    for path in paths:
        content = read_json(path, LadderError)
        entries = content.items() if isinstance(content, dict) else [("it", None)]
        for name, entry in entries:
            numbers = [entry.get(key) for key in ("accuracy", "baseline")] if isinstance(entry, dict) else [None]
            if not all(isinstance(number, int | float) and 0 <= number <= 1 for number in numbers):
                raise LadderError(f"{path}: {name} needs accuracy and baseline, shares between 0 and 1")
        known |= content
    return known


def accuracy_of(rung: StoredRung, known: Mapping[str, Mapping[str, float]]) -> Mapping[str, float] | None:
    """The accuracy of a rung: by its own id, or by its network and precision."""
    return known.get(rung.id) or known.get(f"{rung.workload}-{rung.precision}")
