"""How much CPU time a container may use, and how often the kernel stopped it for that. Needs no torch.

A container with a quota (Docker `--cpus`, a limit of Kubernetes) gets so much CPU time a period, mostly of 100 ms; when
it is spent, all its threads stand still until the period is over. The kernel counts such periods, in cgroups of version
1 and 2 alike. Groups lie within groups, and each may have a quota: the tightest decides.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

PROC = Path("/proc/self")

WORTH_SAYING = 0.01
"""Share of periods from which throttling is told: below it, the rounds that are left out suffice."""


@dataclass(frozen=True)
class Throttling:
    """Of a group, over a time: how many periods it ran in, in how many it was stopped, and for how many seconds."""

    quota: float
    """In CPUs."""
    periods: int = 0
    throttled: int = 0
    seconds: float = 0.0
    """Of all CPUs together."""

    def since(self, before: Throttling) -> Throttling:
        """What came after an earlier count."""
        changes = (self.periods - before.periods, self.throttled - before.throttled, self.seconds - before.seconds)
        return Throttling(self.quota, *changes)


class Quotas:
    """The quotas that this process is under, each of a group that it is in; none where the system tells of none."""

    def __init__(self, proc: Path = PROC) -> None:
        self._groups = [(folder, cpus) for folder in _folders(proc) if (cpus := _quota(folder)) is not None]

    @property
    def cpus(self) -> float | None:
        """The tightest quota in CPUs, such as 1.5; None without any."""
        return min((cpus for _, cpus in self._groups), default=None)

    def counts(self) -> list[Throttling]:
        """What the kernel has counted so far, of every group with a quota."""
        return [_counted(folder, cpus) for folder, cpus in self._groups]

    def since(self, before: Sequence[Throttling]) -> Throttling | None:
        """What came after earlier counts, of the group that was stopped most often; None without a quota."""
        changes = [now.since(then) for now, then in zip(self.counts(), before, strict=True)]
        return max(changes, key=lambda one: (one.throttled, one.seconds, -one.quota), default=None)


class ThrottleMeter:
    """Tells whether the kernel has stopped this process since it was asked last."""

    def __init__(self, quotas: Quotas | None = None) -> None:
        self._quotas = quotas or Quotas()
        self._before = self._quotas.counts()

    def throttled(self) -> bool:
        """Whether any group was stopped since this was asked last, or since the meter was made."""
        before, self._before = self._before, self._quotas.counts()
        return any(now != then for now, then in zip(map(_stops, self._before), map(_stops, before), strict=True))


def most_threads(cpus: int, quota: float | None) -> int:
    """The most threads that can work all the time, on so many CPUs and with a quota of so many."""
    return cpus if quota is None else max(1, min(cpus, int(quota)))


def warnings(cpus: int, quota: float | None, threads: int) -> list[str]:
    """What threads on so many CPUs make less trustworthy under a quota, and what to do about it."""
    if quota is None or quota >= cpus >= threads:
        return []
    limit = f"the container's CPU quota is {quota:g} CPU{'' if quota == 1 else 's'}"
    if quota < 1:
        return [f"{limit}, so that even one thread is throttled: give it a whole CPU (--cpuset-cpus=0)"]
    if threads > quota:
        return [f"{limit}, and {threads} threads are throttled: use --threads {int(quota)}, or {_WHOLE}"]
    of = f"{threads} thread{'' if threads == 1 else 's'} instead of one for each of {cpus} CPUs"
    return [f"{limit}: {of}, so that none is throttled; to use more, {_WHOLE}"]


_WHOLE = "give the container whole CPUs (--cpuset-cpus)"


def verdict(found: Throttling | None, threads: int) -> str:
    """What throttling did to a measurement and what to do about it, in one line; empty where it did nothing."""
    if found is None or found.throttled < WORTH_SAYING * max(1, found.periods):
        return ""
    quota = f"{found.quota:g} CPU{'' if found.quota == 1 else 's'}"
    if found.quota < 1:
        to_do = "even one thread is throttled; give it a whole CPU (--cpuset-cpus=0)"
    elif threads > found.quota:
        to_do = f"give it whole CPUs (--cpuset-cpus) or use --threads {int(found.quota)}"
    else:
        to_do = "something else in it works meanwhile: stop that, or give it whole CPUs (--cpuset-cpus)"
    counted = f"throttled in {found.throttled} of {found.periods} periods"
    return f"{counted}: the container's CPU quota of {quota} cut rounds short; {to_do}"


def facts(found: Throttling | None) -> dict[str, object]:
    """What is stored of a run's throttling; nothing without a quota."""
    if found is None:
        return {}
    counted = {"cpu_periods": found.periods, "throttled_periods": found.throttled}
    return {**counted, "throttled_time": round(found.seconds, 3)}


