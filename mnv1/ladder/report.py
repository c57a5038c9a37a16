"""What stored ladders say: the fastest way, a table and a plot of each, and what settings do. No torch, no clock."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from mnv1.base import tables
from mnv1.ladder import plot as plots
from mnv1.ladder.choice import Choice, Limits, choose
from mnv1.ladder.counted import FEWEST_ROUNDS
from mnv1.ladder.ratios import ratio, typical
from mnv1.ladder.rows import rows_of
from mnv1.ladder.rungs import BASELINE
from mnv1.ladder.stored import Ladder, LadderError
from mnv1.measure.states import MIXED
from mnv1.report import units
from mnv1.report.cells import Cell, text_table, where_known
from mnv1.report.plots.style import style

Known = Mapping[str, Mapping[str, float]]

LIMITS = (1e-4, 1e-2, 2e-2, 1e-1)
"""Errors of outputs for each of which the fastest way is told, where it is another: for fp32, 16 bits, and int8."""

READING = (
    "Every rung has a process of its own; all were visited in turns, round after round. A latency is the geometric "
    "mean of its rounds, a ratio the geometric mean of the rounds' ratios, with Student's 95 % interval over the "
    "rounds. A ratio divides another time by the time of the row. Speedup: the same network in eager fp32. Over timm: "
    "timm's MobileNetV1 in eager fp32; as it comes: timm's with glibc's allocator at its defaults, while all others "
    "keep freed memory. Twin: the standard-convolution network in the same mode and precision. Error: relative L2 "
    "difference from the output of eager fp32. Made ready: the time of transformation, conversion and compilation in a "
    "fresh process, up to the end of the first call. Peak memory is what torch allocates above weights and input; "
    "memory of other libraries is not in it."
)


def _interval(name: str, optional: bool = False) -> Cell:
    def text(row: pd.Series) -> str:
        if pd.isna(row[name]):
            return ""
        return units.ratio_interval(row[name], row[f"{name}_low"], row[f"{name}_high"])

    return Cell(text, name, optional=optional)


def _latency(row: pd.Series) -> str:
    half_width = (row["latency_high"] - row["latency_low"]) / 2 / row["latency"]
    return f"{units.seconds(row['latency'])} ±{units.percent(half_width)}"


def _accuracy(row: pd.Series) -> str:
    if pd.isna(row["accuracy"]):
        return ""
    return f"{100 * row['accuracy']:.2f} % ({-100 * row['accuracy_drop']:+.2f})"


CELLS: dict[str, Cell] = {
    "network": Cell(lambda row: row["kind"], left=True),
    "precision": Cell(lambda row: row["precision"], left=True),
    "mode": Cell(lambda row: row["mode"] + (", allocator as it comes" if row["state"] == "as-is" else ""), left=True),
    "latency": Cell(_latency, "latency"),
    "images/s": Cell(lambda row: units.significant(row["throughput"]), "throughput"),
    "speedup [95 %]": _interval("speedup"),
    "over timm": _interval("over_timm", optional=True),
    "over timm as it comes": _interval("over_timm_as_is", optional=True),
    "twin": _interval("over_twin", optional=True),
    "error": Cell(lambda row: f"{row['output_error']:.1e}" if row["output_error"] else "0", "output_error"),
    "accuracy": Cell(_accuracy, "accuracy", optional=True),
    "made ready": where_known("compile_time", units.seconds),
    "graph breaks": where_known("graph_breaks", "{:g}".format, optional=True),
    "peak memory": where_known("peak_memory", units.bytes_),
    "size": where_known("file_size", units.bytes_),
}


def table(rows: pd.DataFrame) -> str:
    """The rungs in Markdown, fastest first."""
    return text_table(rows, tuple(CELLS), CELLS)


def title(ladder: Ladder) -> str:
    """Which network a ladder runs, and how."""
    rung = ladder.measured[0]
    width = f"α {rung.alpha:g} at " if rung.alpha is not None else ""
    return f"The ladder: MobileNetV1, {width}{rung.resolution} px, batch {rung.batch_size} ({rung.device})"


def fastest_line(choice: Choice, kind: str) -> str:
    """The fastest way that may be used, in a sentence or two."""
    row = choice.fastest
    if row is None:
        return f"No way to run {kind} is within the limits."
    over = f"{units.seconds(row['latency'])} a call, {units.significant(row['throughput'])} images/s"
    ratios = []
    if pd.notna(row["speedup"]):
        ratios.append(f"{_written(row, 'speedup')} as fast as eager fp32")
    if pd.notna(row["over_timm"]) and row["kind"] != BASELINE:
        ratios.append(f"{_written(row, 'over_timm')} as fast as timm's MobileNetV1 in eager fp32")
    if pd.notna(row["over_timm_as_is"]):
        ratios.append(f"{_written(row, 'over_timm_as_is')} as fast as timm's with glibc's allocator at its defaults")
    sentence = f"Fastest: {row['label']}: {'; '.join([over, *ratios])}."
    if choice.runner_up is not None and choice.margin is not None:
        margin = choice.margin
        close = "" if margin.low > 1 else ", too close to tell apart"
        sentence += f" Next: {choice.runner_up['label']}, which takes {units.ratio_interval(*margin)} as long{close}."
    return sentence


def _written(row: pd.Series, name: str) -> str:
    return units.ratio_interval(row[name], row[f"{name}_low"], row[f"{name}_high"])


def twin_lines(rows: pd.DataFrame) -> str:
    """Whether the separable network still wins when both are run in the same way."""
    pairs = rows[rows["over_twin"].notna() & (rows["state"] == "controlled")]
    if pairs.empty:
        return ""
    said = [
        f"{_written(row, 'over_twin')} in {row['precision']} {row['mode']}"
        for _, row in pairs.sort_values("over_twin", ascending=False).iterrows()
    ]
    lost = int((pairs["over_twin_high"] < 1).sum())
    verdict = "faster" if not lost else f"slower in {lost} of {len(pairs)} ways"
    beside = "Beside its standard-convolution twin, run in the same way"
    return f"{beside}, the separable network is {verdict}: {'; '.join(said)}."


def not_measured(ladder: Ladder) -> str:
    """What is not in the table, and why."""
    reasons: dict[str, list[str]] = {}
    for what, why in (*ladder.left_out, *((rung.label, rung.failed) for rung in ladder.rungs if rung.failed)):
        reasons.setdefault(str(why), []).append(what)
    return "\n".join(f"- not measured: {'; '.join(some)}: {why}" for why, some in reasons.items())


def state_line(ladder: Ladder) -> str:
    """Which state of the machine the figures are of; empty where none was read."""
    count = ladder.counted
    if not count.state:
        return ""
    if count.state == MIXED:
        few = f"none was met in {FEWEST_ROUNDS} of {count.of} rounds, so all count"
        return f"State of the machine: {MIXED}; {few}."
    of = f"{len(count.places)} of {count.of} rounds"
    rest = "" if len(count.places) == count.of else "; the others met another state or a change, and do not count"
    return f"State of the machine: {count.state}, in {of}{rest}."


def markdown(ladder: Ladder, known: Known) -> str:
    """A ladder's section: what it says, the table, what is missing, and where it comes from."""
    rows = rows_of(ladder, known)
    kind = str(ladder.options.get("kinds", "separable")).split(",")[0]
    said: dict[str, float] = {}
    for limit in LIMITS:
        said.setdefault(fastest_line(choose(ladder, kind, Limits(limit), known), kind), limit)
    within = [f"Outputs within {limit:g} of eager fp32. {line}" for line, limit in said.items()]
    parts = [
        f"## {title(ladder)}",
        READING,
        state_line(ladder),
        *within,
        twin_lines(rows),
        table(rows),
        not_measured(ladder),
    ]
    return "\n\n".join(filter(None, [*parts, provenance(ladder)]))


