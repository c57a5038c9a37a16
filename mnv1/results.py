"""Stored runs as one tidy table: the only reader of the stored JSON's layout.

A run is a file of pytest-benchmark's own format (raw rounds included) whose `extra_info` carries this suite's facts.
Needs no torch.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

SCHEMA = 1
"""Version of the facts' layout, stored with every run; a reader refuses a newer one."""

COLUMNS: dict[str, str] = {
    "run": "file name of the stored run, without its ending",
    "time": "when the run was stored (UTC)",
    "machine": "name of the machine",
    "environment": "hardware, software and settings in one line; equal lines may be compared",
    "commit": "git revision, with + where the working tree had changes",
    "id": "the case's stable id",
    "measures": "latency or speedup",
    "subject": "layer or model",
    "kind": "standard, separable, depthwise, pointwise or shallow",
    "shape": "the workload's size without its kind",
    "in_channels": "layers: input channels of the block",
    "out_channels": "layers: output channels of the block",
    "stride": "layers: stride of the block",
    "side": "layers: input side of the block, pixels",
    "alpha": "models: width multiplier",
    "resolution": "models: input side, pixels",
    "batch_size": "images a call",
    "device": "cpu or cuda",
    "precision": "fp32 (IEEE), tf32 or amp",
    "amp_dtype": "what autocast computed in",
    "macs": "multiply-accumulates a call",
    "params": "trainable parameters",
    "min_bytes": "compulsory memory traffic of a call, bytes",
    "latency_p50": "seconds a call, median of the rounds (speedups: geometric mean)",
    "latency_low": "seconds, lower end of its 95 % interval",
    "latency_high": "seconds, upper end of its 95 % interval",
    "latency_p90": "seconds a call, 90th percentile of the rounds",
    "latency_p99": "seconds a call, 99th percentile of the rounds",
    "device_latency_p50": "CUDA: seconds a call between events on the stream, gaps included, median",
    "device_busy": "CUDA: seconds a call in which kernels run, gaps left out",
    "launch_bound": "CUDA: whether a call takes far longer than its kernels",
    "gpu_clock": "CUDA: clock of the multiprocessors right after the rounds, Hz",
    "throttled": "CUDA: what held the clocks back; empty for nothing",
    "first_call": "seconds of the first call with this input",
    "throughput": "images a second, at the median latency",
    "macs_per_second": "achieved multiply-accumulates a second, at the median latency",
    "peak_memory": "bytes above weights and input, at the worst moment",
    "peak_reserved": "CUDA: bytes that the caching allocator took from the device for the call",
    "process_peak": "CPU: bytes by which the process grew, libraries' scratch memory included (VmHWM)",
    "memory_floor": "bytes of the largest layer's input and output together: the least that peak memory can be",
    "speedup": "speedups: standard time / separable time, geometric mean of the rounds",
    "speedup_low": "speedups: lower end of the 95 % interval",
    "speedup_high": "speedups: upper end of the 95 % interval",
    "standard_latency_p50": "speedups: seconds a call of the standard side",
    "standard_macs": "speedups: multiply-accumulates a call of the standard side",
    "macs_ratio": "speedups: MACs of the standard side / MACs of the separable side",
    "gemm_rate": "ceiling of the run: multiply-accumulates a second of a matrix product in this precision",
    "copy_rate": "ceiling of the run: bytes a second, read and written, of a copy beyond the last-level cache",
    "rounds": "counted rounds",
    "visits": "times that the case was sampled, spread over the sweep",
    "call_time": "seconds of all calls that were timed, warm-up and disturbed rounds included",
    "calls_per_round": "calls that one round averages",
    "disturbed_rounds": "rounds left out because controls said that the machine was disturbed",
    "stopped": "why sampling stopped: precise, no longer improving, time budget, round limit or disturbed (such rounds "
    "had to count)",
}
"""Every column of the table, with its meaning and unit (SI base units)."""

CEILING_COLUMNS: dict[str, str] = {
    "run": "file name of the stored run, without its ending",
    "environment": "as in the cases' table",
    "ceiling": "gemm, copy beyond cache or copy within cache",
    "device": "cpu or cuda",
    "precision": "of a gemm: fp32 (IEEE), tf32 or amp",
    "size": "side of a gemm's matrices, or bytes that a copy moves",
    "value": "multiply-accumulates a second of a gemm, bytes read and written a second of a copy; median",
    "low": "lower end of its 95 % interval",
    "high": "upper end of its 95 % interval",
    "rounds": "counted rounds",
    "disturbed_rounds": "rounds during which the machine was disturbed",
    "stopped": "why sampling stopped",
}
"""Every column of the table of ceilings, with its meaning and unit."""

