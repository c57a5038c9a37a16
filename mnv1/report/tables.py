"""Views of the results: each answers one question as rows in SI units, and as a table for people.

A view is a pure function of the results' table; plots draw the same rows that its table shows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd
from tabulate import tabulate

from mnv1.report import units
from mnv1.report.why import with_ideals

Rows = pd.DataFrame
Row = pd.Series

BLOCK_KINDS = ("standard", "separable", "depthwise", "pointwise")


@dataclass(frozen=True)
class View:
    """One question, the rows that answer it, and how a table shows them."""

    name: str
    """File name without its ending."""
    title: str
    reading: str
    """How to read it, in a sentence or two."""
    needs: str
    """What a run must hold for this view."""
    select: Callable[[Rows], Rows]
    """The rows, in order; empty when the run lacks them."""
    columns: tuple[str, ...]
    """Columns of the table for people, by their names in `CELLS`."""


def _latency(row: Row) -> str:
    half_width = (row["latency_high"] - row["latency_low"]) / 2 / row["latency_p50"]
    return f"{units.seconds(row['latency_p50'])} ±{units.percent(half_width)}"


CELLS: dict[str, Callable[[Row], str]] = {
    "block": lambda row: row["shape"],
    "kind": lambda row: row["kind"],
    "α": lambda row: f"{row['alpha']:g}",
    "px": lambda row: f"{row['resolution']:g}",
    "batch": lambda row: f"{row['batch_size']:g}",
    "precision": lambda row: row["precision"],
    "MACs": lambda row: units.macs(row["macs"]),
    "latency": _latency,
    "p90": lambda row: units.seconds(row["latency_p90"]) if row["rounds"] >= 10 else "",
    "p99": lambda row: units.seconds(row["latency_p99"]) if row["rounds"] >= 100 else "",
    "images/s": lambda row: units.significant(row["throughput"]),
    "MAC/s": lambda row: units.macs(row["macs_per_second"]),
    "peak memory": lambda row: units.bytes_(row["peak_memory"]),
    "standard": lambda row: units.seconds(row["standard_latency_p50"]),
    "separable": lambda row: units.seconds(row["latency_p50"]),
    "measured speedup [95 %]": lambda row: units.ratio_interval(*row[["speedup", "speedup_low", "speedup_high"]]),
    "MAC ratio": lambda row: units.ratio(row["macs_ratio"]),
    "ideal, BN folded": lambda row: units.ratio(row["ideal_folded"]),
    "ideal, eager": lambda row: units.ratio(row["ideal_eager"]),
    "measured / eager ideal": lambda row: units.percent(row["speedup"] / row["ideal_eager"]),
    "rounds": lambda row: f"{row['rounds']:g}",
    "visits": lambda row: f"{row['visits']:g}" if pd.notna(row["visits"]) else "",
    "process": lambda row: units.bytes_(row["process_peak"]) if pd.notna(row["process_peak"]) else "",
    "reserved": lambda row: units.bytes_(row["peak_reserved"]) if pd.notna(row["peak_reserved"]) else "",
    "floor": lambda row: units.bytes_(row["memory_floor"]) if pd.notna(row["memory_floor"]) else "",
    "note": lambda row: _note(row),
    "stopped": lambda row: row["stopped"],
}
"""Header of a table's column and how it writes a row. A percentile is shown only where the rounds can carry it."""


def _note(row: Row) -> str:
    """What a GPU's figure must not be read without."""
    notes = ["launch-bound"] if pd.notna(row["launch_bound"]) and row["launch_bound"] else []
    if isinstance(row["throttled"], str) and row["throttled"]:
        notes.append(f"throttled: {row['throttled']}")
    return ", ".join(notes)


def _select(results: Rows, subject: str, measures: str) -> Rows:
    selected: Rows = results[(results["subject"] == subject) & (results["measures"] == measures)]
    return selected


def _ordered(rows: Rows) -> Rows:
    """Networks from large to small, then by precision, batch size and kind."""
    kinds = rows["kind"].map({kind: place for place, kind in enumerate((*BLOCK_KINDS, "shallow"))})
    precisions = rows["precision"].map({"fp32": 0, "tf32": 1, "amp": 2})
    keys = pd.DataFrame(
        {
            "alpha": -rows["alpha"].astype(float),
            "resolution": -rows["resolution"].astype(float),
            "precision": precisions,
            "batch_size": rows["batch_size"],
            "kind": kinds,
        }
    )
    return rows.loc[keys.sort_values(keys.columns.tolist(), kind="stable").index].reset_index(drop=True)


