"""Claims about time and memory, held against stored runs: by the newest run that has the facts.

A figure of inference never answers a claim about training, nor a figure of a CPU a claim about a GPU; such a figure
stands beside the claim.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import pandas as pd

from mnv1.claims.figures import Figure, factor
from mnv1.net.published import Claim
from mnv1.store.columns import TRAINING, TRAINING_SPEEDUP
from mnv1.store.runs import ResultError, Results, load, load_kernels, load_operators

Rows = pd.DataFrame


@dataclass(frozen=True)
class Found:
    """One measured figure in base units with its 95 % interval, and under what it was measured."""

    value: float
    low: float
    high: float
    conditions: str
    run: str


def stored_runs(paths: Iterable[Path | str]) -> tuple[list[Results], list[str]]:
    """Stored runs from new to old, each by itself, and a line for each that cannot be used."""
    found, complaints = [], []
    for path in paths:
        try:
            cases = load([path])
            if (plain := cases[cases["mode"] == "eager"]).empty:
                continue
            found.append(Results(plain, load_operators([path]), kernels=load_kernels([path])))
        except ResultError as error:
            complaints.append(str(error))
    return sorted(found, key=lambda one: one.cases["time"].iloc[0], reverse=True), complaints


def outcome(found: Sequence[Found], target: Figure, unit: Fraction) -> str:
    """Whether a claim holds: in all, some or none of the measured figures, or nobody can tell.

    A figure with its interval is within what the claim stands for, outside of it, or both.
    """
    verdicts = [_within(one, target, unit) for one in found]
    hold, fail = verdicts.count(True), verdicts.count(False)
    if hold == len(found):
        return "holds"
    if fail == len(found):
        return "does not hold"
    if not hold and not fail:
        return "cannot be told from this: the intervals are too wide"
    return f"holds in {hold} of {len(found)} cases{f', does not hold in {fail}' if fail else ''}"


def _within(one: Found, target: Figure, unit: Fraction) -> bool | None:
    low, high = (Fraction(end) / unit for end in (one.low, one.high))
    if target.agrees(low) and target.agrees(high):
        return True
    below = target.low is not None and high < target.low
    above = target.high is not None and low > target.high
    # A bound as the end of both: "at most 1" is not "less than 1".
    outside = not target.includes_ends and not target.agrees(low) and not target.agrees(high)
    return False if below or above or outside else None


def measured(claim: Claim, runs: Sequence[Results]) -> list[Found]:
    """The figures of the newest run that has any for the claim; empty where no run has."""
    return _first(SELECT[claim.quantity, claim.subject], runs)


def beside(claim: Claim, runs: Sequence[Results]) -> tuple[str, list[Found]]:
    """The nearest to a claim about training that was measured, and what that is; nothing where nothing is near."""
    for about, select in BESIDE.get((claim.quantity, claim.subject), ()):
        found = _first(select, runs)
        if found:
            return about, found
    return "", []


def _first(select: Callable[[Results], Iterator[Found]], runs: Sequence[Results]) -> list[Found]:
    return next((found for found in (list(select(run)) for run in runs) if found), [])


def _networks(results: Results, measures: str) -> Rows:
    """MobileNetV1 (α 1, 224 px) and its twin."""
    cases = results.cases
    size = (cases["subject"] == "model") & (cases["alpha"] == 1) & (cases["resolution"] == 224)
    chosen: Rows = cases[size & (cases["measures"] == measures)]
    return chosen


def _conditions(row: pd.Series) -> str:
    return f"{row['device']}, {row['precision']}, batch {row['batch_size']:g}"


def _time_share(results: Results) -> Iterator[Found]:
    rows = _networks(results, "latency")
    for _, row in rows[rows["kind"] == "separable"].iterrows():
        kernels = results.kernels[(results.kernels["id"] == row["id"]) & (results.kernels["kernel"] == "pointwise")]
        profile = results.operators[results.operators["id"] == row["id"]].set_index("operator")
        if not kernels.empty:  # without the copies and the dispatch that belong to their operators
            value, low, high = kernels[["seconds", "low", "high"]].sum() / row["traced_call"]
            yield Found(float(value), float(low), float(high), _conditions(row), str(row["run"]))
        elif "pointwise" in profile.index:
            value, low, high = profile.loc["pointwise", ["seconds", "low", "high"]] / profile["seconds"].sum()
            yield Found(float(value), float(low), float(high), _conditions(row), str(row["run"]))


def _speedup(measures: str) -> Callable[[Results], Iterator[Found]]:
    def select(results: Results) -> Iterator[Found]:
        for _, row in _networks(results, measures).iterrows():
            value, low, high = (float(row[name]) for name in ("speedup", "speedup_low", "speedup_high"))
            yield Found(value, low, high, _conditions(row), str(row["run"]))

    return select


def _pairs(rows: Rows, column: str, first: str, second: str) -> Iterator[tuple[pd.Series, pd.Series]]:
    """Rows that differ in nothing but `column`, which is `first` in one and `second` in the other."""
    same = [name for name in ("kind", "device", "precision", "batch_size") if name != column]
    for _, group in rows.groupby(same, sort=False):
        by_value = {row[column]: row for _, row in group.iterrows()}
        if first in by_value and second in by_value:
            yield by_value[first], by_value[second]


def _amp(measures: str) -> Callable[[Results], Iterator[Found]]:
    """Time in fp32 / time in amp; they were not timed in turns, so the ratio takes the far ends of both intervals."""

    def select(results: Results) -> Iterator[Found]:
        rows = _networks(results, measures)
        for plain, amp in _pairs(rows[rows["kind"] == "separable"], "precision", "fp32", "amp"):
            yield Found(
                float(plain["latency_p50"] / amp["latency_p50"]),
                float(plain["latency_low"] / amp["latency_high"]),
                float(plain["latency_high"] / amp["latency_low"]),
                _conditions(amp),
                str(amp["run"]),
            )

    return select


def _memory(measures: str, devices: tuple[str, ...]) -> Callable[[Results], Iterator[Found]]:
    """Peak memory of the separable network / of its twin; it repeats to the byte, so its interval is one point."""

    def select(results: Results) -> Iterator[Found]:
        rows = _networks(results, measures)
        for separable, standard in _pairs(rows[rows["device"].isin(devices)], "kind", "separable", "standard"):
            value = float(separable["peak_memory"] / standard["peak_memory"])
            if not pd.isna(value):
                yield Found(value, value, value, _conditions(separable), str(separable["run"]))

    return select


TIME_SHARE = ("share of time", "1x1 convolutions")
EPOCH = ("times faster training", "MobileNetV1 against its standard-convolution twin")
AMP = ("times faster training", "autocast against fp32")
MEMORY = ("peak memory of training, ratio", "MobileNetV1 against its standard-convolution twin")

_COMMAND = "pytest benchmarks --profile training --benchmark-autosave"

SELECT: dict[tuple[str, str], Callable[[Results], Iterator[Found]]] = {
    TIME_SHARE: _time_share,
    EPOCH: _speedup(TRAINING_SPEEDUP),
    AMP: _amp(TRAINING),
    MEMORY: _memory(TRAINING, ("cuda",)),
}
"""What answers a claim, by its quantity and subject."""

NEEDS: dict[tuple[str, str], str] = {
    TIME_SHARE: "a stored run with the operators of MobileNetV1 (α 1, 224 px): pytest benchmarks --benchmark-autosave",
    EPOCH: f"training steps of MobileNetV1 and its twin in turns: {_COMMAND}",
    AMP: f"training steps of MobileNetV1 in fp32 and amp: {_COMMAND}",
    MEMORY: f"training steps of MobileNetV1 and its twin on a GPU, with their peak memory: {_COMMAND}",
}
"""What must be stored for that."""

_FORWARD = "a forward pass alone"

BESIDE: dict[tuple[str, str], tuple[tuple[str, Callable[[Results], Iterator[Found]]], ...]] = {
    EPOCH: ((_FORWARD, _speedup("speedup")),),
    AMP: ((_FORWARD, _amp("latency")),),
    MEMORY: (
        ("a training step on a CPU", _memory(TRAINING, ("cpu",))),
        (_FORWARD, _memory("latency", ("cuda", "cpu"))),
    ),
}
"""What is near a claim, the nearest first."""


def text(found: Sequence[Found], claim: Claim) -> str:
    """The figures in the claim's unit, each with its interval and conditions."""
    unit = float(factor(claim))
    decimals = 0 if claim.unit == "%" else 2
    suffix = " %" if claim.unit == "%" else "×"

    def one(item: Found) -> str:
        value, low, high = (f"{number / unit:.{decimals}f}" for number in (item.value, item.low, item.high))
        interval = "" if item.low == item.high else f" [{low}, {high}]"
        return f"{value}{suffix}{interval} ({item.conditions})"

    return "; ".join(map(one, found))


def run_names(found: Sequence[Found]) -> str:
    """The runs that figures come from."""
    return ", ".join(dict.fromkeys(f"`{one.run}`" for one in found))
