"""How tables for people write a row, and the formats that they are written in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import pandas as pd

from mnv1.base import tables
from mnv1.report import units
from mnv1.store.columns import PHASES

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


def where_known(column: str, text: Callable[[float], str], optional: bool = False) -> Cell:
    """A cell that writes a figure where there is one."""
    return Cell(lambda row: text(row[column]) if pd.notna(row.get(column)) else "", column, optional=optional)


def network_name(row: Row) -> str:
    """A network's kind, and its width where it has several: `separable, α 0.5`."""
    return f"{row['kind']}, α {row['alpha']:g}" if pd.notna(row["alpha"]) else str(row["kind"])


def _note(row: Row) -> str:
    """What a GPU's figure must not be read without."""
    notes = ["launch-bound"] if pd.notna(row["launch_bound"]) and row["launch_bound"] else []
    if isinstance(row["throttled"], str) and row["throttled"]:
        notes.append(f"throttled: {row['throttled']}")
    return ", ".join(notes)


def _phase(name: str) -> Cell:
    """The time of a training step's phase with its interval, and its share."""

    def text(row: Row) -> str:
        half_width = (row[f"{name}_high"] - row[f"{name}_low"]) / 2 / row[f"{name}_time"]
        time = f"{units.seconds(row[f'{name}_time'])} ±{units.percent(half_width)}"
        return f"{time}, {100 * row[f'share_{name}']:.0f} %"

    return Cell(text, f"{name}_time")


def _of_inference(row: Row) -> str:
    names = [f"inference_speedup{end}" for end in ("", "_low", "_high")]
    return units.ratio_interval(*row[names]) if pd.notna(row.get(names[0])) else ""


def _share(operator: str) -> Cell:
    """An operator's share of the time with its interval, and of the MACs where it has any."""

    def text(row: Row) -> str:
        if f"time_{operator}" not in row or pd.isna(row[f"time_{operator}"]):
            return ""
        time, low, high = (float(row[f"time_{operator}{end}"]) for end in ("", "_low", "_high"))
        macs = float(row.get(f"macs_{operator}", 0.0))
        counted = f", MACs {units.percent(macs)}" if macs > 0 else ""
        return f"{100 * time:.1f} % [{100 * low:.1f}, {100 * high:.1f}]{counted}"

    return Cell(text, f"time_{operator}", optional=True)


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
}
"""Types of operators in the order of tables and plots, with their headings."""

EXCESS_OPERATORS = {"convolution": "1×1, 3×3"} | {
    name: label for name, label in OPERATORS.items() if name not in ("pointwise", "standard")
}
"""The same where dense convolutions are one type."""

