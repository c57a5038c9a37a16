"""Stored runs as files: finds, reads and checks them, so that a damaged one is named in a line. Needs no torch."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from pytest_benchmark.utils import SafeJSONEncoder

from mnv1.base.documents import checked, read_json
from mnv1.base.errors import UserError
from mnv1.store.columns import (
    ABOUT_RUN,
    CEILING_COLUMNS,
    COLUMNS,
    GAIN,
    KERNEL_COLUMNS,
    OPERATOR_COLUMNS,
    TRAINING,
    TRAINING_SPEEDUP,
)

SCHEMA = 1
"""Version of the facts' layout, stored with every run; a reader refuses a newer one."""

PUBLISHED = "published"
"""The folder below `results/` of the runs that README and docs quote; ordinary commands neither read nor write it."""

_TEXT = {"id", "measures", "subject", "kind", "shape", "device", "precision", "mode", "amp_dtype", "stopped"}
_TEXT |= {"throttled", "state", "traced_state"}
_TRUTH = {"launch_bound"}
_NAMES = {"kind", "device", "precision", "mode"}
"""What anybody can add to: a file may hold names that this version does not know, but nothing else."""
_NAME = re.compile(r"[\w.+:-]+")
_CHOICES: dict[str, tuple[str, ...]] = {
    "measures": ("latency", "speedup", GAIN, TRAINING, TRAINING_SPEEDUP),
    "subject": ("layer", "model"),
}


class ResultError(UserError):
    """A stored run that cannot be used."""


def find_runs(folder: Path | str) -> list[Path]:
    """Every stored run below a folder, by pytest-benchmark's file names. Raises `ResultError` when there is none.

    Published runs are found only in their own folder: somebody else's machine is no part of what was measured here.
    """
    folder = Path(folder)
    runs = sorted(folder.rglob("[0-9][0-9][0-9][0-9]_*.json")) if folder.is_dir() else []
    runs = [run for run in runs if PUBLISHED not in run.relative_to(folder).parts]
    if not runs:
        raise ResultError(f"{folder}: no stored runs here; measure first: pytest benchmarks --benchmark-autosave")
    return runs


def read(path: Path) -> dict[str, Any]:
    """The document of one stored run, with every part that the table needs. Raises `ResultError`."""
    document = read_json(path, ResultError)
    if not (isinstance(document, dict) and isinstance(document.get("benchmarks"), list)):
        raise ResultError(f"{path}: not a file of pytest-benchmark")
    machine = document.get("machine_info")
    facts = machine.get("mnv1") if isinstance(machine, dict) else None
    facts = checked(facts, path, ResultError, "a run of mnv1, but a pytest-benchmark file of another suite", SCHEMA)
    document["benchmarks"] = [one for one in document["benchmarks"] if not _is_of_others(one)]
    broken = _first_broken(document, facts)
    if broken:
        raise ResultError(f"{path}: damaged: {broken}")
    return document


def compact(document: Mapping[str, Any]) -> str:
    """A run as text: JSON with a line for each case and each part beside the cases, in pure ASCII."""
    parts = []
    for name, value in document.items():
        text = "[\n" + ",\n".join(map(_one_line, value)) + "\n]" if name == "benchmarks" else _one_line(value)
        parts.append(f"{_one_line(name)}:{text}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _one_line(value: object) -> str:
    return json.dumps(value, cls=SafeJSONEncoder, separators=(",", ":"))


def _first_broken(document: Mapping[str, Any], machine: Mapping[str, Any]) -> str | None:
    """What the table needs and this document lacks."""
    packages = machine.get("packages")
    if not isinstance(machine.get("machine"), str) or not isinstance(packages, dict) or "torch" not in packages:
        return "the machine's description is incomplete"
    if pd.isna(pd.to_datetime(str(document.get("datetime")), utc=True, errors="coerce", format="ISO8601")):
        return "it has no valid date"
    if not isinstance(machine.get("threads", 1), int):
        return "its number of threads is none"
    ceilings = machine.get("ceilings", [])
    if not isinstance(ceilings, list) or not all(map(_is_ceiling, ceilings)):
        return "its ceilings are no list of facts"
    about = document.get("mnv1", {})
    if not isinstance(about, dict) or not all(_is_number(about.get(name, 0)) for name in ("wall_time", "call_time")):
        return "what it says of its time is no number"
    if not document["benchmarks"]:
        return "it holds no case"
    for number, benchmark in enumerate(document["benchmarks"], start=1):
        facts = benchmark.get("extra_info") if isinstance(benchmark, dict) else None
        if not isinstance(facts, dict) or not isinstance(facts.get("id"), str):
            return f"case {number} has no id"
        for parts, is_one in (("operators", _is_operator), ("kernels", _is_kernel)):
            found = facts.get(parts, [])
            if not isinstance(found, list) or not all(map(is_one, found)):
                return f"case {facts['id']} has {parts} that are no list of facts"
        wrong = _first_wrong_fact(facts)
        if wrong:
            return f"case {facts['id']} has no valid {wrong}"
    return None


def _is_of_others(benchmark: object) -> bool:
    """Whether a user's own benchmark, without this suite's facts, was stored beside the cases."""
    facts = benchmark.get("extra_info") if isinstance(benchmark, dict) else None
    return isinstance(facts, dict) and not {"measures", "latency_p50"} & facts.keys()


def _is_ceiling(value: object) -> bool:
    return _has(value, CEILING_COLUMNS, {"ceiling", "device", "precision"})


def _is_operator(value: object) -> bool:
    needed = set(OPERATOR_COLUMNS) - {"id", "empty"}
    return _has(value, needed, {"operator"}) and isinstance(value, dict) and _is_number(value.get("empty", 0.0))


def _is_kernel(value: object) -> bool:
    return _has(value, set(KERNEL_COLUMNS) - {"id"}, {"kernel", "implementation", "layouts"})


def _has(value: object, columns: Iterable[str], texts: set[str]) -> bool:
    """Whether a fact has every column: some as text, the others as numbers."""
    if not isinstance(value, dict) or not all(isinstance(value.get(name), str) for name in texts):
        return False
    return all(_is_number(value.get(name)) for name in set(columns) - texts - ABOUT_RUN)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -1e300 < value < 1e300


def _first_wrong_fact(facts: Mapping[str, Any]) -> str | None:
    """The first fact that is missing, or not of its column's type."""
    needed = {"subject", "kind", "shape", "batch_size", "device", "precision", "macs", "rounds", "stopped"}
    needed |= {"measures", "latency_p50", "latency_low", "latency_high"}
    if facts.get("measures") in ("speedup", GAIN, TRAINING_SPEEDUP):
        needed |= {"speedup", "speedup_low", "speedup_high", "macs_ratio", "standard_latency_p50"}
    else:
        needed |= {"throughput", "latency_p90", "latency_p99"}
        if facts.get("mode", "eager") == "eager":  # what runs outside of torch has none
            needed |= {"peak_memory"}
    for name in COLUMNS:
        if name in facts:
            value = facts[name]
            if name in _TEXT or name in _TRUTH:
                valid = isinstance(value, str if name in _TEXT else bool) and value in _CHOICES.get(name, (value,))
                valid = valid and (name not in _NAMES or _NAME.fullmatch(value) is not None)
            else:
                valid = _is_number(value)
            if not valid:
                return name
        elif name in needed:
            return name
    return None
