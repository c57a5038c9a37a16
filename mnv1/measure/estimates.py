"""Speedups of a stored run, estimated once more from its rounds as this revision does. Needs no torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from mnv1.base.facts import Facts
from mnv1.measure.facts import estimated
from mnv1.measure.quiet import usual
from mnv1.measure.timing import Visit
from mnv1.store.documents import ResultError, read


def with_speedups_again(table: pd.DataFrame, paths: Iterable[Path]) -> pd.DataFrame:
    """The table of some stored runs with the speedups of each estimated as this revision does, where that is possible.

    Raises `ResultError` when the rounds of a run are damaged.
    """
    table = table.copy()
    for path in map(Path, paths):
        try:
            again = estimated_again(read(path))
        except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
            raise ResultError(f"{path}: rounds of its speedups are damaged ({error}); restore or delete it") from None
        for name, facts in again.items():
            chosen = (table["run"] == path.stem) & (table["id"] == name)
            for column, value in facts.items():
                table[column] = table[column].mask(chosen, value)
    return table


def estimated_again(document: Mapping[str, Any]) -> dict[str, Facts]:
    """By case, what `mnv1.measure.facts.estimated` gives for the rounds of a stored run's speedups.

    Empty for runs of revisions that did not store what controls took beside each round.
    """
    facts = [case["extra_info"] for case in document["benchmarks"]]
    visits = {
        one["id"]: [_visit(stored) for stored in one["visit_rounds"]]
        for one in facts
        if all(stored.get("controls") for stored in one.get("visit_rounds", [{}]))
    }
    usually = usual([reading for case in visits.values() for visit in case for reading in visit.controls])
    return {name: estimated(case, usually) for name, case in visits.items()}


def _visit(stored: Mapping[str, Any]) -> Visit:
    return Visit(
        sides=(tuple(stored["standard"]), tuple(stored["separable"])),
        disturbed=tuple(stored["disturbed"]),
        throttled=tuple(stored.get("throttled", ())),
        calls=(),
        call_time=0.0,
        stopped="time budget",
        controls=tuple(map(tuple, stored["controls"])),
    )
