"""What the measuring process answers. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Failed:
    """A case could not be measured; the reason is one line for the user."""

    reason: str


@dataclass(frozen=True)
class Described:
    """What is measured on, and what about it makes figures less trustworthy."""

    environment: dict[str, object]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Reply:
    """An answer."""

    number: int
    """Of the request that it answers."""
    answer: object
