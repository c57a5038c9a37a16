"""Workloads of the user's own: functions of a file that are marked by a decorator.

A marked function takes no arguments and returns what is called, such as a module, and its input: a tensor, or a tuple
of arguments. torch is imported only where one is built.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, overload

from mnv1.base.own_files import OwnFileError, in_a_line, module_of
from mnv1.cases.workloads.workload import Workload

if TYPE_CHECKING:
    from torch import nn

Made = TypeVar("Made", bound=Callable[[], object])

_TWIN = "_mnv1_twin"
"""Attribute of a marked function: the name of its twin, or None."""


@overload
def workload(function: Made) -> Made: ...
@overload
def workload(*, twin: Callable[[], object] | str | None = None) -> Callable[[Made], Made]: ...
def workload(function: Any = None, *, twin: Callable[[], object] | str | None = None) -> Any:
    """Mark a function as a workload of `pytest benchmarks --workloads FILE.py`.

    It takes no arguments and returns what is called (a module or any callable) and its input (a tensor, or a tuple of
    arguments). `twin` is another marked function, or its name: the two are timed against each other in turns, and the
    twin's time divided by this one's is the speedup.
    """
    if function is None:
        return lambda marked: _marked(marked, twin)
    return _marked(function, twin)


def _marked(function: Made, twin: Callable[[], object] | str | None) -> Made:
    setattr(function, _TWIN, twin if twin is None or isinstance(twin, str) else twin.__name__)
    return function


@dataclass(frozen=True)
class Marked(Workload):
    """A marked function of a file; `kind` is its name."""

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
        """See `Workload.id`: `own-FILE-FUNCTION`."""
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

        function = getattr(module_of(Path(self.file)), self.kind, None)
        if function is None:
            raise OwnFileError(f"{self.file}: there is no {self.kind} any more")
        try:
            made = function()
        except Exception as error:
            raise OwnFileError(f"{self.file}: {self.kind} raises {in_a_line(error)}") from None
        if not (isinstance(made, tuple) and len(made) == 2 and callable(made[0])):
            raise OwnFileError(f"{self.file}: {self.kind} must return what is called and its input: module, images")
        called, given = made
        return Called(called, given if isinstance(given, tuple) else (given,))

    @property
    def twin(self) -> Marked | None:
        """See `Workload.twin`."""
        return None if self.twin_kind is None else replace(self, kind=self.twin_kind, twin_kind=None)

    def expected_macs(self, batch_size: int) -> float:
        """See `Workload.expected_macs`: nobody knows."""
        return 1e8


def marked_in(file: str) -> tuple[Marked, ...]:
    """The workloads of a file, in its order. Raises `OwnFileError`."""
    module = module_of(Path(file))
    functions = [
        (name, one)
        for name, one in vars(module).items()
        if inspect.isfunction(one) and hasattr(one, _TWIN) and one.__module__ == module.__name__
    ]
    if not functions:
        raise OwnFileError(f"{file}: no function is marked: from mnv1 import workload, and @workload above each")
    names = {name for name, _ in functions}
    for name, one in functions:
        twin = getattr(one, _TWIN)
        if twin is not None and (twin not in names or twin == name):
            raise OwnFileError(f"{file}: the twin of {name} is {twin}, which is no other marked function")
        if inspect.signature(one).parameters:
            raise OwnFileError(f"{file}: {name} takes arguments; a workload takes none")
    return tuple(Marked(file, name, getattr(one, _TWIN)) for name, one in functions)
