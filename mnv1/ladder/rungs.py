"""The rungs of a ladder: a network, a way to run it, and the state of the machine that its process is in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mnv1.cases import MODES, PRECISIONS, Case, Conditions, Network, device_named
from mnv1.cases.availability import why_not_here
from mnv1.cases.modes import exists
from mnv1.cases.workloads import NETWORK_TYPES, REFERENCES, network_of
from mnv1.measure.state import State

KINDS: tuple[str, ...] = (*NETWORK_TYPES, *REFERENCES)
"""Networks that a ladder may have."""

BASELINE = "timm"
"""The network whose eager speed everything is compared with beside its own: what a user would run otherwise."""


@dataclass(frozen=True)
class Rung:
    """A case, and the state of the machine that it is measured in; `threads` None is torch's own number."""

    case: Case
    state: State = "controlled"
    threads: int | None = None

    @property
    def id(self) -> str:
        """The case's id, with `-as-is` and the number of threads where they are chosen."""
        return f"{self.case.id}{'-as-is' if self.state == 'as-is' else ''}{f'-t{self.threads}' if self.threads else ''}"

    @property
    def kind(self) -> str:
        """Which network it runs."""
        return self.case.workload.kind

    @property
    def label(self) -> str:
        """What a person calls it, its size and batch size left out: `separable, bf16, compiled+freezing`."""
        return label(self.kind, self.case.conditions.precision, self.case.conditions.mode, self.state, self.threads)


def label(kind: str, precision: str, mode: str, state: str = "controlled", threads: int | None = None) -> str:
    """A rung as a person calls it."""
    parts = [kind, precision, mode]
    if state == "as-is":
        parts.append("allocator as it comes")
    if threads:
        parts.append(f"{threads} thread{'s' if threads > 1 else ''}")
    return ", ".join(parts)


@dataclass(frozen=True)
class Wanted:
    """What a ladder is made of. Empty `precisions` and `modes`: where a mode says that it may win.

    The first of `kinds` is the network whose fastest way is sought.
    """

    kinds: tuple[str, ...]
    alpha: float
    resolution: int
    batch_size: int
    device: str
    precisions: tuple[str, ...] = ()
    modes: tuple[str, ...] = ()


def rungs_of(wanted: Wanted, environment: Mapping[str, object]) -> tuple[list[Rung], list[tuple[str, str]]]:
    """The rungs that can be measured on a machine, and of the others what they are and why not, in a line each.

    Eager fp32 of every network is among them whatever was asked for, and so is that of timm's MobileNetV1, and on the
    CPU both with the allocator as it comes: these are what the others are compared with.
    """
    chosen: dict[str, Rung] = {}
    left_out: list[tuple[str, str]] = []

    def add(rung: Rung) -> None:
        reason = why_not_here(rung.case, environment, chosen=bool(wanted.precisions))
        if reason is None:
            chosen.setdefault(rung.id, rung)
        elif (rung.label, reason) not in left_out:
            left_out.append((rung.label, reason))

    names = (*wanted.kinds, *([] if BASELINE in wanted.kinds else [BASELINE]))
    workloads = {kind: network_of(kind, wanted.alpha, wanted.resolution) for kind in names}
    for kind in names:
        eager = Rung(Case(workloads[kind], Conditions(wanted.batch_size, wanted.device, "fp32")))
        add(eager)
        if device_named(wanted.device).is_host and kind in (wanted.kinds[0], BASELINE):
            add(Rung(eager.case, "as-is"))
    for kind in wanted.kinds:
        for mode, precision in _combinations(wanted, kind == wanted.kinds[0]):
            add(
                Rung(
                    Case(
                        network_of(kind, wanted.alpha, wanted.resolution),
                        Conditions(wanted.batch_size, wanted.device, precision, mode),
                    )
                )
            )
    return list(chosen.values()), left_out


def _combinations(wanted: Wanted, is_sought: bool) -> Iterator[tuple[str, str]]:
    precisions = wanted.precisions or tuple(PRECISIONS)
    for precision in precisions:
        for mode in wanted.modes or MODES:
            may_win = precision in (MODES[mode].sought if is_sought else MODES[mode].compared)
            if (wanted.modes or may_win) and exists(mode, precision, wanted.device):
                yield mode, precision
    for mode in wanted.modes or MODES:
        if is_sought and not any(exists(mode, precision, wanted.device) for precision in precisions):
            yield mode, precisions[0]  # to be told why not


FINDING_BATCHES = (1, 8, 32)


@dataclass(frozen=True)
class Finding:
    """What a setting does: the rung that has it is `over / under` times as fast as the one that does not."""

    name: str
    over: Rung
    under: Rung


def findings_of(
    alpha: float, resolution: int, batch_sizes: tuple[int, ...], threads: int, keeps_memory: bool = True
) -> list[Finding]:
    """Allocator, threads and memory format of eager fp32 code on the CPU, each against its absence.

    `threads` is torch's own number of them; `keeps_memory` says whether the controlled state has the allocator keep
    freed memory here: otherwise there is nothing to find of that.
    """
    found = []
    for batch_size in batch_sizes:
        network = Network("separable", alpha, resolution)
        eager, innermost = (
            Case(network, Conditions(batch_size, "cpu", "fp32", mode)) for mode in ("eager", "channels_last")
        )
        kept = Rung(eager)
        if keeps_memory:
            found.append(Finding("allocator: freed memory kept / as it comes", Rung(eager, "as-is"), kept))
        if threads > 1:
            found.append(Finding(f"threads: {threads} / 1", Rung(eager, threads=1), kept))
        found.append(Finding("memory format: channels_last / contiguous", kept, Rung(innermost)))
    return found
