"""What several tools said of identical and of slower code, side by side: a pure function of stored answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from mnv1.base import tables
from mnv1.regression.stored import usual_self_tests
from mnv1.report.units import duration, percent

NAMES = {
    "pytest-benchmark": "pytest-benchmark, `--benchmark-compare-fail=median:5%`",
    "codspeed": "pytest-codspeed, wall time, its best times compared at 5 %",
    "asv": "`asv continuous --factor 1.05`",
    "mnv1": "`python -m mnv1.regression`",
}


def other_tools_table(answers: Sequence[Mapping[str, Any]], self_tests: Sequence[Mapping[str, Any]]) -> str:
    """One row for each tool and kind of code; `self_tests` are the ledger of this suite's own comparisons."""
    header = ("tool", "code", "runs", "red runs", "cases flagged as slower", "time, median")
    rows = []
    every = [*answers, *map(_own, usual_self_tests(self_tests, quick=False))]
    for tool in NAMES:
        for code, slowdown in sorted({(one["code"], one["slowdown"]) for one in every if one["tool"] == tool}):
            some = [one for one in every if (one["tool"], one["code"], one["slowdown"]) == (tool, code, slowdown)]
            flagged, cases = (sum(one[name] for one in some) for name in ("flagged", "cases"))
            cells = (
                NAMES[tool],
                "identical" if code == "identical" else f"{100 * slowdown:+.0f} %",
                len(some),
                sum(one["red"] for one in some),
                f"{flagged} of {cases} ({percent(flagged / cases)})",
                f"{duration(median(one['wall_time'] for one in some))} min",
            )
            rows.append(cells)
    return tables.markdown(header, rows, left=("tool", "code"), padded=False)


def _own(entry: Mapping[str, Any]) -> dict[str, Any]:
    """A self-test as an answer: of slowed cases where some are slowed, of all where none is."""
    injected = entry["about"]["injected"]
    words = [verdict["word"] for name, verdict in entry["verdicts"].items() if not injected or name in injected]
    return {
        "tool": "mnv1",
        "code": "slower" if injected else "identical",
        "slowdown": round(float(next(iter(injected.values()))), 6) if injected else 0.0,
        "red": entry["exit_status"] == 1,
        "flagged": words.count("SLOWER"),
        "cases": len(words),
        "wall_time": entry["wall_time"],
    }
