"""Workloads of the user's own: functions of a file that are marked by a decorator (`mnv1.base.marks`).

torch is imported only where one is built.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from mnv1.base.marks import MarkedCase, MarkError, cases_of, in_a_line
from mnv1.base.own_files import OwnFileError, module_of
from mnv1.cases.workloads.workload import Workload

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Marked(Workload):
    """A case of a marked function of a file; `kind` is the case's id."""

    file: str
    kind: str
    twin_kind: str | None = None

    is_profiled: ClassVar[bool] = False
    brings_input: ClassVar[bool] = True

    @property
    def shape_id(self) -> str:
        """See `Workload.shape_id`: the file's name."""
        return Path(self.file).stem

    @property
    def id(self) -> str:
        """See `Workload.id`: `own-FILE-CASE`."""
        return f"own-{self.shape_id}-{self.kind}"

    @property
    def pair_id(self) -> str:
        """See `Workload.pair_id`."""
        return f"speedup-{self.id}"

    @property
    def input_shape(self) -> tuple[int, ...]:
        """See `Workload.input_shape`: it brings its input itself."""
        raise TypeError(f"{self.id} brings its input itself")

    @property
    def output_shape(self) -> tuple[int, ...]:
        """See `Workload.output_shape`: nobody says which is right."""
        raise TypeError(f"{self.id} may have any output")

    def columns(self) -> dict[str, object]:
        """See `Workload.columns`: its kind and file tell it from others."""
        return {}

    def build(self) -> nn.Module:
        """See `Workload.build`: called without arguments, it calls what the function returned with its input."""
        from mnv1.cases.workloads.called import Called

        case = next((one for one in _cases_of(self.file) if one.id == self.kind), None)
        if case is None:
            raise OwnFileError(f"{self.file}: there is no {self.kind} any more")
        try:
            return Called(*case.made())
        except MarkError as error:
            raise OwnFileError(f"{self.file}: {error}") from None
        except Exception as error:
            raise OwnFileError(f"{self.file}: {self.kind} raises {in_a_line(error)}") from None

    @property
    def twin(self) -> Marked | None:
        """See `Workload.twin`."""
        return None if self.twin_kind is None else replace(self, kind=self.twin_kind, twin_kind=None)

    def expected_macs(self, batch_size: int) -> float:
        """See `Workload.expected_macs`: nobody knows."""
        return 1e8


def marked_in(file: str) -> tuple[Marked, ...]:
    """The workloads of a file, in its order. Raises `OwnFileError`."""
    return tuple(Marked(file, one.id, one.twin) for one in _cases_of(file))


def _cases_of(file: str) -> list[MarkedCase]:
    module = module_of(Path(file))
    try:
        return cases_of(module)
    except MarkError as error:
        raise OwnFileError(f"{file}: {error}") from None
