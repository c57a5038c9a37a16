"""Why a speedup is not the ratio of operations: how much of it this machine allows, and where the rest goes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from mnv1.report.attribution import Ran, causes_of, least_of, ran_in
from mnv1.store.runs import Results

NEAR_THEORY = 0.9
"""From this share of the MAC ratio on, nothing but the operations limits a speedup."""


OPERATORS = {
    "pointwise": "1×1",
    "depthwise": "depthwise",
    "standard": "3×3",
    "linear": "FC",
    "batch_norm": "BN",
    "activation": "activation",
    "cast": "cast",
    "other": "other",
    "between": "between",
    "launch": "launch gaps",
}
"""Types of operators in the order of tables and plots, with their headings."""

EXCESS_OPERATORS = {"convolution": "1×1, 3×3"} | {
    name: label for name, label in OPERATORS.items() if name not in ("pointwise", "standard")
}
"""The same where dense convolutions are one type."""


def with_ceilings(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows whose run has ceilings."""
    return rows[rows["peak_rate"].gt(0) & rows["copy_rate"].gt(0)]


def with_ideals(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of speedups whose run has ceilings, with how much of the ratio of MACs the roofline allows.

    `ideal_folded`: with BatchNorm folded into the convolution and ReLU fused, so that each layer reads its input and
    writes its output once. `ideal_eager`: with BatchNorm and ReLU as passes of their own, as PyTorch runs them.
    """
    rows = with_ceilings(rows)
    folded, eager = ([_ideal(row, passes) for _, row in rows.iterrows()] for passes in (False, True))
    return rows.assign(ideal_folded=folded, ideal_eager=eager).dropna(subset=["ideal_folded", "ideal_eager"])


def _ideal(row: pd.Series, eager: bool) -> float:
    """Not a number where the least times are not known."""
    standard, separable = (sum(one.total(eager) for one in least_of(row, kind)) for kind in ("standard", None))
    return standard / separable if separable else math.nan


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
    """Where a pair's missing speedup goes. None where its run lacks ceilings, or a profile or least times of a side."""
    sides: dict[str, tuple[dict[str, float], dict[str, float]]] = {}
    times = (("standard", "standard", pair["standard_latency_p50"]), ("separable", pair["kind"], pair["latency_p50"]))
    found: dict[str, Ran] = {}
    for side, kind, _ in times:
        case = latency_of(pair, kind, results.cases)
        if case is None or not case["peak_rate"] > 0 or not case["copy_rate"] > 0:
            return None
        found[side] = ran_in(case, results)
        if not found[side].operators or not least_of(case):
            return None
    if len({ran.is_traced for ran in found.values()}) > 1:
        return None  # causes of one side are not those of the other
    for side, _, time in times:
        causes = causes_of(found[side], float(time))
        sides[side] = causes, _by_operator(float(time), found[side].operators, causes.get("launch", 0.0))
    causes, operators = (
        {
            name: sides["separable"][part].get(name, 0.0) - sides["standard"][part].get(name, 0.0) / pair["macs_ratio"]
            for name in dict.fromkeys((*sides["separable"][part], *sides["standard"][part]))
        }
        for part in (0, 1)
    )
    return Excess(causes, operators)


def _by_operator(time: float, profiled: Mapping[str, float], launch: float) -> dict[str, float]:
    """Seconds of a call by operator. The 1x1 convolutions do what the twin's 3x3 do, so they are one operator here.

    Gaps in which a device waits for a launch go by the number of kernels, not by their time: a part of their own.
    """
    found = {"launch": launch} if launch else {}
    whole, time = sum(profiled.values()), time - launch
    for name, seconds in profiled.items():
        operator = "convolution" if name in ("pointwise", "standard") else name
        found[operator] = found.get(operator, 0.0) + time * seconds / whole
    return found


def latency_of(pair: pd.Series, kind: str, cases: pd.DataFrame) -> pd.Series | None:
    """The latency case of one side of a pair, if it was measured."""
    same = (cases["measures"] == "latency") & (cases["kind"] == kind)
    for name in ("subject", "shape", "batch_size", "device", "precision", "mode"):
        same &= cases[name] == pair[name]
    found = cases[same]
    return None if found.empty else found.iloc[0]


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
