"""What the rows of a view say, in a sentence or two: derived from the data, for readers in a hurry."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from math import exp, log

import pandas as pd

from mnv1.report import units
from mnv1.report.cells import EXCESS_OPERATORS, network_name
from mnv1.store.columns import PHASES

Rows = pd.DataFrame
Say = Callable[[Rows], str]


def several(parts: list[str]) -> str:
    """`a`, `a and b`, or `a, b and c`."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def verdict(rows: Rows) -> str:
    """Theory in a paragraph, then ideal, measurement and what limits it in one for each precision."""
    first = rows.iloc[0]
    paragraphs = [
        f"MobileNetV1 (α {first['alpha']:g}, {first['resolution']:g} px) needs {units.ratio(first['macs_ratio'])} "
        "fewer multiply-accumulates than its standard-convolution twin."
    ]
    for precision, group in rows.groupby("precision", sort=False):
        sentence = f"In {precision} it is {_faster_or_slower(group)}."
        ideals = group["ideal_folded"].dropna() if "ideal_folded" in group else pd.Series(dtype=float)
        if not ideals.empty:
            span = " to ".join(dict.fromkeys(map(units.ratio, (ideals.min(), ideals.max()))))
            sentence += f" This machine's ceilings would allow {span}."
        paragraphs.append(sentence + _limits(group))
    return "\n\n".join(paragraphs)


def _faster_or_slower(rows: Rows) -> str:
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


def _limits(rows: Rows) -> str:
    known = rows[rows["limited_by"].notna()] if "limited_by" in rows else rows.iloc[:0]
    if known.empty:
        return ""
    parts = []
    for cause, group in known.groupby("limited_by", sort=False):
        share = group.get(f"cause_{cause}")
        batches = several([f"{size:g}" for size in group["batch_size"]])
        how_much = "" if share is None else f": {_span(share)} of the time beyond theory"
        parts.append(f"{LIMITS[str(cause)]} (batch {batches}{how_much})")
    return f" {_sentence('; '.join(parts))}"


def training_speedup(rows: Rows) -> str:
    """The largest network's speedups, each beside the speedup of a forward pass alone."""
    largest = rows[rows["shape"] == rows["shape"].iloc[0]]
    first = largest.iloc[0]
    parts = []
    for precision, group in largest.groupby("precision", sort=False):
        part = f"In {precision} it is {_faster_or_slower(group)}"
        known = group[group["inference_speedup"].notna()]
        if not known.empty:
            names = {f"speedup{end}": f"inference_speedup{end}" for end in ("", "_low", "_high")}
            part += (
                f" (a forward pass alone: {_faster_or_slower(known.assign(**{n: known[o] for n, o in names.items()}))})"
            )
        parts.append(f"{part}.")
    return (
        f"A training step of MobileNetV1 (α {first['alpha']:g}, {first['resolution']:g} px) needs "
        f"{units.ratio(first['macs_ratio'])} fewer multiply-accumulates than a step of its standard-convolution twin. "
        f"{' '.join(parts)}"
    )


def training_steps(rows: Rows) -> str:
    """What share of a step each phase has, by kind of network, over widths, precisions and batch sizes."""
    parts = []
    for kind, group in rows.groupby("kind", sort=False):
        shares = [f"{name} {_span(group[f'share_{name}'])}" for name in PHASES]
        parts.append(f"{kind}: {', '.join(shares)}")
    return f"Shares of a step's time, over widths, precisions and batch sizes. {'; '.join(parts).capitalize()}."


LIMITS = {
    "compute": "only the rate of operations limits it",
    "memory bandwidth": "memory bandwidth limits it",
    "launch": "it waits for the host to launch its kernels",
    "dispatch": "it waits for Python to dispatch its operators",
    "allocator": "it waits for the system to map memory anew at every call",
    "kernels": "its kernels run further below the machine's peak than standard kernels do",
}
"""What each cause does to the separable network."""


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."


def _span(shares: pd.Series) -> str:
    low, high = (f"{100 * value:.0f}" for value in (shares.min(), shares.max()))
    return f"{low} %" if low == high else f"{low} to {high} %"


def excess(rows: Rows) -> str:
    """In which operators the time beyond theory is spent."""
    labels = {f"operator_{name}": label for name, label in EXCESS_OPERATORS.items() if f"operator_{name}" in rows}
    parts = []
    for _, row in rows.iterrows():
        ranked = sorted(
            ((float(row[name]), label) for name, label in labels.items() if pd.notna(row[name])), reverse=True
        )
        named = several([f"{label} ({100 * share:.0f} %)" for share, label in ranked[:3]])
        parts.append(f"{row['precision']}, batch {row['batch_size']:g}: {named}")
    return f"Where most of the time beyond theory is spent, by operator: {'; '.join(parts)}."


