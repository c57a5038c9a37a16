"""A stored ladder as a table: one row a rung, with every ratio that its rounds carry. Pure functions; no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from mnv1.ladder.ratios import Interval, ratio, typical
from mnv1.ladder.rungs import BASELINE
from mnv1.ladder.stored import Ladder, StoredRung, accuracy_of

RATIOS = ("speedup", "over_timm", "over_timm_as_is", "over_twin")
"""Columns of ratios, each with `_low` and `_high`: eager fp32 of the same network / this rung; timm's MobileNetV1 in
eager fp32 / this rung, in the same state and with the allocator as it comes; the same way of the standard-convolution
twin / this rung."""

COLUMNS = (
    *("id", "label", "kind", "alpha", "resolution", "batch_size", "device", "precision", "mode", "state", "threads"),
    *("rounds", "latency", "latency_low", "latency_high", "throughput", "peak_memory", "file_size"),
    *("output_error", "compile_time", "graph_breaks", "accuracy", "accuracy_drop"),
    *(f"{name}{end}" for name in RATIOS for end in ("", "_low", "_high")),
)


def rows_of(ladder: Ladder, known: Mapping[str, Mapping[str, float]] | None = None) -> pd.DataFrame:
    """One row a rung that did not fail, fastest first: columns `COLUMNS`, SI units.

    `known` holds accuracies by id, see `mnv1.ladder.stored`.
    """
    rows = [_row(rung, ladder, known or {}) for rung in ladder.measured]
    return pd.DataFrame(rows).reindex(columns=list(COLUMNS)).sort_values("latency", kind="stable", ignore_index=True)


def find(ladder: Ladder, kind: str, precision: str, mode: str, state: str = "controlled") -> StoredRung | None:
    """A measured rung with torch's own number of threads."""
    wanted = (kind, precision, mode, state, None)
    for rung in ladder.measured:
        if (rung.kind, rung.precision, rung.mode, rung.state, rung.threads) == wanted:
            return rung
    return None


def _row(rung: StoredRung, ladder: Ladder, known: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    latency = typical(rung.seconds)
    row: dict[str, Any] = {name: getattr(rung, name) for name in COLUMNS[: COLUMNS.index("rounds")]}
    row |= {
        "rounds": len(rung.seconds),
        "throughput": rung.batch_size / latency.value,
        **{name: rung.facts.get(name) for name in ("peak_memory", "file_size", "output_error", "graph_breaks")},
        # The eager code of others has nothing to make ready.
        "compile_time": None if rung.mode == "eager" and rung.precision != "int8" else rung.facts.get("compile_time"),
        **_with_ends("latency", latency),
    }
    accuracy = accuracy_of(rung, known)
    if accuracy:
        row |= {"accuracy": accuracy["accuracy"], "accuracy_drop": accuracy["baseline"] - accuracy["accuracy"]}
    compared = {
        "speedup": find(ladder, rung.kind, "fp32", "eager"),
        "over_timm": find(ladder, BASELINE, "fp32", "eager"),
        "over_timm_as_is": find(ladder, BASELINE, "fp32", "eager", "as-is"),
        "over_twin": find(ladder, "standard", rung.precision, rung.mode, rung.state),
    }
    for name, other in compared.items():
        if other is None or other.id == rung.id or (name == "over_twin" and rung.kind != "separable"):
            continue
        row |= _with_ends(name, ratio(other.seconds, rung.seconds))
    return row


def _with_ends(name: str, interval: Interval) -> dict[str, float]:
    return {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}
