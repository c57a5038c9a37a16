"""A stored run as it is handed on: compact, and without the names of the host and of its people. Needs no torch."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from mnv1.base.facts import LATENCY
from mnv1.base.files import write_whole
from mnv1.base.run_to_run import RunToRun
from mnv1.base.statistics import narrowed, widened
from mnv1.store.choice import machine_folder
from mnv1.store.documents import ResultError, compact, read

_HOME = re.compile(
    r"(?<![\w.~-])(?:/home/[^/\s'\":,;)]+|/Users/[^/\s'\":,;)]+|/root\b|[A-Za-z]:\\Users\\[^\\\s'\":,;)]+)"
)


def prepared(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document of a run without its host's name, the checkout's name and branch, and paths below a home folder."""
    machine = dict(document["machine_info"])
    host = str(machine.pop("node", ""))
    commit = {name: one for name, one in (document.get("commit_info") or {}).items() if name in _OF_COMMIT}
    handed_on: dict[str, Any] = _without(host, {**document, "machine_info": machine, "commit_info": commit})
    return handed_on


def with_component(document: Mapping[str, Any], run_to_run: RunToRun) -> dict[str, Any]:
    """The document of a run with other components between runs in its intervals.

    Raises `mnv1.store.runs.ResultError` for a run whose intervals have none.
    """
    changed = deepcopy(dict(document))
    for benchmark in changed["benchmarks"]:
        facts = benchmark["extra_info"]
        for figures in (facts, *facts.get("states", ())):
            before = figures.get("run_to_run")
            if before is None:
                raise ResultError(f"{facts.get('id')}: its interval has no component between runs to replace")
            of_latency = run_to_run.of(LATENCY, figures.get("state"))
            _replace(figures, "latency", "latency_p50", figures.get("latency_run_to_run", before), of_latency)
            figures["run_to_run"] = of_latency
            if "speedup_low" in figures:
                here = run_to_run.of(facts["measures"], figures.get("state"))
                _replace(figures, "speedup", "speedup", before, here)
                figures |= {"run_to_run": here, "latency_run_to_run": of_latency}
    return changed


def _replace(figures: dict[str, Any], name: str, figure: str, before: float, here: float) -> None:
    value = figures[figure]
    low, high = (math.log(figures[f"{name}_{end}"] / value) for end in ("low", "high"))
    _, low, high = widened(narrowed((0.0, low, high), before), here)
    figures |= {f"{name}_low": value * math.exp(low), f"{name}_high": value * math.exp(high)}


_OF_COMMIT = ("id", "time", "dirty")
"""What is kept of the commit: the revision, not the folder, the branch or what git said of either."""


def _without(host: str, value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without(host, one) for name, one in value.items()}
    if isinstance(value, list):
        return [_without(host, one) for one in value]
    if not isinstance(value, str):
        return value
    text = _HOME.sub("~", value)
    return re.sub(rf"(?<![\w.-]){re.escape(host)}(?![\w-])", "HOST", text) if len(host) > 1 else text


def prepare(run: Path, out: Path, run_to_run: RunToRun | None = None) -> None:
    """Write a stored run to a file in the form in which it is handed on, perhaps with other components between runs.

    Raises `mnv1.store.runs.ResultError`.
    """
    document = read(run)
    text = compact(prepared(document if run_to_run is None else with_component(document, run_to_run)))
    try:
        write_whole(out, lambda file: file.write(text.encode("ascii")))
    except OSError as error:
        raise ResultError(f"{out}: cannot be written: {error.strerror or error}") from None


def place(run: Path, published: Path) -> Path:
    """Where a run stands below the folder of published runs: by machine and Python, under its own name.

    Raises `mnv1.store.runs.ResultError` where it cannot stand there: another run does, or nothing would find it.
    """
    document = read(run)
    machine = document["machine_info"]["mnv1"]["machine"]
    if not re.fullmatch(r"[\w-][\w.-]*", machine):
        raise ResultError(f"{run}: its machine {machine!r} is no name of a folder")
    if not re.match(r"\d{4}_", run.name):
        raise ResultError(f"{run}: names of stored runs begin with four digits, such as 0001_{run.name}; rename it")
    folder = machine_folder(run)
    target: Path = published / machine / run.resolve().parent.relative_to(folder) / run.name
    if target.exists() and read(target)["datetime"] != document["datetime"]:
        raise ResultError(f"{target}: another run is published under this name; rename {run.name}")
    return target
