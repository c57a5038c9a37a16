"""Whether a run reproduces another one: figure by figure, state by state. A pure function of two stored runs.

Reproducibility as in ISO 5725: agreement between runs under changed conditions, here another time on the same kind of
machine; ACM's badge for it is "Results Reproduced".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy import special, stats

from mnv1.base import tables
from mnv1.base.statistics import holm
from mnv1.report import units
from mnv1.report.rows import Rows

Word = Literal["reproduced", "differs", "cannot tell"]

WITHIN = 0.1
"""Figures are reproduced when the interval of their ratio is within plus or minus this share of 1."""

ENOUGH = 0.5
"""Share of figures that must be reproduced for the run to be."""

UNKNOWN_VISITS = 4
"""Visits that are assumed where a run does not say how many a figure rests on."""


@dataclass(frozen=True)
class Compared:
    """A figure of both runs in the same state. The ratio is that of the new one to the old one."""

    id: str
    measures: str
    state: str
    figure: str
    before: float
    after: float
    ratio: float
    low: float
    high: float
    p: float
    """Probability of a difference this large where there is none (Welch's test on a logarithmic scale)."""
    word: Word


def compared(before: Rows, after: Rows, within: float = WITHIN) -> list[Compared]:
    """Every figure that both runs have in the same state (tables of `mnv1.store.figures`).

    A figure `differs` when its difference is certain after Holm's correction over all figures (1979), and its ratio's
    interval is not within the limit; it is `reproduced` when that interval is; otherwise nobody can tell.
    """
    keys = ["id", "measures", "state", "figure"]
    both = before.merge(after, on=keys, suffixes=("_before", "_after"))
    found = [(row, *_difference(row)) for row in _records(both)]
    certain = holm([p for *_, p in found])
    limit = math.log1p(within)
    results = []
    for (row, difference, reach, p), is_certain in zip(found, certain, strict=True):
        low, high = difference - reach, difference + reach
        inside = -limit <= low and high <= limit
        word: Word = "reproduced" if inside else "differs" if is_certain else "cannot tell"
        ratio, lowest, highest = map(math.exp, (difference, low, high))
        results.append(
            Compared(
                *(str(row["id"]), str(row["measures"]), str(row["state"]), str(row["figure"])),
                before=row["value_before"],
                after=row["value_after"],
                ratio=ratio,
                low=lowest,
                high=highest,
                p=p,
                word=word,
            )
        )
    return results


def _records(rows: Rows) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in rows.to_dict("records")]


def _difference(row: dict[str, Any]) -> tuple[float, float, float]:
    """The difference of the logarithms, how far its 95 % interval reaches, and its probability."""
    errors, freedoms = [], []
    for side in ("before", "after"):
        visits = row[f"visits_{side}"]
        freedom = (UNKNOWN_VISITS if visits is None or math.isnan(visits) else visits) - 1
        half = (math.log(row[f"high_{side}"]) - math.log(row[f"low_{side}"])) / 2
        errors.append((half / special.stdtrit(freedom, 0.975)) ** 2)
        freedoms.append(freedom)
    difference = math.log(row["value_after"] / row["value_before"])
    variance = sum(errors)
    if variance == 0:
        return difference, 0.0, float(difference == 0)
    freedom = variance**2 / sum(one**2 / n for one, n in zip(errors, freedoms, strict=True))
    error = math.sqrt(variance)
    p = 2 * special.stdtr(freedom, -abs(difference) / error)
    return difference, float(special.stdtrit(freedom, 0.975)) * error, float(p)


def missing(before: Rows, after: Rows) -> dict[str, int]:
    """By state, how many figures of the old run the new one has not: the machine was not in it for long enough."""
    keys = ["id", "measures", "state", "figure"]
    both = before.merge(after[keys], on=keys, how="left", indicator=True)
    lost = both[both["_merge"] == "left_only"]
    return {str(state): len(part) for state, part in lost.groupby("state", sort=False)}