def _stops(counted: Throttling) -> tuple[int, float]:
    return counted.throttled, counted.seconds


def _folders(proc: Path) -> Iterator[Path]:
    """The folders of the groups that bound this process's CPU time, from its own to the outermost that it can see."""
    groups = [line.split(":", 2) for line in _read(proc / "cgroup").splitlines() if line.count(":") >= 2]
    version_1 = next((path for _, controllers, path in groups if "cpu" in controllers.split(",")), None)
    path = version_1 or next((path for number, controllers, path in groups if number == "0" and not controllers), None)
    if path is None:
        return
    found = [(root, point) for kind, options, root, point in _mounts(proc) if _has_cpu(kind, options, bool(version_1))]
    if not found:
        return
    # Without a namespace of its own, a container sees its group's path as outside, but only the part of the tree below.
    within = [(root, point) for root, point in found if PurePosixPath(path).is_relative_to(root)]
    root, point = max(within, key=lambda one: len(one[0]), default=found[0])
    folder = point / PurePosixPath(path).relative_to(root) if within else point
    while not folder.is_dir() and folder != point:
        folder = folder.parent
    yield folder
    while folder != point:
        folder = folder.parent
        yield folder


def _mounts(proc: Path) -> Iterator[tuple[str, str, str, Path]]:
    """Kind, options, root and place of every mounted file system."""
    for line in _read(proc / "mountinfo").splitlines():
        before, separator, after = line.partition(" - ")
        fields, about = before.split(), after.split()
        if separator and len(fields) >= 5 and len(about) >= 1:
            yield about[0], about[-1], _unescaped(fields[3]), Path(_unescaped(fields[4]))


def _has_cpu(kind: str, options: str, version_1: bool) -> bool:
    return kind == "cgroup" and "cpu" in options.split(",") if version_1 else kind == "cgroup2"


def _unescaped(text: str) -> str:
    """Blanks and the like are written as octal numbers."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)


def _quota(folder: Path) -> float | None:
    """CPUs that a group may use; None for no limit."""
    with suppress(ValueError, ZeroDivisionError):
        limit = (
            _read(folder / "cpu.max") or f"{_read(folder / 'cpu.cfs_quota_us')} {_read(folder / 'cpu.cfs_period_us')}"
        )
        quota, period = map(int, limit.split())  # "max" is no number
        return quota / period if quota > 0 else None
    return None


def _counted(folder: Path, cpus: float) -> Throttling:
    counted = dict(line.split() for line in _read(folder / "cpu.stat").splitlines() if len(line.split()) == 2)
    try:
        seconds = int(counted["throttled_usec"]) / 1e6 if "throttled_usec" in counted else None
        return Throttling(
            cpus,
            int(counted["nr_periods"]),
            int(counted["nr_throttled"]),
            int(counted["throttled_time"]) / 1e9 if seconds is None else seconds,
        )
    except (KeyError, ValueError):
        return Throttling(cpus)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, ValueError):
        return ""
