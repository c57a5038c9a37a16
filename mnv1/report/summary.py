"""The verdict in few lines: at the end of a sweep, and for the page of a CI job."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from mnv1.report.cells import terminal_table, text_table
from mnv1.report.headline import NO_PAIR, wrapped
from mnv1.report.view import View
from mnv1.report.views import BY_NAME
from mnv1.store.runs import Results

MAX_LINES = 60
"""Lines of a Markdown summary, fewer than this."""

DISTURBED = (
    "The machine was disturbed during most of this run, so disturbed rounds had to count: in latencies fully, in "
    "speedups the less the more disturbed they were."
)


def verdict_text(results: Results) -> str:
    """The closing words of a sweep: the largest network's speedup, or its blocks' where no network was paired.

    After it speedups of training steps, and of somebody's own workloads.
    """
    sections = []
    for device in results.cases["device"].unique():
        part = results.of_device(device)
        for names in (("verdict", "layer_speedup"), ("training_speedup",), ("own_speedup",)):
            found = [(BY_NAME[name], rows) for name in names if not (rows := BY_NAME[name].select(part)).empty]
            sections += [_section(view, rows, str(device)) for view, rows in found[:1]]
    return "\n\n".join(sections) or NO_PAIR


def _section(view: View, rows: pd.DataFrame, device: str) -> str:
    first = rows.iloc[0]
    is_one_network = first["subject"] == "model" and rows["shape"].nunique() == 1  # otherwise the table tells which
    is_one_network = is_one_network and pd.notna(first["alpha"])
    about = f"α {first['alpha']:g} at {first['resolution']:g} px, " if is_one_network else ""
    table = terminal_table(rows, view.narrow, view.every_cell)
    said = [wrapped(part) for part in view.finding(rows).split("\n\n")]
    return "\n\n".join(filter(None, [wrapped(f"{view.title} ({about}{device})"), table, "\n".join(said)]))


def summary(results: Results, provenance: str) -> str:
    """The run in Markdown, in fewer than `MAX_LINES` lines: verdict, slowest and fastest blocks, and what was said."""
    lines = [f"## mnv1 on {results.cases['machine'].iloc[0]}", "", provenance, ""]
    note = machine_note(results)
    if note:
        lines += [note, ""]
    devices = results.cases["device"].unique()
    room = (MAX_LINES - 4 - len(lines)) // len(devices)
    for device in devices:
        lines += _device_part(results.of_device(device), str(device))[:room]
    return "\n".join(lines).rstrip() + "\n"


def _device_part(results: Results, device: str) -> list[str]:
    lines = [f"### {device}", ""]
    verdict = BY_NAME["verdict"]
    rows = verdict.select(results)
    if rows.empty:
        lines += [NO_PAIR, ""]
    else:
        lines += [
            *verdict.finding(rows).splitlines(),
            "",
            *text_table(rows, verdict.columns, verdict.every_cell).splitlines(),
            "",
        ]
    for name in ("training_speedup", "heat_map", "operators", "predictors", "pareto", "precision", "batch_scaling"):
        said = _said(BY_NAME[name], results)
        if said:
            lines += [f"- **{BY_NAME[name].title}** {said}"]
    return [*lines, ""]


def _said(view: View, results: Results) -> str:
    rows = view.select(results)
    return "" if rows.empty else view.finding(rows)


def machine_note(results: Results) -> str:
    """What the machine was like, where it was not one and the same: its states, neighbours, a container's quota.

    Cases need no mark of their own where most are disturbed.
    """
    disturbed = DISTURBED if mostly_disturbed(results) else ""
    about = results.environment
    return " ".join(filter(None, [disturbed, _states(about), _throttled(about)]))


def _states(environment: Mapping[str, Any]) -> str:
    states = str(environment.get("states", ""))
    if "), " not in states:  # one, or unknown
        return ""
    text = (
        f"The machine was in several states, told apart by what a message from CPU to CPU takes: {states}. Figures are "
        "of the first state in which a case has enough rounds; the others stand beside them."
    )
    said = str(environment.get("state_note", ""))
    return f"{text} {said[:1].upper()}{said[1:]}." if said else text


def _throttled(environment: Mapping[str, Any]) -> str:
    line = str(environment.get("throttling", ""))
    return f"{line[:1].upper()}{line[1:]}." if line else ""


def mostly_disturbed(results: Results) -> bool:
    """Whether most cases of a run could only be measured on a disturbed machine."""
    return bool((results.cases["stopped"] == "disturbed").mean() > 0.5)
