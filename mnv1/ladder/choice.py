"""Which rung is the fastest that may be used, and why the faster ones may not. Pure functions; no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from mnv1.cases import PRECISIONS
from mnv1.ladder.ratios import Interval, ratio
from mnv1.ladder.rows import rows_of
from mnv1.ladder.stored import Ladder

QUANTIZED = ("int8",)
"""Precisions whose accuracy must be known where a drop is limited. The others round each number to 8 bits of mantissa
or more, which the error of the output bounds."""


@dataclass(frozen=True)
class Limits:
    """What a user allows: the error of the outputs, and by how much accuracy may drop, as shares; None for anything."""

    max_error: float
    max_accuracy_drop: float | None = None


@dataclass(frozen=True)
class Choice:
    """The fastest rung that may be used, None where there is none, with the next one and how much longer that takes.

    `refused`: rungs that may not be used, with the reason.
    """

    fastest: pd.Series | None
    runner_up: pd.Series | None
    margin: Interval | None
    refused: tuple[tuple[str, str], ...]


def choose(ladder: Ladder, kind: str, limits: Limits, known: Mapping[str, Mapping[str, float]]) -> Choice:
    """The fastest way to run a network of this kind within the limits."""
    rows = rows_of(ladder, known)
    rows = rows[(rows["kind"] == kind) & (rows["state"] == "controlled")]
    allowed, refused = [], []
    for _, row in rows.iterrows():
        reason = why_refused(row, limits)
        if reason:
            refused.append((str(row["label"]), reason))
        else:
            allowed.append(row)
    fastest, runner_up = [*allowed, None, None][:2]
    margin = None
    if fastest is not None and runner_up is not None:
        seconds = {rung.id: rung.seconds for rung in ladder.measured}
        margin = ratio(seconds[str(runner_up["id"])], seconds[str(fastest["id"])])
    return Choice(fastest, runner_up, margin, tuple(refused))


def why_refused(row: pd.Series, limits: Limits) -> str | None:
    """Why a rung may not be used, or None when it may."""
    tolerance = PRECISIONS[row["precision"]].tolerance
    if row["output_error"] > tolerance:
        return f"wrong: output error {row['output_error']:.2g} above {tolerance:g}"
    if row["output_error"] > limits.max_error:
        return f"output error {row['output_error']:.2g} above {limits.max_error:g}"
    if limits.max_accuracy_drop is None:
        return None
    if pd.notna(row["accuracy_drop"]):
        if row["accuracy_drop"] > limits.max_accuracy_drop:
            drop, limit = 100 * row["accuracy_drop"], 100 * limits.max_accuracy_drop
            return f"accuracy drops by {drop:.2f} points, more than {limit:g}"
        return None
    return "its accuracy is not known, and --max-accuracy-drop limits it" if row["precision"] in QUANTIZED else None
