"""What a file of weights holds, whatever its format."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from mnv1.net.errors import PretrainedError
from mnv1.net.semantics import Semantics

SEMANTICS_NOTE = "mnv1.semantics"
"""Under this name a safetensors file of this project tells what its weights mean."""


@dataclass(frozen=True)
class Contents:
    """Weights by their names, perhaps in dictionaries within dictionaries, and what the file says of them."""

    tree: Mapping[str, Any]
    semantics: Semantics | None = None
    labels: tuple[str, ...] | None = None
    """Names of the classes."""
    said: tuple[str, ...] = ()
    """What the user should know of it."""


def semantics_of(values: Mapping[str, Any], where: str) -> Semantics:
    """What a file says that its weights mean. Raises `PretrainedError` where that is nothing that exists here."""
    try:
        return Semantics(**values)
    except (ValueError, TypeError) as error:
        raise PretrainedError(f"its {where} is damaged, or of another version: {error}") from None


def from_note(notes: Mapping[str, str]) -> Semantics | None:
    """What the notes of a safetensors file say. Raises `PretrainedError` where that cannot be read."""
    if SEMANTICS_NOTE not in notes:
        return None
    try:
        values = json.loads(notes[SEMANTICS_NOTE])
    except ValueError:
        values = None
    if not isinstance(values, dict):
        raise PretrainedError(f"its note {SEMANTICS_NOTE} is damaged: {notes[SEMANTICS_NOTE]}")
    return semantics_of(values, f"note {SEMANTICS_NOTE}")


def as_note(semantics: Semantics) -> dict[str, str]:
    """Notes for a safetensors file."""
    return {"format": "pt", SEMANTICS_NOTE: json.dumps(asdict(semantics))}
