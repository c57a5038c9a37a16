"""Parts of one sweep that several machines or jobs measured: which of them stored runs lack. Needs no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnv1.store.documents import read

WHOLE = "cases_of_all_shards"
"""In a shard's environment: the ids of the cases of all shards together."""


@dataclass(frozen=True)
class Lacking:
    """What the shards of one sweep lack."""

    shards: tuple[str, ...]
    """Those of which there is no run, such as `2/4`."""
    cases: tuple[str, ...]
    """Ids of the cases that no run holds."""
    whole: int
    """How many cases the sweep has."""

    @property
    def line(self) -> str:
        """What is lost, and what to do about it."""
        some = ", ".join(self.cases[:2]) + (", …" if len(self.cases) > 2 else "")
        lost = f"{len(self.cases)} of the sweep's {self.whole} cases are missing: {some}"
        if not self.shards:
            return f"{lost}; the shards that should hold them could not measure them, or were cut short"
        return (
            f"{lost}. There is no run of shard {', '.join(self.shards)}: complete it where it was begun with "
            f"`pytest benchmarks --resume`, or measure it anew with --shard {self.shards[0]}"
        )


def lacking(runs: Sequence[Path]) -> list[Lacking]:
    """What is missing of each sharded sweep among stored runs; nothing where every shard is there and whole.

    Shards are of one sweep when they were made of the same cases in as many parts. Raises
    `mnv1.store.documents.ResultError` for a run that cannot be read.
    """
    sweeps: dict[tuple[str, tuple[str, ...]], list[dict[str, Any]]] = {}
    for run in runs:
        document = read(run)
        machine = document["machine_info"]["mnv1"]
        if WHOLE in machine:
            parts = machine["shard"].partition("/")[2]
            sweeps.setdefault((parts, tuple(machine[WHOLE])), []).append(document)
    found = []
    for (parts, whole), documents in sweeps.items():
        held = {benchmark["extra_info"]["id"] for document in documents for benchmark in document["benchmarks"]}
        there = {document["machine_info"]["mnv1"]["shard"] for document in documents}
        missing = tuple(one for one in whole if one not in held)
        shards = tuple(one for one in (f"{number}/{parts}" for number in range(1, 1 + int(parts))) if one not in there)
        if missing:
            found.append(Lacking(shards, missing, len(whole)))
    return found