def findings_markdown(ladder: Ladder) -> str:
    """What allocator, threads and memory format do, each with its ratio."""
    by_id = {rung.id: rung for rung in ladder.measured}
    rows = []
    said = []
    for name, over, under in ladder.findings:
        if over not in by_id or under not in by_id:
            continue
        slow, fast = by_id[over], by_id[under]
        what = ratio(slow.seconds, fast.seconds)
        times = (units.seconds(typical(one.seconds).value) for one in (slow, fast))
        rows.append((name, slow.batch_size, *times, units.ratio_interval(*what)))
        said.append((name, slow.batch_size, what))
    if not said:
        raise LadderError(f"{ladder.name}: none of its findings was measured")
    name, batch_size, most = max(said, key=lambda one: one[2].value)
    strongest = f"The largest effect is {name} at batch {batch_size}: {units.ratio_interval(*most)}."
    about = (
        "MobileNetV1 in eager fp32 with and without each setting, in processes of their own that were visited in "
        "turns. A time is the geometric mean of the rounds, a ratio has Student's 95 % interval over them."
    )
    header = ("setting", "batch", "without", "with", "without / with [95 %]")
    table = tables.markdown(header, rows, left=("setting",), padded=False)
    heading = "## What allocator, threads and memory format do"
    parts = [heading, about, state_line(ladder), strongest, table, not_measured(ladder), provenance(ladder)]
    return "\n\n".join(filter(None, parts))


def provenance(ladder: Ladder) -> str:
    """Where the figures come from, in a Markdown paragraph."""
    about = ladder.environment
    facts = [f"{name} {about[name]}" for name in ("machine", "cpu", "gpu", "threads", "python") if name in about]
    packages = about.get("packages", {})
    versions = [
        f"{name} {packages[name]}"
        for name in ("torch", "timm", "onnxruntime", "openvino", "torchao")
        if packages.get(name, "not installed") != "not installed"
    ]
    revision = str(about.get("revision", "unknown"))[:12]
    measured = f"Measured in {ladder.counted.of} rounds on {ladder.time[:10]} (revision {revision})"
    return f"{measured}; {', '.join([*facts, *versions])}."


def render(ladders: Sequence[Ladder], out: Path, known: Known) -> list[Path]:
    """Write each ladder below `out` as Markdown and plot. Raises `LadderError` when something cannot be written."""
    written = []
    try:
        out.mkdir(parents=True, exist_ok=True)
        for ladder in ladders:
            path = out / f"{ladder.name}.md"
            if ladder.findings:
                path.write_text(findings_markdown(ladder) + "\n", encoding="utf8")
                written.append(path)
                continue
            path.write_text(markdown(ladder, known) + "\n", encoding="utf8")
            image = out / f"{ladder.name}.svg"
            image.write_bytes(picture(ladder))
            written += [path, image]
    except OSError as error:
        raise LadderError(f"{out}: cannot be written: {error.strerror or error}") from None
    return written


def picture(ladder: Ladder) -> bytes:
    """The plot as SVG: the same rows give the same bytes."""
    buffer = io.BytesIO()
    with style():
        figure = plots.ladder(rows_of(ladder))
        figure.suptitle(title(ladder), fontsize=11, fontweight="bold")
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()