def operators(rows: Rows) -> str:
    """The paper's statement about 1x1 convolutions beside what was measured."""
    separable = rows[rows["kind"] == "separable"]
    if separable.empty:
        return ""
    counted = separable.iloc[0]["macs_pointwise"]
    parts = [
        f"{100 * row['time_pointwise']:.0f} % [{100 * row['time_pointwise_low']:.0f}, "
        f"{100 * row['time_pointwise_high']:.0f}] ({row['precision']}, batch {row['batch_size']:g})"
        for _, row in separable.iterrows()
    ]
    holds = (separable["time_pointwise_high"] >= 0.95).any()
    return (
        f"The paper says that MobileNet spends 95 % of its computation time in 1×1 convolutions. That is their share "
        f"of the MACs ({units.percent(counted)}). Their share of the time here is {several(parts)}: the statement "
        f"{'holds in some of these cases' if holds else 'does not hold on this machine'}."
    )


def heat_map(rows: Rows) -> str:
    """Where separable blocks win and lose."""
    ranked = rows.sort_values("speedup")
    worst, best = ranked.iloc[0], ranked.iloc[-1]
    slower = int((rows["speedup_high"] < 1).sum())
    named = [
        f"{units.ratio(row['speedup'])} ({row['shape']}, {row['precision']}, batch {row['batch_size']:g})"
        for row in (worst, best)
    ]
    losing = f"; in {slower} of {len(rows)} cases the block is slower than the standard convolution" if slower else ""
    return f"The speedup runs from {named[0]} to {named[1]}{losing}."


def roofline(rows: Rows) -> str:
    """How near the kinds come to the roof, and which points are above the memory roof and why."""
    near = [f"{kind} {units.percent(group['of_roof'].median())}" for kind, group in rows.groupby("kind", sort=False)]
    text = f"The median layer reaches this share of the roof beyond the cache: {several(near)}."
    above = rows[rows["above"]]
    if above.empty:
        return text + " No point lies above the memory roof."
    largest = units.bytes_(above["min_bytes"].max())
    cache = rows["cache_size"].iloc[0]
    size = f" of {units.bytes_(cache)}" if pd.notna(cache) and cache > 0 else ""
    return (
        f"{text} {len(above)} of {len(rows)} points lie above the memory roof: a layer in a loop finds its data (at "
        f"most {largest} here) in the last-level cache{size}, whose own roof is drawn too."
    )


def sweep(axis: str) -> Say:
    """How much of a reduction of MACs becomes time, for separable networks from the largest to the smallest."""

    def say(rows: Rows) -> str:
        parts = []
        for (precision, size), curve in rows[rows["kind"] == "separable"].groupby(
            ["precision", "batch_size"], sort=False
        ):
            curve = curve.sort_values("macs")
            small, large = curve.iloc[0], curve.iloc[-1]
            slope = log(large["latency_p50"] / small["latency_p50"]) / log(large["macs"] / small["macs"])
            parts.append(
                f"{units.ratio(large['macs'] / small['macs'])} fewer MACs give "
                f"{units.ratio(large['latency_p50'] / small['latency_p50'])} less time in {precision} at batch "
                f"{size:g} (slope {slope:.2f})"
            )
        ends = {"alpha": "smallest α", "resolution": "lowest resolution"}[axis]
        return f"From the largest to the {ends}: {'; '.join(parts)}." if parts else ""

    return say


def _rank_correlation(one: pd.Series, other: pd.Series) -> float:
    """Spearman's ρ; not a number where one side does not vary."""
    if one.nunique() < 2 or other.nunique() < 2:
        return math.nan
    return float(one.rank().corr(other.rank()))


def pareto(rows: Rows) -> str:
    """How the order by latency differs from the order by MACs."""
    rho = _rank_correlation(rows["macs"], rows["latency_p50"])
    first = rows.iloc[0]
    swapped = [
        (fast, slow)
        for place, (_, fast) in enumerate(rows.iterrows())
        for _, slow in rows.iloc[place + 1 :].iterrows()
        if fast["macs"] > slow["macs"] and fast["latency_high"] < slow["latency_low"]
    ]
    text = (
        f"Among {len(rows)} variants in {first['precision']} at batch {first['batch_size']:g}, Spearman's ρ between "
        f"MACs and measured latency is {rho:.3f}. "
    )
    if not swapped:
        return (
            text + "No variant is faster than one with fewer MACs beyond the intervals, so MACs rank them as time does."
        )
    fast, slow = max(swapped, key=lambda pair: pair[0]["macs"] / pair[1]["macs"])
    return (
        f"{text}In {len(swapped)} pair{'s' * (len(swapped) > 1)} the variant with more MACs is the faster one, beyond "
        f"the intervals; most of all, {_name(fast)} with {units.macs(fast['macs'])} MACs is faster than {_name(slow)} "
        f"with {units.macs(slow['macs'])}."
    )


def _name(row: pd.Series) -> str:
    return f"α {row['alpha']:g} at {row['resolution']:g} px"


