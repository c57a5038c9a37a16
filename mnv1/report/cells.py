"""How tables for people write a row, and the formats that they are written in. A view may bring columns of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import pandas as pd

from mnv1.base import tables
from mnv1.report import units

Row = pd.Series


@dataclass(frozen=True)
class Cell:
    """What a column writes for a row, and the figure that it is sorted by: a column of the row, or what it writes."""

    text: Callable[[Row], str]
    key: str | None = None
    left: bool = False
    """Whether its texts are aligned left: words, not figures."""
    optional: bool = False
    """Whether a table does without it where no row has it, such as a GPU's."""


def _latency(row: Row) -> str:
    half_width = (row["latency_high"] - row["latency_low"]) / 2 / row["latency_p50"]
    return f"{units.seconds(row['latency_p50'])} ±{units.percent(half_width)}"


def _speedup(row: Row) -> str:
    return units.ratio_interval(*row[["speedup", "speedup_low", "speedup_high"]])


def _in_other_state(row: Row) -> str:
    if not isinstance(row.get("other_state"), str):
        return ""
    if pd.notna(row["other_speedup"]):
        figure = units.ratio_interval(*row[["other_speedup", "other_speedup_low", "other_speedup_high"]])
    else:
        half_width = (row["other_latency_high"] - row["other_latency_low"]) / 2 / row["other_latency_p50"]
        figure = f"{units.seconds(row['other_latency_p50'])} ±{units.percent(half_width)}"
    return f"{figure} ({row['other_state']})"


def where_known(column: str, text: Callable[[float], str], optional: bool = False) -> Cell:
    """A cell that writes a figure where there is one."""
    return Cell(lambda row: text(row[column]) if pd.notna(row.get(column)) else "", column, optional=optional)


def network_name(row: Row) -> str:
    """A network's kind, and its width where it has several: `separable, α 0.5`."""
    return f"{row['kind']}, α {row['alpha']:g}" if pd.notna(row["alpha"]) else str(row["kind"])


def _network(row: Row) -> str:
    return f"{network_name(row)}, {row['resolution']:g} px" if pd.notna(row["resolution"]) else network_name(row)


def _note(row: Row) -> str:
    """What a figure must not be read without."""
    notes = ["launch-bound"] if pd.notna(row["launch_bound"]) and row["launch_bound"] else []
    if isinstance(row["throttled"], str) and row["throttled"]:
        notes.append(f"throttled: {row['throttled']}")
    if isinstance(row.get("odd_state"), str):
        notes.append(row["odd_state"])
    return ", ".join(notes)


def energy_cell(column: str) -> Cell:
    """Millijoules an image, from joules a call."""

    def text(row: Row) -> str:
        joules = row.get(column)
        return "" if joules is None or pd.isna(joules) else units.significant(1e3 * joules / row["batch_size"])

    return Cell(text, column, optional=True)