TIME_COLUMNS: dict[str, str] = {
    "run": "file name of the stored run, without its ending",
    "wall_time": "seconds from the first case to the last; the start before it takes some 15 s",
    "call_time": "seconds of them in calls that were timed, warm-up included",
}
"""Every column of the table of times, with its meaning and unit."""

_TEXT = {"id", "measures", "subject", "kind", "shape", "device", "precision", "amp_dtype", "stopped", "throttled"}
_TRUTH = {"launch_bound"}
_CEILING_TEXT = {"ceiling", "device", "precision", "stopped"}
_ABOUT_RUN = {"run", "environment"}
_COMPARABLE = (
    "machine",
    "cpu",
    "cpu_capability",
    "cpus",
    "threads",
    "thread_binding",
    "gpu",
    "gpu_driver",
    "machine_state",
    "allocator",
    "cuda_build",
    "python",
)


class ResultError(Exception):
    """A stored run that cannot be used; the message is one line for the user."""


def find_runs(folder: Path | str) -> list[Path]:
    """Every stored run below a folder, by pytest-benchmark's file names. Raises `ResultError` when there is none."""
    folder = Path(folder)
    runs = sorted(folder.rglob("[0-9][0-9][0-9][0-9]_*.json")) if folder.is_dir() else []
    if not runs:
        raise ResultError(f"{folder}: no stored runs here; measure first: pytest benchmarks --benchmark-autosave")
    return runs


def load(paths: Iterable[Path | str]) -> pd.DataFrame:
    """One row a case, with the columns of `COLUMNS`, from one or several stored runs.

    A case that several runs hold appears once for each. Raises `ResultError` for a file that is missing, damaged, of
    another suite or of a newer layout.
    """
    frames = [_load_run(Path(path)) for path in paths]
    if not frames:
        raise ResultError("no stored runs were given")
    return pd.concat(frames, ignore_index=True)


