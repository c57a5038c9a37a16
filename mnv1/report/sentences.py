"""Sentences on rows that several views, or the headlines, say: derived from the data, for readers in a hurry."""

from __future__ import annotations

import math
from collections.abc import Callable
from math import log

import pandas as pd

from mnv1.report import units
from mnv1.report.rows import Rows

Say = Callable[[Rows], str]


def several(parts: list[str]) -> str:
    """`a`, `a and b`, or `a, b and c`."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def faster_or_slower(rows: Rows) -> str:
    """Which speedups are told apart from 1, each with its interval and batch size: `faster by 4.80× […] at batch 1`."""
    parts = []
    faster, slower = rows["speedup_low"] > 1, rows["speedup_high"] < 1
    words = ((faster, "faster by"), (~(faster | slower), "indistinguishable from it:"), (slower, "slower:"))
    for chosen, word in words:
        found = rows[chosen]
        ratios = [
            f"{units.ratio_interval(*row[['speedup', 'speedup_low', 'speedup_high']])} at batch {row['batch_size']:g}"
            for _, row in found.iterrows()
        ]
        parts += [f"{word} {several(ratios)}"] if ratios else []
    return ", but ".join(parts)


LIMITS = {
    "compute": "only the rate of operations limits it",
    "memory bandwidth": "memory bandwidth limits it",
    "launch": "it waits for the host to launch its kernels",
    "dispatch": "it waits for Python and libraries to dispatch its operators",
    "allocator": "it waits for the system to map memory anew at every call",
    "kernels": "its kernels run further below the machine's peak than standard kernels do",
    "1×1, 3×3 kernels": "its 1×1 convolutions run further below the machine's peak than 3×3 convolutions do",
    "depthwise kernels": "its depthwise convolutions stay below what memory allows",
    "layout conversions": "copies of images and weights from one memory layout to another cost most",
    "BN, ReLU passes": "BatchNorm and ReLU pass over its activations once more each",
    "casts": "casts of weights and activations cost most",
    "not explained": "most of what it loses is not explained",
}
"""What each cause does to the separable network."""


def timed(rows: Rows) -> str:
    """Of how many layers it is the time of kernels that is looked at; nothing where it is of none."""
    of_kernels = int((rows["timed"] == "kernels").sum())
    if not of_kernels:
        return ""
    return f" Times are of the convolutions' kernels alone in {of_kernels} of {len(rows)} rows, and of calls elsewhere."


def span(shares: pd.Series) -> str:
    """From the least share to the largest: `5 to 12 %`."""
    low, high = (f"{100 * value:.0f}" for value in (shares.min(), shares.max()))
    return f"{low} %" if low == high else f"{low} to {high} %"


def sweep(axis: str) -> Say:
    """How much of a reduction of MACs becomes time, for separable networks from the largest to the smallest."""

    def say(rows: Rows) -> str:
        parts = []
        for (precision, size), curve in rows[rows["kind"] == "separable"].groupby(
            ["precision", "batch_size"], sort=False
        ):
            curve = curve.sort_values("macs")
            small, large = curve.iloc[0], curve.iloc[-1]
            busy = small["device_busy"], large["device_busy"]
            alone = "" if any(map(pd.isna, busy)) else f"; of kernels alone {_slope(small, large, 'device_busy'):.2f}"
            parts.append(
                f"{units.ratio(large['macs'] / small['macs'])} fewer MACs give "
                f"{units.ratio(large['latency_p50'] / small['latency_p50'])} less time in {precision} at batch "
                f"{size:g} (slope {_slope(small, large, 'latency_p50'):.2f}{alone})"
            )
        ends = {"alpha": "smallest α", "resolution": "lowest resolution"}[axis]
        return f"From the largest to the {ends}: {'; '.join(parts)}." if parts else ""

    return say


def _slope(small: pd.Series, large: pd.Series, seconds: str) -> float:
    return log(large[seconds] / small[seconds]) / log(large["macs"] / small["macs"])


def rank_correlation(one: pd.Series, other: pd.Series) -> float:
    """Spearman's ρ; not a number where one side does not vary."""
    if one.nunique() < 2 or other.nunique() < 2:
        return math.nan
    return float(one.rank().corr(other.rank()))


def size_name(row: pd.Series) -> str:
    """A network's size: `α 0.5 at 160 px`."""
    return f"α {row['alpha']:g} at {row['resolution']:g} px"


def memory(rows: Rows) -> str:
    """How much memory the separable network and its twin need."""
    parts = []
    for (precision, size), group in rows.groupby(["precision", "batch_size"], sort=False):
        peaks = group.set_index("kind")["peak_memory"]
        if {"standard", "separable"} <= set(peaks.index):
            standard, separable = (units.bytes_(peaks[kind]) for kind in ("standard", "separable"))
            parts.append(f"{precision}, batch {size:g}: {separable} and {standard}")
    return f"Peaks of the separable network and of its twin: {'; '.join(parts)}." if parts else ""
