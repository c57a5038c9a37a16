"""Stored runs as tidy tables in SI units: one row a case, a ceiling, an operator. Needs no torch.

A run is a file of pytest-benchmark's own format (raw rounds included) whose `extra_info` carries this suite's facts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from mnv1.net.roofline import WITHIN_CACHE
from mnv1.store.columns import CEILING_COLUMNS, COLUMNS, KERNEL_COLUMNS, OPERATOR_COLUMNS, TIME_COLUMNS
from mnv1.store.documents import SCHEMA, ResultError, find_runs, read
from mnv1.store.shards import WHOLE

__all__ = [
    "SCHEMA",
    "ResultError",
    "Results",
    "combine",
    "environment_of",
    "find_runs",
    "frame",
    "from_facts",
    "load",
    "load_ceilings",
    "load_kernels",
    "load_operators",
    "load_results",
    "load_times",
    "ratio",
]

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
    "allocator_pages",
    "caches",
    "cuda_build",
    "python",
)


@dataclass(frozen=True, eq=False)
class Results:
    """What a report is made of. Its tables are only read: what is found in them may be kept beside it."""

    cases: pd.DataFrame
    """One row a case, from comparable runs: columns `COLUMNS`."""
    operators: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(OPERATOR_COLUMNS)))
    """Where the time of profiled cases goes: columns `OPERATOR_COLUMNS`."""
    history: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(COLUMNS)))
    """Cases of every stored run of the same machine, whatever its settings were, the reported runs included."""
    environment: Mapping[str, object] = field(default_factory=dict)
    """What is known of the machine, by name."""
    kernels: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(KERNEL_COLUMNS)))
    """What ran in traced cases: columns `KERNEL_COLUMNS`."""

    def of_device(self, device: str) -> Results:
        """The part that was measured on one device: the same object at each call."""
        if device not in self._parts:
            self._parts[device] = self._part(device)
        return self._parts[device]

    @cached_property
    def _parts(self) -> dict[str, Results]:
        return {}

    def _part(self, device: str) -> Results:
        cases, history = (table[table["device"] == device] for table in (self.cases, self.history))
        operators, kernels = (table[table["id"].isin(cases["id"])] for table in (self.operators, self.kernels))
        return Results(cases, operators, history, self.environment, kernels)


def load_results(paths: Iterable[Path | str], others: Iterable[Path | str] = ()) -> Results:
    """Everything about some comparable runs, and the history of their machine from `others`.

    Raises `ResultError` as `load` and `combine` do, for a damaged file among the runs; one among the others is left
    out.
    """
    paths = [Path(path) for path in paths]
    tables = {path: load([path]) for path in paths}
    cases = combine(tables.values())
    rest = (_load_or_nothing(path) for path in others if Path(path) not in tables)
    machine = cases["machine"].iloc[0]
    past = pd.concat([*tables.values(), *(table for table in rest if table is not None)], ignore_index=True)
    past = past.drop_duplicates(["run", "time", "id"])
    newest = max(paths, key=lambda path: tables[path]["time"].iloc[0])
    return Results(
        cases,
        load_operators(paths),
        past[past["machine"] == machine].reset_index(drop=True),
        environment_of(newest),
        load_kernels(paths),
    )


def from_facts(facts: Iterable[Mapping[str, Any]], machine: Mapping[str, Any]) -> Results:
    """What is known of a run that is not stored yet."""
    facts = list(facts)
    return Results(frame(facts, machine), _parts(facts, *_OPERATORS), kernels=_parts(facts, *_KERNELS))


_OPERATORS, _KERNELS = ("operators", tuple(OPERATOR_COLUMNS)), ("kernels", tuple(KERNEL_COLUMNS))


def _parts(facts: Iterable[Mapping[str, Any]], name: str, columns: Sequence[str]) -> pd.DataFrame:
    """The parts of a call that cases list, one a row."""
    rows = [row | {"id": case["id"]} for case in facts for row in case.get(name, [])]
    return pd.DataFrame(rows).reindex(columns=list(columns))


def _load_or_nothing(path: Path | str) -> pd.DataFrame | None:
    try:
        return load([path])
    except ResultError:
        return None


def load(paths: Iterable[Path | str]) -> pd.DataFrame:
    """One row a case, with the columns of `COLUMNS`, from one or several stored runs.

    A case that several runs hold appears once for each. Raises `ResultError` for a file that is missing, damaged, of
    another suite or of a newer layout.
    """
    return _stacked(paths, _load_run)


def frame(facts: Iterable[Mapping[str, Any]], machine: Mapping[str, Any] | None = None) -> pd.DataFrame:
    """The table of facts that are not stored yet, on a machine as its environment describes it.

    Columns about the run are empty.
    """
    facts = list(facts)
    table = pd.DataFrame([_flat(one) for one in facts]).reindex(columns=list(COLUMNS))
    usual = table["state"].mode()
    table["odd_state"] = table["state"].where(table["state"] != (usual.iloc[0] if len(usual) else ""))
    table["mode"] = table["mode"].astype(object).where(table["mode"].notna(), "eager")  # runs before there were modes
    if machine is None:
        return table
    table["threads"] = machine.get("threads")
    ceilings = {(one["ceiling"], one["device"], one["precision"]): one for one in machine.get("ceilings", [])}

    def joined(ceiling: str, fact: str, by_precision: bool = False) -> pd.Series:
        precisions = table["precision"] if by_precision else [""] * len(table)
        keys = zip(table["device"], precisions, strict=True)
        return pd.Series([ceilings.get((ceiling, *key), {}).get(fact) for key in keys], table.index, dtype=float)

    rates = [joined(ceiling, "value", by_precision=True) for ceiling in ("gemm", "convolution")]
    table["peak_rate"] = pd.concat(rates, axis="columns").max(axis="columns")
    table["copy_rate"] = joined("copy beyond cache", "value")
    table["cache_rate"] = joined("copy within cache", "value")
    table["cache_size"] = joined("copy within cache", "size") / WITHIN_CACHE
    return table


def _flat(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Facts of a case, with the figures of the other state that most of its rounds were taken in, if there is one."""
    others = [one for one in facts.get("states", []) if one["state"] != facts.get("state")]
    if not others:
        return dict(facts)
    other = max(others, key=lambda one: one["rounds"])
    names = ("state", "speedup", "speedup_low", "speedup_high", "latency_p50", "latency_low", "latency_high")
    return {**facts, **{f"other_{name}": other[name] for name in names if name in other}}


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

    def one(path: Path) -> pd.DataFrame:
        machine = _machine(read(path))
        table = pd.DataFrame(machine.get("ceilings", [])).reindex(columns=list(CEILING_COLUMNS))
        return table.assign(run=path.stem, environment=_environment(machine))

    return _stacked(paths, one)