def _along(axis: str, fixed: str) -> Callable[[Rows], Rows]:
    """Networks along one axis, at the largest `fixed` value that has the most values on the axis; at least two."""

    def select(results: Rows) -> Rows:
        rows = _select(results, "model", "latency")
        counts = rows.groupby(fixed)[axis].nunique()
        if counts.empty or counts.max() < 2:
            return rows.iloc[:0]
        chosen = counts[counts == counts.max()].index.max()
        # Only the batch sizes at which the whole axis was measured make a curve.
        rows = rows[rows[fixed] == chosen]
        complete = rows.groupby("batch_size")[axis].transform("nunique") == counts.max()
        return _ordered(rows[complete])

    return select


def _largest_network(rows: Rows) -> Rows:
    if rows.empty:
        return rows
    widest: Rows = rows[rows["alpha"] == rows["alpha"].max()]
    largest: Rows = widest[widest["resolution"] == widest["resolution"].max()]
    return largest


def _verdict(results: Rows) -> Rows:
    return _ordered(_largest_network(_select(results, "model", "speedup")))


def _why(results: Rows) -> Rows:
    return with_ideals(_verdict(results))


def _model_speedup(results: Rows) -> Rows:
    return _ordered(_select(results, "model", "speedup"))


def _layers(measures: str) -> Callable[[Rows], Rows]:
    def select(results: Rows) -> Rows:
        rows = _select(results, "layer", measures)
        # Blocks as the network has them, whatever order they were measured in.
        rows = _ordered(rows.assign(place=-rows["side"].astype(float)))
        rows = rows.sort_values(["batch_size", "place", "in_channels", "out_channels"], kind="stable")
        # fp32 before amp, as everywhere.
        rows = rows.sort_values(
            "precision", key=lambda names: names.map({"fp32": 0, "tf32": 1, "amp": 2}), kind="stable"
        )
        return rows.drop(columns="place").reset_index(drop=True)

    return select


def _with_several(column: str) -> Callable[[Rows], Rows]:
    """The largest network, where at least two values of `column` were measured."""

    def select(results: Rows) -> Rows:
        rows = _largest_network(_select(results, "model", "latency"))
        return _ordered(rows if rows[column].nunique() >= 2 else rows.iloc[:0])

    return select


def _precisions(results: Rows) -> Rows:
    rows = _select(results, "model", "latency")
    several = rows.groupby(["kind", "shape", "batch_size"])["precision"].transform("nunique") >= 2
    return _ordered(rows[several])


def _memory(results: Rows) -> Rows:
    return _ordered(_largest_network(_select(results, "model", "latency")))


OPTIONAL = {"visits", "process", "reserved", "floor", "note"}
"""Columns that a table does without where no row has them, such as those of a GPU."""

SAMPLING = ("visits", "rounds", "stopped", "note")

MODEL_COLUMNS = (
    "kind",
    "α",
    "px",
    "precision",
    "batch",
    "MACs",
    "latency",
    "p90",
    "p99",
    "images/s",
    "rounds",
    "stopped",
    "note",
)