def frame(facts: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """The table of facts that are not stored yet; columns about the run are empty."""
    return pd.DataFrame(list(facts)).reindex(columns=list(COLUMNS))


def combine(tables: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """One row a case from runs that may be compared; the newest run wins where several hold a case.

    Raises `ResultError` when the runs come from unlike environments: no figure may mix them.
    """
    runs = pd.concat(tables, ignore_index=True)
    environments = runs["environment"].unique()
    if len(environments) > 1:
        machines = runs.groupby("environment", sort=False)["run"].first()
        listed = "; ".join(f"{run}: {environment}" for environment, run in machines.items())
        raise ResultError(
            f"these runs come from {len(environments)} unlike environments, render one at a time: {listed}"
        )
    return runs.sort_values("time", kind="stable").drop_duplicates("id", keep="last").sort_index(ignore_index=True)


def ratio(over: pd.Series, under: pd.Series, column: str = "latency_p50") -> float:
    """How many times larger a figure of one row is than that of another; both are rows of a table from `load`.

    Raises `ResultError` when the rows come from unlike environments, or one lacks the figure: such a ratio would tell
    of the machines as much as of the cases.
    """
    if over["environment"] != under["environment"]:
        raise ResultError(
            f"{over['id']} and {under['id']} were measured in unlike environments, so they have no ratio: "
            f"{over['environment']}; {under['environment']}"
        )
    if pd.isna(over[column]) or pd.isna(under[column]) or not under[column]:
        raise ResultError(f"{over['id']} and {under['id']}: one of them has no {column}")
    return float(over[column] / under[column])


def load_ceilings(paths: Iterable[Path | str]) -> pd.DataFrame:
    """The ceilings that were measured with some stored runs: columns `CEILING_COLUMNS`, SI units.

    Raises `ResultError` as `load` does.
    """
    tables = []
    for path in map(Path, paths):
        machine = _read(path)["machine_info"]["mnv1"]
        table = pd.DataFrame(machine.get("ceilings", [])).reindex(columns=list(CEILING_COLUMNS))
        tables.append(table.assign(run=path.stem, environment=_environment(machine)))
    if not tables:
        raise ResultError("no stored runs were given")
    return pd.concat(tables, ignore_index=True)


def load_times(paths: Iterable[Path | str]) -> pd.DataFrame:
    """How long some stored runs took: columns `TIME_COLUMNS`. Raises `ResultError` as `load` does."""
    rows = []
    for path in map(Path, paths):
        about = _read(path).get("mnv1", {})
        rows.append({"run": path.stem, **{name: about.get(name) for name in TIME_COLUMNS if name != "run"}})
    if not rows:
        raise ResultError("no stored runs were given")
    return pd.DataFrame(rows, columns=list(TIME_COLUMNS))


def _load_run(path: Path) -> pd.DataFrame:
    document = _read(path)
    machine = document["machine_info"]["mnv1"]
    commit = document.get("commit_info")
    commit = commit if isinstance(commit, dict) else {}
    table = frame(benchmark["extra_info"] for benchmark in document["benchmarks"])
    table["run"] = path.stem
    table["time"] = pd.to_datetime(document["datetime"], utc=True, format="ISO8601")
    table["machine"] = machine["machine"]
    table["environment"] = _environment(machine)
    rates = {(one["ceiling"], one["device"], one["precision"]): one["value"] for one in machine.get("ceilings", [])}
    for column, ceiling, precisions in (
        ("gemm_rate", "gemm", table["precision"]),
        ("copy_rate", "copy beyond cache", [""] * len(table)),
    ):
        keys = zip(table["device"], precisions, strict=True)
        table[column] = pd.Series([rates.get((ceiling, *key)) for key in keys], dtype=float)
    table["commit"] = str(commit.get("id") or "unknown")[:12] + ("+" if commit.get("dirty") else "")
    return table


def _environment(machine: Mapping[str, Any]) -> str:
    facts = [f"{name} {machine[name]}" for name in _COMPARABLE if name in machine]
    return ", ".join([*facts, f"torch {machine['packages']['torch']}"])


def _read(path: Path) -> dict[str, Any]:
    """The document of one stored run, with every part that the table needs. Raises `ResultError`."""
    try:
        text = path.read_text(encoding="utf8")
    except FileNotFoundError:
        raise ResultError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ResultError(f"{path}: cannot be read ({error})") from None
    if not text.strip():
        raise ResultError(f"{path}: the file is empty; the run that wrote it was cut off, measure again")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ResultError(f"{path}: damaged or truncated JSON ({error}); restore or delete the file") from None
    if not (isinstance(document, dict) and isinstance(document.get("benchmarks"), list)):
        raise ResultError(f"{path}: not a file of pytest-benchmark")
    machine = document.get("machine_info")
    facts = machine.get("mnv1") if isinstance(machine, dict) else None
    if not isinstance(facts, dict) or "schema" not in facts:
        raise ResultError(f"{path}: a pytest-benchmark file, but of another suite than mnv1")
    if facts["schema"] != SCHEMA:
        raise ResultError(f"{path}: layout {facts['schema']!r}, this version reads {SCHEMA}; use a matching mnv1")
    broken = _first_broken(document, facts)
    if broken:
        raise ResultError(f"{path}: damaged: {broken}")
    return document


def _first_broken(document: Mapping[str, Any], machine: Mapping[str, Any]) -> str | None:
    """What the table needs and this document lacks."""
    packages = machine.get("packages")
    if not isinstance(machine.get("machine"), str) or not isinstance(packages, dict) or "torch" not in packages:
        return "the machine's description is incomplete"
    if pd.isna(pd.to_datetime(str(document.get("datetime")), utc=True, errors="coerce", format="ISO8601")):
        return "it has no valid date"
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
        wrong = _first_wrong_fact(facts)
        if wrong:
            return f"case {facts['id']} has no valid {wrong}"
    return None


def _is_ceiling(value: object) -> bool:
    if not isinstance(value, dict) or not all(isinstance(value.get(name), str) for name in _CEILING_TEXT):
        return False
    return all(_is_number(value.get(name)) for name in CEILING_COLUMNS if name not in _CEILING_TEXT | _ABOUT_RUN)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -1e300 < value < 1e300


def _first_wrong_fact(facts: Mapping[str, Any]) -> str | None:
    """The first fact that is missing, or not of its column's type."""
    needed = {"subject", "kind", "shape", "batch_size", "device", "precision", "macs", "rounds", "stopped"}
    needed |= {"measures", "latency_p50", "latency_low", "latency_high"}
    if facts.get("measures") == "speedup":
        needed |= {"speedup", "speedup_low", "speedup_high", "macs_ratio", "standard_latency_p50"}
    else:
        needed |= {"throughput", "peak_memory", "latency_p90", "latency_p99"}
    for name in COLUMNS:
        if name in facts:
            value = facts[name]
            if name in _TEXT or name in _TRUTH:
                valid = isinstance(value, str if name in _TEXT else bool)
            else:
                valid = _is_number(value)
            if not valid:
                return name
        elif name in needed:
            return name
    return None