def status(results: Sequence[Compared]) -> int:
    """The exit status: 0 reproduced, 1 something differs, 3 nobody can tell."""
    words = [one.word for one in results]
    if "differs" in words:
        return 1
    return 0 if words and words.count("reproduced") >= ENOUGH * len(words) else 3


def summary(results: Sequence[Compared]) -> str:
    """One line."""
    words: list[str] = [one.word for one in results]
    counts = ", ".join(
        f"{words.count(word)} {said}"
        for word, said in (("reproduced", "reproduced"), ("differs", "differ"), ("cannot tell", "cannot be told"))
    )
    said = {0: "reproduced", 1: "differs", 3: "cannot tell"}[status(results)]
    return f"{said}: of {len(words)} figures {counts}"


def table(results: Sequence[Compared]) -> str:
    """Every figure with its verdict: what differs first, then what cannot be told."""
    order: dict[Word, int] = {"differs": 0, "cannot tell": 1, "reproduced": 2}
    rows = [
        (
            one.id,
            one.state or "not read",
            *(
                units.ratio(value) if one.figure == "speedup" else units.seconds(value)
                for value in (one.before, one.after)
            ),
            f"{one.ratio:.3f} [{one.low:.3f}, {one.high:.3f}]",
            one.word,
        )
        for one in sorted(results, key=lambda one: (order[one.word], one.id, one.state))
    ]
    header = ("case", "state", "before", "now", "now / before [95 %]", "verdict")
    return tables.terminal(header, rows, left=("case", "state", "verdict"), padded=False)


@dataclass(frozen=True)
class Unlike:
    """What two runs of unlike hardware have in common."""

    same_side: int
    speedups: int
    """Speedups of which both runs know which side is faster, and in how many both say the same."""
    order: float
    """Spearman's rank correlation of the cases' latencies."""
    cases: int
    ratios: int
    same_ratios: int
    """Ratios of MACs that both runs counted, and how many are equal."""
    memories: int
    same_memories: int
    """Peaks of allocated memory, and how many are equal to the byte."""


def unlike(before: Rows, after: Rows) -> Unlike:
    """Compare two runs of unlike hardware (tables of `mnv1.store.runs`) in what does not depend on it much."""
    both = before.merge(after, on="id", suffixes=("_before", "_after"))

    def pairs(name: str) -> pd.DataFrame:
        return both[[f"{name}_before", f"{name}_after"]].dropna().astype(float)

    sides = both[["speedup_low_before", "speedup_high_before", "speedup_low_after", "speedup_high_after"]].dropna()
    faster = [np.where(sides[f"speedup_low_{one}"] > 1, 1, 0) for one in ("before", "after")]
    slower = [np.where(sides[f"speedup_high_{one}"] < 1, 1, 0) for one in ("before", "after")]
    known = (faster[0] + slower[0]) * (faster[1] + slower[1]) > 0
    latencies, ratios, memories = (pairs(name) for name in ("latency_p50", "macs_ratio", "peak_memory"))
    vary = len(latencies) > 1 and bool((latencies.nunique() > 1).all())
    order = stats.spearmanr(latencies.iloc[:, 0], latencies.iloc[:, 1]).statistic if vary else math.nan
    return Unlike(
        same_side=int((known & (faster[0] == faster[1])).sum()),
        speedups=int(known.sum()),
        order=float(order),
        cases=len(latencies),
        ratios=len(ratios),
        same_ratios=int(np.isclose(ratios.iloc[:, 0], ratios.iloc[:, 1]).sum()),
        memories=len(memories),
        same_memories=int((memories.iloc[:, 0] == memories.iloc[:, 1]).sum()),
    )


def unlike_text(found: Unlike) -> str:
    """The same in words, with what may not be compared."""
    return "\n".join(
        [
            f"faster side: the same in {found.same_side} of {found.speedups} speedups",
            f"order of the cases by latency: rank correlation {found.order:.3f} over {found.cases} cases",
            f"MAC ratios: equal in {found.same_ratios} of {found.ratios} speedups",
            f"peak memory: equal in {found.same_memories} of {found.memories} cases",
            "not compared: latencies, throughput and the size of speedups, which belong to the hardware",
        ]
    )
