"""Nominated changes by the runs between which they lie, each with the comparison that would confirm it."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mnv1.regression.history.changes import Change
from mnv1.regression.history.series import TOGETHER, Run

_KINDS = {"standard": "standard", "separable": "separable", "depthwise": "separable", "pointwise": "separable"}
"""The kind of a comparison's cases that covers each kind."""


@dataclass(frozen=True)
class Boundary:
    """Two runs in succession, and what changed on one device from one to the other."""

    last_before: Run
    first_after: Run
    changes: tuple[Change, ...]

    @property
    def suggestion(self) -> str:
        """The call that compares the revisions of both sides, or why there is none."""
        good, bad = (run.commit.removesuffix("+") for run in (self.last_before, self.first_after))
        dirty = [run.name for run in (self.last_before, self.first_after) if run.commit.endswith("+")]
        uncommitted = f"uncommitted changes in {' and '.join(dirty)}" if dirty else ""
        if "unknown" in (good, bad):
            return "a run was stored without its revision, so there is nothing to compare"
        if good == bad:
            causes = "the machine, and at what runs beside" + (f", and at {uncommitted}" if dirty else "")
            return f"revision {good} is on both sides, so look at {causes}"
        pattern = shlex.quote(case_pattern(change.series.id for change in self.changes))
        device = self.changes[0].series.device
        call = f"python scripts/compare_revisions.py {good} {bad} --cases {pattern}"
        call += f" --device {device}" if device != "cpu" else ""
        return call + (f"  # lacks {uncommitted}" if dirty else "")


def boundaries(changes: Sequence[Change]) -> list[Boundary]:
    """Every pair of runs with changes between them, oldest first, one device at a time."""
    grouped: dict[tuple[Run, Run, str], list[Change]] = {}
    for change in changes:
        grouped.setdefault((change.last_before, change.first_after, change.series.device), []).append(change)
    ordered = sorted(grouped, key=lambda key: (key[1].time, key[0].time, key[2]))
    return [Boundary(*key[:2], tuple(grouped[key])) for key in ordered]


def case_pattern(ids: Iterable[str]) -> str:
    """What `compare_revisions.py --cases` takes to cover these cases: `layer-separable-*-cpu-fp32`.

    In what they disagree it is open, and in sizes, for a comparison has its own. A speedup has two sides, so it is
    covered by cases of any kind.
    """
    parts = [_parts(one) for one in ids if one != TOGETHER]
    if not parts:
        return "*"
    subject, kind, device, precision = (
        values.pop() if len(values := set(column)) == 1 else "*" for column in zip(*parts, strict=True)
    )
    text = f"{subject}-{kind}-*-{device}-{precision}"
    while "*-*" in text:
        text = text.replace("*-*", "*")
    return text


def _parts(case: str) -> tuple[str, str, str, str]:
    """Subject, kind, device and precision. What no comparison has stands for what it is a part of, or is left open."""
    words = case.removeprefix("speedup-").split("-")
    kind = "*" if case.startswith("speedup-") else _KINDS.get(words[1], "*")
    return words[0], kind, words[-2], "*" if words[-1] == "tf32" else words[-1]
