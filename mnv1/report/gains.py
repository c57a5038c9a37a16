"""What modes gain over plain eager code, beside what the attribution says that they should; and what follows."""

from __future__ import annotations

import pandas as pd

from mnv1.base.facts import GAIN
from mnv1.report import units
from mnv1.report.attribution import CONVERSIONS, COPIED, Ran, causes_of, predicted_time, ran_in
from mnv1.report.known import is_folding, mode_ranks, precision_ranks
from mnv1.store.runs import Results

WITHIN = 0.25
"""A prediction is right when the time that it says is saved is within this share of what is saved."""

UNLIKE = "traced in unlike states"
"""Of a prediction from traces of plain code and of the mode that were made in other states of the machine."""

WORTH = 1.02
"""The least gain that is worth a word."""


def gains_of(results: Results) -> pd.DataFrame:
    """Every gain with its prediction, in the order of precisions, batch sizes and modes.

    `predicted`: eager time / predicted time. `saved`, `predicted_saved`: shares of the eager call. `right`: yes, no,
    not traced, or traced in unlike states. `removed`: the share of the copies between layouts that is gone.
    """
    rows = results.cases[results.cases["measures"] == GAIN]
    keys = pd.DataFrame(
        {"precision": precision_ranks(rows["precision"]), "batch": rows["batch_size"], "mode": mode_ranks(rows["mode"])}
    )
    rows = rows.loc[keys.sort_values(keys.columns.tolist(), kind="stable").index].reset_index(drop=True)
    found = pd.DataFrame(
        [_predicted(row, results) for _, row in rows.iterrows()],
        rows.index,
        ["predicted", "removed", "unlike"],
        dtype=float,
    )
    rows = rows.assign(predicted=found["predicted"], removed=found["removed"])
    saved, low, high, promised = (
        1 - 1 / rows[name] for name in ("speedup", "speedup_low", "speedup_high", "predicted")
    )
    right = promised.between(low - WITHIN * saved.abs(), high + WITHIN * saved.abs())
    words = right.map({True: "yes", False: "no"}).where(promised.notna(), "not traced")
    words = words.mask(promised.notna() & found["unlike"].gt(0), UNLIKE)
    return rows.assign(saved=saved, predicted_saved=promised, right=words)


def _predicted(row: pd.Series, results: Results) -> tuple[float | None, float | None, float]:
    """The gain that is predicted and the share of copies that goes, where plain code and the mode were traced.

    And whether the machine was in unlike states meanwhile.
    """
    plain, changed = plain_of(row, results), ran_in(row, results)
    time = plain and predicted_time(plain, changed, row["standard_latency_p50"], is_folding(row["mode"]))
    if plain is None or time is None:
        return None, None, 0.0
    before, after = (sum(one.kernels.get(name, 0.0) for name in COPIED) for one in (plain, changed))
    states = {str(one) for one in (plain.case["traced_state"], row["traced_state"]) if pd.notna(one)}
    mixed = "" in states and isinstance(row["state"], str) and row["state"] != ""  # states are read, and it met several
    return row["standard_latency_p50"] / time, 1 - after / before if before else None, float(mixed or len(states) > 1)


def plain_of(row: pd.Series, results: Results) -> Ran | None:
    """What ran in plain eager code of the same network under the same conditions, if it was measured."""
    same = (results.cases["measures"] == "latency") & (results.cases["mode"] == "eager")
    for name in ("subject", "kind", "shape", "batch_size", "device", "precision"):
        same &= results.cases[name] == row[name]
    found = results.cases[same]
    return None if found.empty else ran_in(found.iloc[0], results)


def with_advice(pairs: pd.DataFrame, results: Results) -> pd.DataFrame:
    """Speedups with `advice`, a sentence on what the separable side wins by what mode, and `best_gain`, where known."""
    gains = gains_of(results)
    found = [_advice(pair, gains, results) for _, pair in pairs.iterrows()]
    return pairs.assign(
        advice=pd.Series([text for text, _ in found], pairs.index, dtype=object),
        best_gain=pd.Series([gain for _, gain in found], pairs.index, dtype=float),
    )


def _advice(pair: pd.Series, gains: pd.DataFrame, results: Results) -> tuple[str | None, float | None]:
    same = gains["speedup_low"] > WORTH
    for name in ("kind", "shape", "batch_size", "device", "precision"):
        same &= gains[name] == pair[name]
    worth = gains[same].sort_values("speedup", kind="stable")
    plain = plain_of(pair, results)
    if worth.empty or plain is None or not plain.is_traced:
        return None, None
    time = float(plain.case["latency_p50"])
    copied = causes_of(plain, time)[CONVERSIONS] / time
    return (
        f"At batch {pair['batch_size']:g}, copies between memory layouts cost {100 * copied:.0f} % of its call; "
        f"{', '.join(_gain(row) for _, row in worth.iterrows())}. `scripts/find_fastest.py` tries every way to run it.",
        float(worth["speedup"].max()),
    )


def _gain(row: pd.Series) -> str:
    removed = f" removes {100 * row['removed']:.0f} % of them and" if row["removed"] > 0.05 else ""
    return f"{row['mode']}{removed} gains {units.ratio(row['speedup'])}"
