"""Every timed figure of stored runs by the state of the machine that it was measured in. Needs no torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from mnv1.store.documents import ResultError, read

FIGURE_COLUMNS: dict[str, str] = {
    "run": "file name of the stored run, without its ending",
    "id": "the case's stable id",
    "measures": "as in the cases' table",
    "state": "state of the machine; empty where it was not read",
    "message": "seconds of a message between CPUs in this state; empty where it was not read",
    "figure": "speedup, or latency in seconds",
    "value": "the figure",
    "low": "lower end of its 95 % interval",
    "high": "upper end of its 95 % interval",
    "run_to_run": "standard deviation between runs that the interval has beside the scatter of visits; 0 for none",
    "visits": "visits that it rests on",
    "rounds": "rounds that it rests on",
}
"""Every column of the table of figures, with its meaning."""


def load_figures(paths: Iterable[Path | str]) -> pd.DataFrame:
    """One row a case and state, with the columns of `FIGURE_COLUMNS`, from one or several stored runs.

    A run of a revision that read no states has one row a case. Raises `ResultError` for a damaged file.
    """
    rows = [row for path in map(Path, paths) for row in _of_run(path)]
    return pd.DataFrame(rows, columns=list(FIGURE_COLUMNS))


def _of_run(path: Path) -> Iterator[dict[str, Any]]:
    for benchmark in read(path)["benchmarks"]:
        facts = benchmark["extra_info"]
        try:
            for found in facts.get("states") or [facts]:
                yield {"run": path.stem, "id": facts["id"], "measures": facts["measures"], **_figure(found)}
        except (KeyError, TypeError) as error:
            raise ResultError(f"{path}: figures of {facts.get('id')} are damaged ({error})") from None


def _figure(found: Mapping[str, Any]) -> dict[str, Any]:
    name = "speedup" if "speedup" in found else "latency"
    return {
        "state": found.get("state", ""),
        "message": found.get("message"),
        "figure": name,
        "value": found["speedup" if name == "speedup" else "latency_p50"],
        "low": found[f"{name}_low"],
        "high": found[f"{name}_high"],
        "run_to_run": found.get("run_to_run", 0.0),
        "visits": found.get("visits"),
        "rounds": found.get("rounds"),
    }