CELLS: dict[str, Cell] = {
    "block": Cell(lambda row: row["shape"], left=True),
    "kind": Cell(lambda row: row["kind"], left=True),
    "network": Cell(_network, left=True),
    "α": where_known("alpha", "{:g}".format),
    "px": where_known("resolution", "{:g}".format),
    "batch": Cell(lambda row: f"{row['batch_size']:g}", "batch_size"),
    "precision": Cell(lambda row: row["precision"], left=True),
    "mode": Cell(lambda row: row["mode"], left=True),
    "MACs": Cell(lambda row: units.macs(row["macs"]), "macs"),
    "latency": Cell(_latency, "latency_p50"),
    "p50": Cell(lambda row: units.seconds(row["latency_p50"]), "latency_p50"),
    "p90": Cell(lambda row: units.seconds(row["latency_p90"]) if row["rounds"] >= 10 else "", "latency_p90"),
    "p99": Cell(lambda row: units.seconds(row["latency_p99"]) if row["rounds"] >= 100 else "", "latency_p99"),
    "images/s": Cell(lambda row: units.significant(row["throughput"]), "throughput"),
    "kernels": where_known("device_busy", units.seconds, optional=True),
    "mJ/image": energy_cell("energy"),
    "MAC/s": Cell(lambda row: units.macs(row["macs_per_second"]), "macs_per_second"),
    "peak memory": Cell(lambda row: units.bytes_(row["peak_memory"]), "peak_memory"),
    "standard": Cell(lambda row: units.seconds(row["standard_latency_p50"]), "standard_latency_p50"),
    "separable": Cell(lambda row: units.seconds(row["latency_p50"]), "latency_p50"),
    "measured speedup [95 %]": Cell(_speedup, "speedup"),
    "speedup [95 %]": Cell(_speedup, "speedup"),
    "MAC ratio": Cell(lambda row: units.ratio(row["macs_ratio"]), "macs_ratio"),
    "ideal, BN folded": where_known("ideal_folded", units.ratio, optional=True),
    "limited by": Cell(
        lambda row: row["limited_by"] if isinstance(row.get("limited_by"), str) else "", left=True, optional=True
    ),
    "rounds": Cell(lambda row: f"{row['rounds']:g}", "rounds"),
    "visits": where_known("visits", "{:g}".format, optional=True),
    "process": where_known("process_peak", units.bytes_, optional=True),
    "reserved": where_known("peak_reserved", units.bytes_, optional=True),
    "floor": where_known("memory_floor", units.bytes_, optional=True),
    "note": Cell(_note, left=True, optional=True),
    "stopped": Cell(lambda row: row["stopped"], left=True),
    "in another state": Cell(_in_other_state, left=True, optional=True),
}
"""Header of a table's column and how it writes a row. A percentile is shown only where the rounds can carry it."""


def cells_of(
    rows: pd.DataFrame, columns: tuple[str, ...], cells: Mapping[str, Cell] = CELLS
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """The headers that are shown, and what each row writes below them; optional columns without a text are left out."""
    written = {column: [cells[column].text(row) for _, row in rows.iterrows()] for column in columns}
    shown = tuple(column for column in columns if not cells[column].optional or any(written[column]))
    return shown, list(zip(*(written[column] for column in shown), strict=True))


def text_table(rows: pd.DataFrame, columns: tuple[str, ...], cells: Mapping[str, Cell] = CELLS) -> str:
    """Rows as a table in Markdown."""
    shown, lines = cells_of(rows, columns, cells)
    return tables.markdown(shown, lines, _left(shown, cells))


def terminal_table(rows: pd.DataFrame, columns: tuple[str, ...], cells: Mapping[str, Cell] = CELLS) -> str:
    """Rows as a table for a terminal, without padding."""
    shown, lines = cells_of(rows, columns, cells)
    return tables.terminal(shown, lines, _left(shown, cells), padded=False)


def _left(columns: Iterable[str], cells: Mapping[str, Cell]) -> list[str]:
    return [column for column in columns if cells[column].left]


_LATEX = {"×": r"$\times$", "±": r"$\pm$", "α": r"$\alpha$", "µ": r"$\mu$", "→": r"$\to$", "ρ": r"$\rho$"}


def latex_table(rows: pd.DataFrame, columns: tuple[str, ...], cells: Mapping[str, Cell] = CELLS) -> str:
    """Rows as a LaTeX tabular with the rules of the package booktabs; plain ASCII."""
    shown, lines = cells_of(rows, columns, cells)
    table = tables.latex(shown, lines, _left(shown, cells))
    for character, command in _LATEX.items():
        table = table.replace(character, command)
    return table


def csv_table(rows: pd.DataFrame) -> str:
    """Rows as CSV in SI units; columns in which nothing was measured are left out, and `mode` where all are eager."""
    if "mode" in rows and set(rows["mode"]) <= {"eager"}:
        rows = rows.drop(columns="mode")
    return rows.dropna(axis="columns", how="all").to_csv(index=False, lineterminator="\n", float_format="%.9g")