VIEWS: tuple[View, ...] = (
    View(
        "verdict",
        "How much faster is MobileNetV1 than its standard-convolution twin?",
        "Standard and separable run in alternating blocks in one process, in many short visits spread over the sweep. "
        "The speedup is the geometric mean of all rounds, with a 95 % interval over the visits; the times are means of "
        "the same rounds. The MAC ratio is what counting operations promises.",
        "a standard/separable pair of a network",
        _verdict,
        ("precision", "batch", "standard", "separable", "measured speedup [95 %]", "MAC ratio", *SAMPLING),
    ),
    View(
        "why",
        "From the ratio of operations to the measured speedup",
        "Counting operations promises the first bar. A machine whose rate of matrix products and memory bandwidth are "
        "those measured with this run could at best reach the second with BatchNorm folded and ReLU fused, and the "
        "third with both as passes of their own, as PyTorch runs them. What is missing from there to the last is what "
        "kernels, launches and the allocator cost the separable network more than its twin; a measured bar above the "
        "third means that caches spare the separable network traffic.",
        "a standard/separable pair of a network, and ceilings",
        _why,
        (
            "precision",
            "batch",
            "MAC ratio",
            "ideal, BN folded",
            "ideal, eager",
            "measured speedup [95 %]",
            "measured / eager ideal",
            *SAMPLING,
        ),
    ),
    View(
        "layer_speedup",
        "Measured speedup of each block, beside the ratio of operations",
        "A bar is how many times faster the separable block is than the standard convolution of the same shape, its "
        "whisker the 95 % interval; the dark mark above it is what counting operations promises. Below 1 it is slower. "
        "Hatched bars could only be measured on a disturbed machine.",
        "a standard/separable pair of a layer",
        _layers("speedup"),
        (
            "block",
            "precision",
            "batch",
            "standard",
            "separable",
            "measured speedup [95 %]",
            "MAC ratio",
            *SAMPLING,
        ),
    ),
    View(
        "model_speedup",
        "Measured speedup of whole networks across width, resolution and batch size",
        "As in the verdict, for every network that was measured as a pair.",
        "a standard/separable pair of a network",
        _model_speedup,
        (
            "α",
            "px",
            "precision",
            "batch",
            "standard",
            "separable",
            "measured speedup [95 %]",
            "MAC ratio",
            *SAMPLING,
        ),
    ),
    View(
        "alpha_sweep",
        "Width multiplier: latency and throughput against operations",
        "On the dashed line time is proportional to MACs. A curve flatter than that gets less from a smaller α than "
        "counting operations promises.",
        "networks of at least two values of alpha",
        _along("alpha", "resolution"),
        MODEL_COLUMNS,
    ),
    View(
        "resolution_sweep",
        "Resolution: latency and throughput against operations",
        "On the dashed line time is proportional to MACs, as the square of the input side is.",
        "networks of at least two resolutions",
        _along("resolution", "alpha"),
        MODEL_COLUMNS,
    ),
    View(
        "batch_scaling",
        "Batch size: throughput and time an image",
        "A flat curve means that the machine is busy already; a rising one that a single image does not fill it.",
        "a network at two or more batch sizes",
        _with_several("batch_size"),
        MODEL_COLUMNS,
    ),
    View(
        "precision",
        "Precision: fp32 beside autocast",
        "Bars of one network and batch size side by side, whiskers are the 95 % interval of the median. They were "
        "timed one after the other, not alternating, so no ratio is given.",
        "a network in at least two precisions",
        _precisions,
        ("kind", "α", "px", "batch", "precision", "latency", "images/s", "rounds", "stopped", "note"),
    ),
    View(
        "peak_memory",
        "Peak memory of a call",
        "Bytes that torch allocates above weights and input at the worst moment of a forward pass. Process: by how "
        "much a fresh process grows in it, libraries' scratch memory included. Floor: the largest layer's input and "
        "output, which any evaluation layer by layer needs.",
        "a network",
        _memory,
        ("kind", "α", "px", "precision", "batch", "peak memory", "process", "reserved", "floor"),
    ),
    View(
        "layer_times",
        "Time of each block: standard, separable, and the separable block's halves alone",
        "A block reads input x output channels, stride, input side. Each module is timed in a hot loop of its own, so "
        "the halves need not add up to the separable block. p90 needs 10 rounds, p99 needs 100.",
        "layers",
        _layers("latency"),
        (
            "block",
            "kind",
            "precision",
            "batch",
            "MACs",
            "latency",
            "p90",
            "p99",
            "MAC/s",
            "peak memory",
            "rounds",
            "stopped",
            "note",
        ),
    ),
)


def text_table(rows: Rows, columns: tuple[str, ...], style: str = "pipe") -> str:
    """Rows as a table of strings, in one of tabulate's styles (`pipe` is Markdown); without empty optional columns."""
    written = {column: [CELLS[column](row) for _, row in rows.iterrows()] for column in columns}
    columns = tuple(column for column in columns if column not in OPTIONAL or any(written[column]))
    cells = list(zip(*(written[column] for column in columns), strict=True))
    right = {"block", "kind", "precision", "stopped", "note"}
    align = ["left" if column in right else "right" for column in columns]
    return tabulate(cells, columns, tablefmt=style, colalign=align, disable_numparse=True)


def csv_table(rows: Rows) -> str:
    """Rows as CSV in SI units; columns in which nothing was measured are left out."""
    return rows.dropna(axis="columns", how="all").to_csv(index=False, lineterminator="\n", float_format="%.9g")


def verdict_text(results: Rows) -> str:
    """The closing table of a sweep: the largest network's speedup, or its blocks' where no network was paired."""
    sections = []
    for device, rows in results.groupby("device"):
        for view in (view for view in VIEWS if view.name in ("verdict", "layer_speedup")):
            selected = view.select(rows)
            if not selected.empty:
                sections.append(_section(view, selected, str(device)))
                break
    return "\n\n".join(sections) or "no standard/separable pair was measured, so there is no speedup to report"


def _section(view: View, rows: Rows, device: str) -> str:
    first = rows.iloc[0]
    about = f"α {first['alpha']:g} at {first['resolution']:g} px, " if first["subject"] == "model" else ""
    return f"{view.title} ({about}{device})\n\n{text_table(rows, view.columns, 'simple')}"
