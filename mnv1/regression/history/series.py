"""Stored runs of one environment as time series, one for each case, measure and state of the machine; without torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mnv1.measure.states import MIXED

Values = np.ndarray[tuple[int], np.dtype[np.float64]]

TOGETHER = "all latencies together"
"""Name of the series that tells how much slower than usual a whole run was."""

EXACT = ("macs", "params", "peak_memory")
"""Measures that repeat to the last digit: any change in them is one."""

ENOUGH_CASES = 8
"""Latencies that it takes to tell what a whole run has in common from what one case does."""


@dataclass(frozen=True)
class Run:
    """One stored run."""

    name: str
    time: pd.Timestamp
    commit: str
    """Git revision, with + where the working tree had changes; `unknown` without one."""


@dataclass(frozen=True)
class Series:
    """One figure of one case over all runs of one environment that have it in one state of the machine, oldest first.

    Measures that are `EXACT` are the same in every state.
    """

    id: str
    measure: str
    """latency (seconds), speedup (ratio), one of `EXACT` (bytes or a count), or common (ratio to the usual)."""
    device: str
    runs: tuple[Run, ...]
    values: Values
    """Shape (runs,): as stored, SI units."""
    disturbed: tuple[bool, ...]
    """For each run, whether the figure had to be taken from a disturbed machine."""
    common: Values | None = None
    """Shape (runs,): how many times slower than usual all latencies of the device were in each run, where known."""
    state: str = ""
    """State of the machine that all figures are of; empty where runs did not read it, and of `EXACT` measures."""

    @property
    def relative(self) -> Values | None:
        """The values without what the whole run had in common."""
        return None if self.common is None else self.values / self.common

    @property
    def normalised(self) -> bool:
        """Whether dividing by what a whole run has in common makes this series steadier."""
        relative = self.relative
        return relative is not None and noise(relative) < noise(self.values)

    @property
    def analysed(self) -> Values:
        """The values in which steps are looked for, whichever are steadier."""
        relative = self.relative
        return relative if relative is not None and self.normalised else self.values


def noise(values: Values) -> float:
    """Relative standard deviation from run to run, whatever steps there are: from the median difference of neighbours.

    For normal noise half of all differences of neighbours are below 0.6745 √2 standard deviations.
    """
    if len(values) < 2:
        return 0.0
    return float(np.median(np.abs(np.diff(np.log(values)))) / (0.6745 * np.sqrt(2)))


def series_of(table: pd.DataFrame) -> list[Series]:
    """Every series in a table of `mnv1.store.runs.load`.

    Raises `ValueError` when the rows come from unlike environments: steps between these would tell of the
    environments.
    """
    if table["environment"].nunique() != 1:
        raise ValueError("a series is of one environment")
    table = table.drop_duplicates(["run", "time", "id"]).sort_values(["time", "run"], kind="stable")
    states = table["state"].astype(object) if "state" in table else pd.Series("", table.index)
    table = table.assign(state=states.where(states.notna(), ""))
    return [one for device in dict.fromkeys(table["device"]) for one in _of_device(table[table["device"] == device])]


def _of_device(table: pd.DataFrame) -> Iterator[Series]:
    of_one_state = table[table["state"] != MIXED]  # each mixture is another one
    for state, rows in of_one_state.groupby("state"):
        yield from _of_state(rows, str(state))
    latencies = table[table["measures"] == "latency"]
    for measure in EXACT:
        for _, rows in latencies.dropna(subset=[measure]).groupby("id", sort=False):
            yield _series(rows, measure)


def _of_state(table: pd.DataFrame, state: str) -> Iterator[Series]:
    """The timed series of one device in one state of the machine."""
    latencies, speedups = table[table["measures"] == "latency"], table[table["measures"] == "speedup"]
    common = _in_common(latencies)
    if not common.empty:
        rows = table.drop_duplicates(["run", "time"])
        rows = rows.assign(common=common.reindex(_keys(rows)).to_numpy(), stopped="").dropna(subset=["common"])
        yield _series(rows.assign(id=TOGETHER), "common", state)
    for _, rows in latencies.groupby("id", sort=False):
        known = common.reindex(_keys(rows)).to_numpy(dtype=float)
        yield _series(rows, "latency_p50", state, None if np.isnan(known).any() else known)
    for _, rows in speedups.groupby("id", sort=False):
        yield _series(rows, "speedup", state)


def _series(rows: pd.DataFrame, column: str, state: str = "", common: Values | None = None) -> Series:
    first = rows.iloc[0]
    runs = tuple(map(Run, rows["run"], rows["time"], rows["commit"]))
    values = rows[column].to_numpy(dtype=float)
    disturbed = tuple(rows["stopped"] == "disturbed")
    measure = "latency" if column == "latency_p50" else column
    return Series(str(first["id"]), measure, str(first["device"]), runs, values, disturbed, common, state)


def _keys(rows: pd.DataFrame) -> pd.MultiIndex:
    return pd.MultiIndex.from_frame(rows[["time", "run"]])


def _in_common(latencies: pd.DataFrame) -> pd.Series:
    """How many times slower than usual each run's latencies were: the median over cases that every run has.

    Indexed by time and run; empty where too few cases are in every run. A median, so that cases that changed do not
    move it as long as most did not.
    """
    wide = latencies.pivot(index=["time", "run"], columns="id", values="latency_p50").dropna(axis="columns")
    if len(wide.columns) < ENOUGH_CASES:
        return pd.Series(dtype=float)
    relative: pd.DataFrame = wide / wide.median()
    return relative.median(axis="columns")