def load_operators(paths: Iterable[Path | str]) -> pd.DataFrame:
    """Where the time of profiled cases goes: columns `OPERATOR_COLUMNS`. Raises `ResultError` as `load` does."""

    return _load_parts(paths, *_OPERATORS).drop_duplicates(["id", "operator"], keep="last", ignore_index=True)


def load_kernels(paths: Iterable[Path | str]) -> pd.DataFrame:
    """What ran in traced cases: columns `KERNEL_COLUMNS`. Raises `ResultError` as `load` does.

    Of a case that several runs hold the last one's.
    """
    table = _load_parts(paths, *_KERNELS)
    newest = table.groupby("id")["run"].transform("last")
    return table[table["run"] == newest].reset_index(drop=True)


def _load_parts(paths: Iterable[Path | str], name: str, columns: Sequence[str]) -> pd.DataFrame:
    def one(path: Path) -> pd.DataFrame:
        document = read(path)
        table = _parts((benchmark["extra_info"] for benchmark in document["benchmarks"]), name, columns)
        return table.assign(run=path.stem, environment=_environment(_machine(document)))

    return _stacked(paths, one)


def load_times(paths: Iterable[Path | str]) -> pd.DataFrame:
    """How long some stored runs took: columns `TIME_COLUMNS`. Raises `ResultError` as `load` does."""

    def one(path: Path) -> pd.DataFrame:
        about = read(path).get("mnv1", {})
        row = {"run": path.stem, **{name: about.get(name) for name in TIME_COLUMNS if name != "run"}}
        return pd.DataFrame([row], columns=list(TIME_COLUMNS))

    return _stacked(paths, one)


def environment_of(path: Path | str) -> dict[str, object]:
    """What a stored run says of its machine, software and settings, one level deep; ceilings are left out."""
    flat: dict[str, object] = {}
    for name, value in _machine(read(Path(path))).items():
        if name == "states":
            flat[name] = states_text(value)
        elif isinstance(value, dict):
            flat |= {f"{name}: {key}": one for key, one in value.items()}
        elif name not in ("ceilings", "schema", WHOLE):
            flat[name] = ", ".join(map(str, value)) if isinstance(value, list) else value
    return flat


def states_text(states: Iterable[Mapping[str, Any]]) -> str:
    """The states that a machine was in, what a message between its CPUs took, and for how much of the time."""
    return ", ".join(
        f"{one['state']} ({one['message'] * 1e9:.0f} ns, {one['share']:.0%} of the time)" for one in states
    )


def _stacked(paths: Iterable[Path | str], load_one: Callable[[Path], pd.DataFrame]) -> pd.DataFrame:
    tables = [load_one(Path(path)) for path in paths]
    if not tables:
        raise ResultError("no stored runs were given")
    filled = [table for table in tables if not table.empty]
    return pd.concat(filled or tables[:1], ignore_index=True)


def _load_run(path: Path) -> pd.DataFrame:
    document = read(path)
    machine = _machine(document)
    commit = document.get("commit_info")
    commit = commit if isinstance(commit, dict) else {}
    table = frame((benchmark["extra_info"] for benchmark in document["benchmarks"]), machine)
    table["run"] = path.stem
    table["time"] = pd.to_datetime(document["datetime"], utc=True, format="ISO8601")
    table["machine"] = machine["machine"]
    table["environment"] = _environment(machine)
    table["commit"] = str(commit.get("id") or "unknown")[:12] + ("+" if commit.get("dirty") else "")
    return table


def _machine(document: Mapping[str, Any]) -> dict[str, Any]:
    machine: dict[str, Any] = document["machine_info"]["mnv1"]
    return machine


def _environment(machine: Mapping[str, Any]) -> str:
    facts = [f"{name} {machine[name]}" for name in _COMPARABLE if name in machine]
    return ", ".join([*facts, f"torch {machine['packages']['torch']}"])