CELLS: dict[str, Cell] = {
    "block": Cell(lambda row: row["shape"], left=True),
    "kind": Cell(lambda row: row["kind"], left=True),
    "network": Cell(lambda row: f"{network_name(row)}, {row['resolution']:g} px", left=True),
    "α": Cell(lambda row: f"{row['alpha']:g}", "alpha"),
    "px": Cell(lambda row: f"{row['resolution']:g}", "resolution"),
    "batch": Cell(lambda row: f"{row['batch_size']:g}", "batch_size"),
    "precision": Cell(lambda row: row["precision"], left=True),
    "mode": Cell(lambda row: row["mode"], left=True),
    "output error": where_known("output_error", "{:.1e}".format, optional=True),
    "made ready": where_known("compile_time", units.seconds, optional=True),
    "graph breaks": where_known("graph_breaks", "{:g}".format, optional=True),
    "size": where_known("file_size", units.bytes_, optional=True),
    "threads": Cell(lambda row: f"{row['threads']:g}", "threads"),
    "MACs": Cell(lambda row: units.macs(row["macs"]), "macs"),
    "parameters": Cell(lambda row: units.count(row["params"]), "params"),
    "latency": Cell(_latency, "latency_p50"),
    "p50": Cell(lambda row: units.seconds(row["latency_p50"]), "latency_p50"),
    "p90": Cell(lambda row: units.seconds(row["latency_p90"]) if row["rounds"] >= 10 else "", "latency_p90"),
    "p99": Cell(lambda row: units.seconds(row["latency_p99"]) if row["rounds"] >= 100 else "", "latency_p99"),
    "images/s": Cell(lambda row: units.significant(row["throughput"]), "throughput"),
    "MAC/s": Cell(lambda row: units.macs(row["macs_per_second"]), "macs_per_second"),
    "peak memory": Cell(lambda row: units.bytes_(row["peak_memory"]), "peak_memory"),
    "standard": Cell(lambda row: units.seconds(row["standard_latency_p50"]), "standard_latency_p50"),
    "separable": Cell(lambda row: units.seconds(row["latency_p50"]), "latency_p50"),
    "measured speedup [95 %]": Cell(_speedup, "speedup"),
    "speedup [95 %]": Cell(_speedup, "speedup"),
    "forward pass [95 %]": Cell(_of_inference, "inference_speedup", optional=True),
    **{name: _phase(name) for name in PHASES},
    "steps by phase": Cell(lambda row: f"{row['phase_steps']:g}", "phase_steps"),
    "in a forward pass": where_known("inference_peak_memory", units.bytes_, optional=True),
    "MAC ratio": Cell(lambda row: units.ratio(row["macs_ratio"]), "macs_ratio"),
    "ideal, BN folded": where_known("ideal_folded", units.ratio, optional=True),
    "ideal, eager": where_known("ideal_eager", units.ratio, optional=True),
    "measured / eager ideal": Cell(lambda row: units.percent(row["speedup"] / row["ideal_eager"])),
    "limited by": Cell(
        lambda row: row["limited_by"] if isinstance(row.get("limited_by"), str) else "", left=True, optional=True
    ),
    "time beyond theory": where_known("excess", units.seconds, optional=True),
    **{
        name: where_known(f"cause_{name}", units.percent, optional=name in ("launch", "dispatch", "allocator"))
        for name in ("compute", "memory bandwidth", "launch", "dispatch", "allocator", "kernels")
    },
    **{
        f"in {label}": where_known(f"operator_{name}", units.percent, optional=True)
        for name, label in EXCESS_OPERATORS.items()
    },
    **{f"{label} time": _share(name) for name, label in OPERATORS.items()},
    "MACs/byte": Cell(lambda row: units.significant(row["intensity"]), "intensity"),
    "share of its roof": Cell(lambda row: units.percent(row["of_roof"]), "of_roof"),
    "share of time": where_known("share", units.percent),
    "above the memory roof": Cell(lambda row: "yes" if row["above"] else "", "above", optional=True),
    "top-1": Cell(lambda row: f"{row['top1']:.1f} %", "top1"),
    "top-1, paper": Cell(lambda row: f"{row['paper']:.1f} %" if pd.notna(row["paper"]) else "", "paper", optional=True),
    "rank by MACs": Cell(lambda row: f"{row['macs_rank']:g}", "macs_rank"),
    "rank by latency": Cell(lambda row: f"{row['latency_rank']:g}", "latency_rank"),
    "on the front": Cell(lambda row: "yes" if row["on_front"] else "", "on_front"),
    "predictor": Cell(lambda row: row["predictor"], left=True),
    "cases": Cell(lambda row: f"{row['cases']:g}", "cases"),
    "typical error": Cell(lambda row: f"{row['typical']:.2f}×", "typical"),
    "largest error": Cell(lambda row: f"{row['largest']:.1f}×", "largest"),
    "Spearman's ρ": where_known("spearman", "{:.3f}".format),
    "against fp32": Cell(lambda row: row["against_fp32"], left=True),
    "run": Cell(lambda row: row["run"], left=True),
    "date": Cell(lambda row: f"{row['time']:%Y-%m-%d %H:%M}"),
    "revision": Cell(lambda row: row["commit"]),
    "rounds": Cell(lambda row: f"{row['rounds']:g}", "rounds"),
    "calls": Cell(lambda row: f"{row['calls']:g}", "calls"),
    "visits": where_known("visits", "{:g}".format, optional=True),
    "process": where_known("process_peak", units.bytes_, optional=True),
    "reserved": where_known("peak_reserved", units.bytes_, optional=True),
    "floor": where_known("memory_floor", units.bytes_, optional=True),
    "note": Cell(_note, left=True, optional=True),
    "stopped": Cell(lambda row: row["stopped"], left=True),
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
