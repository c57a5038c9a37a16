"""Which stored runs a report is made of, and where it goes. Needs no torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from mnv1.store.columns import TRAINING, TRAINING_SPEEDUP
from mnv1.store.documents import PUBLISHED
from mnv1.store.runs import ResultError, find_runs, load


def choose(given: Sequence[Path], results: Path) -> tuple[list[Path], list[str]]:
    """The runs to render, and a line for each that cannot be used: those given, or the newest by their own dates.

    Inference and training have profiles of their own. Where the newest run has one alone, the newest of its environment
    that has the other belongs to it. Raises `mnv1.store.runs.ResultError` where nothing is given and nothing stored.
    """
    return _newest(given or find_runs(results), whole=bool(given))


def by_environment(runs: Sequence[Path]) -> list[list[Path]]:
    """Runs that may be compared with each other, in groups; the group that holds most cases first.

    Raises `mnv1.store.runs.ResultError` for a run that cannot be read.
    """
    groups: dict[str, list[Path]] = {}
    cases: dict[str, set[str]] = {}
    for path in runs:
        table = load([path])
        environment = table["environment"].iloc[0]
        groups.setdefault(environment, []).append(path)
        cases.setdefault(environment, set()).update(table["id"])
    return [groups[one] for one in sorted(groups, key=lambda one: -len(cases[one]))]


def shown(folder: Path) -> tuple[list[Path], list[str]]:
    """The same of published runs, of the machine that has most of them: one of another machine stands beside them.

    Raises `mnv1.store.runs.ResultError` where nothing is published.
    """
    by_machine: dict[Path, list[Path]] = {}
    for path in find_runs(folder):
        by_machine.setdefault(machine_folder(path), []).append(path)
    most = max(map(len, by_machine.values()))
    return _newest([path for paths in by_machine.values() if len(paths) == most for path in paths], whole=False)


def _newest(paths: Sequence[Path], whole: bool) -> tuple[list[Path], list[str]]:
    tables: dict[Path, pd.DataFrame] = {}
    complaints = []
    for path in paths:
        try:
            tables[path] = load([path])
        except ResultError as error:
            complaints.append(str(error))
    if whole or not tables:
        return list(tables), complaints
    ranked = sorted(tables, key=lambda path: tables[path]["time"].iloc[0], reverse=True)
    here = tables[ranked[0]]["environment"].iloc[0]
    alike = [path for path in ranked if tables[path]["environment"].iloc[0] == here]
    newest = (next((path for path in alike if _trains(tables[path]).eq(one).any()), None) for one in (False, True))
    return sorted({ranked[0], *filter(None, newest)}, key=ranked.index, reverse=True), complaints


def _trains(cases: pd.DataFrame) -> pd.Series:
    """Which cases are training steps."""
    return cases["measures"].isin((TRAINING, TRAINING_SPEEDUP))


def others(results: Path) -> list[Path]:
    """Every stored run, for the history; none where there is none."""
    try:
        return find_runs(results)
    except ResultError:
        return []


def published(results: Path, chosen: Sequence[Path]) -> list[Path]:
    """The newest published runs, to show beside a user's own; none where there are none, or they are shown already."""
    folder = results / PUBLISHED
    if any(path.resolve().is_relative_to(folder.resolve()) for path in chosen):
        return []
    try:
        return shown(folder)[0]
    except ResultError:
        return []


def machine_folder(run: Path) -> Path:
    """The machine's folder of a stored run: pytest-benchmark keeps a folder for each Python below it."""
    folder = run.resolve().parent
    return folder.parent if "CPython" in folder.name or "PyPy" in folder.name else folder


def places(run: Path, named: bool, results: Path, machine: str) -> tuple[Path, Path]:
    """The folder for the plots and tables of a run, and the folder for its page, where a reader will look for them.

    A run below a folder of its machine's name is in the suite's storage: what is rendered of it goes there, too. Of
    any other run that was `named` nothing is written above its own folder.
    """
    here, home = run.resolve().parent, machine_folder(run)
    if named and (home.name != machine or here == home):
        return here / "rendered", here
    return home / "rendered", home.parent if named else results
