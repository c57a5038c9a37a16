"""Seconds of a call by cause: from the kernels that ran, where these were traced, and from operators elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from mnv1.net.roofline import Ceilings, LeastTime, least_times
from mnv1.report import known
from mnv1.store.runs import Results

DENSE, DEPTHWISE, CONVERSIONS, PASSES = "1×1, 3×3 kernels", "depthwise kernels", "layout conversions", "BN, ReLU passes"
UNEXPLAINED = "not explained"

CAUSES = (
    "compute",
    "memory bandwidth",
    DENSE,
    DEPTHWISE,
    CONVERSIONS,
    PASSES,
    "casts",
    "launch",
    "dispatch",
    "allocator",
    "kernels",
    UNEXPLAINED,
)
"""What a call's time goes into: operations at the peak rate; traffic at the measured bandwidth, where that is longer;
what dense and depthwise convolutions take beyond these two; copies from one memory layout to another; passes over
activations for BatchNorm, ReLU and pooling; casts; CUDA: gaps between kernels; CPU: Python and dispatch; and the
operating system mapping memory for the allocator. Where kernels were not traced, all that is left is `kernels`."""

CONVOLUTIONS, DENSE_OPS = ("pointwise", "depthwise", "standard"), ("pointwise", "standard", "linear")
COPIED = ("images", "weights")
IN_PASSES = ("batch_norm", "activation", "other")


def ceilings_of(row: pd.Series) -> Ceilings:
    """The ceilings that were measured with a row. A cache that was not measured is none."""
    cache = [0.0 if pd.isna(row[name]) else float(row[name]) for name in ("cache_rate", "cache_size")]
    return Ceilings(row["peak_rate"], row["copy_rate"], *cache)


def least_of(row: pd.Series, kind: str | None = None, ops: Iterable[str] = ()) -> list[LeastTime]:
    """The least times of the layers that a row describes, or of another kind in its place; only of some types.

    None of them where this version does not know the kind's layers, or on how many bytes the precision computes.
    """
    layers, element_size = known.layers_of(row, kind), known.element_size(row["precision"])
    if not layers or element_size is None:
        return []
    ops = tuple(ops)
    times = least_times(layers, ceilings_of(row), int(row["batch_size"]), element_size)
    return [time for layer, time in zip(layers, times, strict=True) if not ops or layer.op in ops]


@dataclass(frozen=True)
class Ran:
    """What ran in a call of one case, in seconds, by type of kernel and of operator."""

    case: pd.Series
    kernels: Mapping[str, float]
    """By type; empty where nothing was traced."""
    operators: Mapping[str, float]
    """By type, as profiled: only shares, and differences from `empty`, mean something."""
    empty: Mapping[str, float]
    """The same of operators that have next to nothing to compute."""

    @property
    def is_traced(self) -> bool:
        """Whether its kernels are known."""
        return bool(self.kernels) and self.case["traced_call"] > 0

    def busy(self, operator: str) -> float:
        """Seconds in kernels of a type; where none was traced, in operators of it, less their dispatch.

        On the host casts and other work are both: the library's own, within its convolutions, and torch's operators.
        """
        profiled = max(0.0, self.operators.get(operator, 0.0) - self.empty.get(operator, 0.0))
        if operator not in self.kernels:
            return profiled
        apart = operator in ("cast", "other") and known.device_named(self.case["device"]).is_host
        return self.kernels[operator] + (profiled if apart else 0.0)

    def dispatch_of(self, operator: str) -> float:
        """Seconds of dispatch of a type of operator: its share of them all when there is next to nothing to compute."""
        whole = sum(self.empty.values())
        return ((self.dispatch or 0.0) - (self.within or 0.0)) * self.empty.get(operator, 0.0) / whole if whole else 0.0

    @property
    def dispatch_in_convolutions(self) -> float | None:
        """Seconds of dispatch of convolutions, and of what the library does beside their kernels. None if unknown."""
        return None if self.within is None else self.within + sum(map(self.dispatch_of, CONVOLUTIONS))

    @property
    def within(self) -> float | None:
        """Seconds that convolutions take beside their kernels, beyond those on next to nothing. None if unknown."""
        return self._measured("dispatch_within")

    @property
    def dispatch(self) -> float | None:
        """Seconds of Python and dispatch: on next to nothing, and what gaps take beyond that, between and in operators.

        They are longer where caches are full of something else. None where it was not measured.
        """
        found = self._measured("dispatch_time")
        return None if found is None else found + self.busy("between") + (self.within or 0.0)

    def _measured(self, name: str) -> float | None:
        found = self.case.get(name)
        return None if found is None or pd.isna(found) else float(found)

    @property
    def passes(self) -> float:
        """Seconds in passes over activations."""
        return sum(map(self.busy, IN_PASSES))


def ran_in(case: pd.Series, results: Results) -> Ran:
    """What ran in a call of a latency, or of the changed side of a gain."""
    traced = results.kernels[results.kernels["id"] == case["id"]]
    profiled = results.operators[results.operators["id"] == case["id"]]
    known_empty = profiled.dropna(subset=["empty"])
    return Ran(
        case,
        traced.groupby("kernel")["seconds"].sum().to_dict(),
        dict(zip(profiled["operator"], profiled["seconds"], strict=True)),
        dict(zip(known_empty["operator"], known_empty["empty"], strict=True)),
    )


def with_kernel_times(rows: pd.DataFrame, results: Results) -> pd.DataFrame:
    """Latencies of blocks with `seconds`, the time of their convolutions' kernels alone where these were traced.

    Where they were not, of the whole call. `timed`: kernels or call.
    """
    kernels = results.kernels[results.kernels["kernel"].isin(CONVOLUTIONS)].groupby("id")["seconds"].sum()
    within = rows["id"].map(kernels) / rows["traced_call"].astype(float) * rows["latency_p50"]
    return rows.assign(
        seconds=within.fillna(rows["latency_p50"]), timed=within.isna().map({True: "call", False: "kernels"})
    )


def causes_of(ran: Ran, time: float) -> dict[str, float]:
    """Seconds by cause of a call of `time` seconds. They add up to it; what nothing explains may be negative."""
    case = ran.case
    whole = sum(ran.operators.values())
    shares = {name: seconds / whole for name, seconds in ran.operators.items()} if whole else {}
    overheads = known.device_named(case["device"]).overheads(facts_of(case), shares, time)
    if not ran.is_traced:
        return _by_operator(case, time, overheads)
    scale = time / case["traced_call"]
    dense, depthwise = sum(map(ran.busy, DENSE_OPS)), ran.busy("depthwise")
    parts = {
        **_beside_roofs(dense, least_of(case, ops=DENSE_OPS), depthwise, least_of(case, ops=("depthwise",)), scale),
        CONVERSIONS: sum(ran.kernels.get(name, 0.0) for name in COPIED),
        PASSES: ran.passes,
        "casts": ran.busy("cast"),
    }
    parts = {name: seconds * scale for name, seconds in parts.items()}
    if ran.dispatch is not None:
        overheads["dispatch"] = ran.dispatch * scale
    # Memory is mapped when a kernel first writes to it, so that its time is in theirs.
    beside = 1 - min(1.0, overheads.get("allocator", 0.0) / sum(parts.values())) if sum(parts.values()) else 1.0
    parts = {name: seconds * beside for name, seconds in parts.items()} | overheads
    return parts | {UNEXPLAINED: time - sum(parts.values())}


def _beside_roofs(
    dense: float, least_dense: list[LeastTime], depthwise: float, least_depthwise: list[LeastTime], scale: float
) -> dict[str, float]:
    """Seconds of convolutions at the roofs of their layers, and beyond; all of them where they are above a roof."""
    parts = {"compute": 0.0, "memory bandwidth": 0.0}
    for name, measured, least in ((DENSE, dense, least_dense), (DEPTHWISE, depthwise, least_depthwise)):
        roofs = {"compute": 0.0, "memory bandwidth": 0.0}
        for one in least:
            roofs["compute" if one.is_bound_by_compute else "memory bandwidth"] += one.total(eager=False) / scale
        whole = sum(roofs.values())
        within = min(1.0, measured / whole) if whole else 0.0
        for roof, seconds in roofs.items():
            parts[roof] += seconds * within
        parts[name] = measured - whole * within
    return parts


def _by_operator(case: pd.Series, time: float, overheads: dict[str, float]) -> dict[str, float]:
    """The same where kernels were not traced: what the ceilings do not explain is `kernels`, and may be negative."""
    least = least_of(case)
    parts = {
        "compute": sum(one.compute for one in least if one.is_bound_by_compute),
        "memory bandwidth": sum(one.passes + (0 if one.is_bound_by_compute else one.traffic) for one in least),
        **overheads,
    }
    return parts | {"kernels": time - sum(parts.values())}


def predicted_time(plain: Ran, changed: Ran, time: float, folds: bool) -> float | None:
    """Seconds of a call in a mode, from what ran in plain eager code, whose call takes `time`.

    The mode's own trace tells which convolutions and conversions take the place of the eager ones, and how long it
    takes to dispatch them; folding takes away BatchNorm's passes and dispatch. All else is taken to stay. What is of a
    call is a share of it when it was traced, so that a slow moment of the machine is in neither. None where one of the
    two was not traced.
    """
    if not (plain.is_traced and changed.is_traced):
        return None
    scales = time / plain.case["traced_call"], changed.case["latency_p50"] / changed.case["traced_call"]
    sides = tuple(zip((plain, changed), scales, strict=True))
    before, after = (
        scale * sum(ran.kernels.get(name, 0.0) for name in (*CONVOLUTIONS, *COPIED)) for ran, scale in sides
    )
    dispatched = [
        scale * ran.dispatch_in_convolutions for ran, scale in sides if ran.dispatch_in_convolutions is not None
    ]
    if len(dispatched) == len(sides):  # known of one alone, it would seem to come or to go
        before, after = before + dispatched[0], after + dispatched[1]
    norms = plain.busy("batch_norm") + plain.dispatch_of("batch_norm") if folds else 0.0
    return float(time - before + after - scales[0] * norms)


def facts_of(row: pd.Series) -> dict[str, Any]:
    """A row's values by the names of their columns."""
    return {str(name): value for name, value in row.items()}
