"""Why a speedup is not the ratio of operations: how much of it this machine allows, and where the rest goes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from mnv1.cases import PRECISIONS, Block, Network, device_named
from mnv1.net.roofline import Ceilings, ideal_speedup, least_times
from mnv1.store.runs import Results

CAUSES = ("compute", "memory bandwidth", "launch", "dispatch", "allocator", "kernels")
"""What a call's time goes into: operations at the peak rate; traffic that takes longer, at the measured bandwidth, with
the passes of BatchNorm and ReLU; CUDA: waiting for the host to launch kernels; CPU: time between operators; the
operating system mapping memory for the allocator; and the rest, in which kernels run below the ceilings."""

NEAR_THEORY = 0.9
"""From this share of the MAC ratio on, nothing but the operations limits a speedup."""


def workload_of(row: pd.Series, kind: str | None = None) -> Block | Network:
    """The block or network that a row describes, or one of another kind in its place."""
    kind = kind or row["kind"]
    if row["subject"] == "model":
        return Network(kind, float(row["alpha"]), int(row["resolution"]))
    numbers = (int(row[name]) for name in ("in_channels", "out_channels", "stride", "side"))
    return Block(kind, *numbers)


def ceilings_of(row: pd.Series) -> Ceilings:
    """The ceilings that were measured with a row. A cache that was not measured is none."""
    cache = [0.0 if pd.isna(row[name]) else float(row[name]) for name in ("cache_rate", "cache_size")]
    return Ceilings(row["peak_rate"], row["copy_rate"], *cache)


def with_ceilings(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows whose run has ceilings."""
    return rows[rows["peak_rate"].gt(0) & rows["copy_rate"].gt(0)]


def with_ideals(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of speedups whose run has ceilings, with how much of the ratio of MACs the roofline allows.

    `ideal_folded`: with BatchNorm folded into the convolution and ReLU fused, so that each layer reads its input and
    writes its output once. `ideal_eager`: with BatchNorm and ReLU as passes of their own, as PyTorch runs them.
    """
    known = with_ceilings(rows)
    folded, eager = ([_ideal(row, passes) for _, row in known.iterrows()] for passes in (False, True))
    return known.assign(ideal_folded=folded, ideal_eager=eager)


def _ideal(row: pd.Series, eager: bool) -> float:
    standard, separable = (workload_of(row, kind).layers for kind in ("standard", "separable"))
    batch_size, element_size = int(row["batch_size"]), PRECISIONS[row["precision"]].element_size
    return ideal_speedup(standard, separable, ceilings_of(row), batch_size, element_size, eager)


@dataclass(frozen=True)
class Excess:
    """The seconds that a separable network takes beyond what counting promises, by cause and by operator.

    Counting promises the standard network's time divided by the ratio of MACs. Each part of it is the separable
    network's time in a cause, less the standard network's divided by that ratio; so the parts add up to the whole.
    """

    causes: dict[str, float]
    operators: dict[str, float]

    @property
    def total(self) -> float:
        """All of it."""
        return sum(self.causes.values())


def excess_of(pair: pd.Series, results: Results) -> Excess | None:
    """Where a pair's missing speedup goes. None where its run lacks ceilings, or a profile of either side."""
    sides = {}
    for kind, time in (("standard", pair["standard_latency_p50"]), ("separable", pair["latency_p50"])):
        case = _latency_of(pair, kind, results.cases)
        if case is None or not case["peak_rate"] > 0 or not case["copy_rate"] > 0:
            return None
        profiled = results.operators[results.operators["id"] == case["id"]]
        if profiled.empty:
            return None
        shares = profiled.set_index("operator")["seconds"] / profiled["seconds"].sum()
        sides[kind] = (_budget(case, float(time), shares), _by_operator(float(time), shares))
    causes, operators = (
        {
            name: sides["separable"][part].get(name, 0.0) - sides["standard"][part].get(name, 0.0) / pair["macs_ratio"]
            for name in dict.fromkeys((*sides["separable"][part], *sides["standard"][part]))
        }
        for part in (0, 1)
    )
    return Excess(causes, operators)


def _by_operator(time: float, shares: pd.Series) -> dict[str, float]:
    """Seconds of a call by operator. The 1x1 convolutions do what the twin's 3x3 do, so they are one operator here."""
    found: dict[str, float] = {}
    for name, share in shares.items():
        operator = "convolution" if name in ("pointwise", "standard") else str(name)
        found[operator] = found.get(operator, 0.0) + time * float(share)
    return found


def _latency_of(pair: pd.Series, kind: str, cases: pd.DataFrame) -> pd.Series | None:
    """The latency case of one side of a pair."""
    same = (cases["measures"] == "latency") & (cases["kind"] == kind)
    for name in ("subject", "shape", "batch_size", "device", "precision", "mode"):
        same &= cases[name] == pair[name]
    found = cases[same]
    return None if found.empty else found.iloc[0]


def _budget(case: pd.Series, time: float, shares: pd.Series) -> dict[str, float]:
    """Seconds of a call of `time` seconds by cause. What the ceilings do not explain may be negative."""
    layers = workload_of(case).layers
    least = least_times(layers, ceilings_of(case), int(case["batch_size"]), PRECISIONS[case["precision"]].element_size)
    parts = {
        "compute": sum(one.compute for one in least if one.is_bound_by_compute),
        "memory bandwidth": sum(one.passes + (0 if one.is_bound_by_compute else one.traffic) for one in least),
    }
    parts |= device_named(case["device"]).overheads(_named(case), _named(shares), time)
    return parts | {"kernels": time - sum(parts.values())}


def _named(row: pd.Series) -> dict[str, Any]:
    return {str(name): value for name, value in row.items()}


def limiting_factor(pair: pd.Series, excess: Excess) -> str:
    """What keeps a speedup from the ratio of MACs: the cause with most of the excess, or `compute` when little is."""
    if pair["speedup"] >= NEAR_THEORY * pair["macs_ratio"]:
        return "compute"
    return max(excess.causes, key=lambda name: excess.causes[name])


def with_limits(rows: pd.DataFrame, results: Results) -> pd.DataFrame:
    """Rows of speedups with `limited_by`, `excess` (seconds) and the share of it by cause and operator, where known."""
    found: list[dict[str, object]] = []
    for _, row in rows.iterrows():
        excess = excess_of(row, results)
        if excess is None:
            found.append({"limited_by": None})
            continue
        parts = [("cause", excess.causes), ("operator", excess.operators)] if excess.total > 0 else []
        shares = {f"{of}_{name}": value / excess.total for of, part in parts for name, value in part.items()}
        found.append({"limited_by": limiting_factor(row, excess), "excess": excess.total, **shares})
    limits = pd.DataFrame(found, index=range(len(found)))
    for column in ("limited_by", "excess"):
        if column not in limits:
            limits[column] = None
    return pd.concat([rows.reset_index(drop=True), limits], axis="columns")
