"""Why a speedup is not the ratio of operations: what this machine's ceilings leave of it, step by step."""

from __future__ import annotations

import pandas as pd

from mnv1.cases import ELEMENT_SIZE, Block, Network, Workload
from mnv1.roofline import Ceilings, ideal_speedup


def with_ideals(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of speedups whose run has ceilings, with what the roofline leaves of the ratio of MACs.

    `ideal_folded`: with BatchNorm folded into the convolution and ReLU fused, so that each layer reads its input and
    writes its output once. `ideal_eager`: with BatchNorm and ReLU as passes of their own, as PyTorch runs them.
    """
    known = rows[rows["gemm_rate"].gt(0) & rows["copy_rate"].gt(0)]
    folded, eager = ([_ideal(row, passes) for _, row in known.iterrows()] for passes in (False, True))
    return known.assign(ideal_folded=folded, ideal_eager=eager)


def _ideal(row: pd.Series, eager: bool) -> float:
    standard, separable = (_workload(row, kind).layers for kind in ("standard", "separable"))
    ceilings = Ceilings(row["gemm_rate"], row["copy_rate"])
    return ideal_speedup(standard, separable, ceilings, int(row["batch_size"]), ELEMENT_SIZE[row["precision"]], eager)


def _workload(row: pd.Series, kind: str) -> Workload:
    if row["subject"] == "model":
        return Network(kind, float(row["alpha"]), int(row["resolution"]))  # type: ignore[arg-type]
    numbers = (int(row[name]) for name in ("in_channels", "out_channels", "stride", "side"))
    return Block(kind, *numbers)  # type: ignore[arg-type]
