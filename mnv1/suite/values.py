"""Values of the options that name an axis, from text; what is wrong is said in one line for the user."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from typing import TypeVar

from mnv1.cases import DEVICES, KINDS, MODES, PRECISIONS
from mnv1.cases.grids import CaseError
from mnv1.net.architecture import MIN_SIDE


def parse_devices(text: str) -> tuple[str, ...]:
    """Comma-separated devices. Raises `CaseError`."""
    return parse_names("--devices", text, DEVICES)


def parse_precisions(text: str) -> tuple[str, ...]:
    """Comma-separated precisions. Raises `CaseError`."""
    return parse_names("--precisions", text, PRECISIONS)


def parse_kinds(text: str) -> tuple[str, ...]:
    """Comma-separated kinds of blocks and networks. Raises `CaseError`."""
    return parse_names("--kinds", text, KINDS)


def parse_modes(text: str) -> tuple[str, ...]:
    """Comma-separated execution modes. Raises `CaseError`."""
    return parse_names("--modes", text, MODES)


def parse_alphas(text: str) -> tuple[float, ...]:
    """Comma-separated width multipliers. Raises `CaseError`."""
    return _parse_numbers("--alphas", text, float, lambda a: 0 < a < math.inf, "positive numbers such as 0.75")


def parse_resolutions(text: str) -> tuple[int, ...]:
    """Comma-separated input sides in pixels. Raises `CaseError`."""
    return _parse_numbers("--resolutions", text, int, lambda r: r >= MIN_SIDE, f"whole numbers from {MIN_SIDE} up")


def parse_batch_sizes(text: str, option: str = "--batch-sizes") -> tuple[int, ...]:
    """Comma-separated batch sizes. Raises `CaseError`."""
    return _parse_numbers(option, text, int, lambda n: n >= 1, "whole numbers from 1 up")


Number = TypeVar("Number", int, float)


def parse_names(option: str, text: str, valid: Collection[str]) -> tuple[str, ...]:
    """Comma-separated names, of those that are valid. Raises `CaseError`."""
    parts = [part.strip() for part in text.split(",")]
    unknown = [part for part in parts if part not in valid]
    if unknown:
        raise CaseError(f"{option}: unknown value {', '.join(map(repr, unknown))}; valid values: {', '.join(valid)}")
    return tuple(dict.fromkeys(parts))


def _parse_numbers(
    option: str, text: str, number: Callable[[str], Number], valid: Callable[[Number], bool], expected: str
) -> tuple[Number, ...]:
    values = []
    for part in text.split(","):
        try:
            value = number(part)
            if not valid(value):
                raise ValueError
        except ValueError:
            raise CaseError(f"{option}: {part.strip()!r} is not valid; valid values: {expected}") from None
        values.append(value)
    return tuple(dict.fromkeys(values))


def parse_shard(text: str) -> tuple[int, int]:
    """A shard such as `2/4`: the second of four. Raises `CaseError`."""
    number, slash, shards = text.partition("/")
    if not (slash and number.isdecimal() and shards.isdecimal() and 1 <= int(number) <= int(shards)):
        raise CaseError(f"--shard: {text!r} is not valid; valid values: 1/4 to 4/4, for four shards")
    return int(number), int(shards)