def predictor_errors(rows: Rows) -> Rows:
    """How far each predictor is off, by precision: factors, and the rank correlation with the measured time."""
    found = []
    for (precision, predictor), group in rows.groupby(["precision", "predictor"], sort=False):
        off = (group["latency_p50"] / group["predicted"]).astype(float).map(log).abs()
        rho = _rank_correlation(group["predicted"], group["latency_p50"])
        found.append(
            {
                "precision": precision,
                "predictor": predictor,
                "cases": len(group),
                "typical": exp(off.median()),
                "largest": exp(off.max()),
                "spearman": rho,
            }
        )
    return pd.DataFrame(found)


def predictors(rows: Rows) -> str:
    """Which predictor is nearest, by precision."""
    parts = []
    for precision, group in predictor_errors(rows).groupby("precision", sort=False):
        ranked = group.sort_values("typical")
        named = [f"{row['predictor']} {row['typical']:.2f}×" for _, row in ranked.iterrows()]
        parts.append(f"{precision}: {', '.join(named)}")
    return f"Typical error (half of the layers are off by less than this factor), best first. {'; '.join(parts)}."


def side_by_side(rows: Rows) -> str:
    """The networks from the fastest on, and where fewer MACs take longer."""
    parts = []
    for (precision, size), group in rows.groupby(["precision", "batch_size"], sort=False):
        ranked = [row for _, row in group.sort_values("latency_p50").iterrows()]
        text = _with_time(ranked[0])
        for before, row in pairwise(ranked):
            sign = "≈" if row["latency_low"] <= before["latency_high"] else "<"
            text += f" {sign} {_with_time(row)}"
        swapped = [
            (fast, slow)
            for place, fast in enumerate(ranked)
            for slow in ranked[place + 1 :]
            if fast["macs"] > slow["macs"] and fast["latency_high"] < slow["latency_low"]
        ]
        if swapped:
            fast, slow = max(swapped, key=lambda pair: pair[0]["macs"] / pair[1]["macs"])
            text += (
                f"; {network_name(slow)} takes longer than {network_name(fast)}, although it has "
                f"{units.ratio(fast['macs'] / slow['macs'])} fewer MACs"
            )
        parts.append(f"{precision}, batch {size:g}: {text}")
    return f"Latency, the fastest first. {'. '.join(parts)}."


def _with_time(row: pd.Series) -> str:
    return f"{network_name(row)} ({units.seconds(row['latency_p50'])})"


def precisions(rows: Rows) -> str:
    """Where autocast or TF32 helps and where it does not."""
    parts = []
    for precision, group in rows[rows["against_fp32"] != ""].groupby("precision", sort=False):
        counts = group["against_fp32"].value_counts()
        parts.append(
            f"{precision} is "
            + several([f"{word} {number} time{'s' * (number > 1)}" for word, number in counts.items()])
        )
        slower = group[group["against_fp32"] == "slower"]
        if not slower.empty:
            named = [f"{row['kind']} {_name(row)} batch {row['batch_size']:g}" for _, row in slower.iterrows()]
            parts[-1] += f" (slower: {', '.join(named[:6])}{', …' if len(named) > 6 else ''})"
    if not parts:
        return ""
    return f"Beside fp32, network by network, {'; '.join(parts)}. Where intervals overlap, nothing is told apart."


def modes(rows: Rows) -> str:
    """The fastest way to run each network at each batch size."""
    best = [
        f"{kind} at batch {size:g}: {group.iloc[0]['mode']} in {group.iloc[0]['precision']} "
        f"({units.seconds(group.iloc[0]['latency_p50'])})"
        for (size, kind), group in rows.groupby(["batch_size", "kind"], sort=False)
    ]
    return f"Fastest: {'; '.join(best)}."


def memory(rows: Rows) -> str:
    """How much memory the separable network and its twin need."""
    parts = []
    for (precision, size), group in rows.groupby(["precision", "batch_size"], sort=False):
        peaks = group.set_index("kind")["peak_memory"]
        if {"standard", "separable"} <= set(peaks.index):
            standard, separable = (units.bytes_(peaks[kind]) for kind in ("standard", "separable"))
            parts.append(f"{precision}, batch {size:g}: {separable} and {standard}")
    return f"Peaks of the separable network and of its twin: {'; '.join(parts)}." if parts else ""


def batch_scaling(rows: Rows) -> str:
    """How much throughput a larger batch gives."""
    parts = []
    for (kind, precision), curve in rows.groupby(["kind", "precision"], sort=False):
        curve = curve.sort_values("batch_size")
        best = curve.sort_values("throughput").iloc[-1]
        gain = units.ratio(best["throughput"] / curve.iloc[0]["throughput"])
        parts.append(f"{kind} {precision} {gain} at batch {best['batch_size']:g}")
    return f"Highest throughput, relative to the smallest batch: {'; '.join(parts)}."


def distribution(rows: Rows) -> str:
    """How far the slow calls are from the median."""
    known = rows[rows["rounds"] >= 10]
    if known.empty:
        return ""
    tails = known["latency_p90"] / known["latency_p50"]
    typical, most = units.ratio(tails.median()), units.ratio(tails.max())
    return f"For half of these cases the 90th percentile is at most {typical} the median; the largest is {most}."
