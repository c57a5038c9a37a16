"""Functions of a file that are marked as workloads, and the cases that each gives.

The file runs by itself, with Python alone: a process under test reads it beside whatever code it tests.
"""

from __future__ import annotations

import inspect
import itertools
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any, TypeVar, overload

Function = TypeVar("Function", bound=Callable[..., object])
Parameters = Mapping[str, Any]
Over = Mapping[str, Iterable[Any]] | Iterable[Parameters]

ATTRIBUTE = "_mnv1_marked"
"""Of a marked function: what the mark says."""


@dataclass(frozen=True)
class Mark:
    """What a mark says of its function; see `workload`."""

    name: str | None = None
    over: Over | None = None
    twin: str | None = None
    facts: Parameters | Callable[[Any], Parameters] | None = None
    equals: Any = None
    tolerance: float | Callable[..., float] = 1e-4


@dataclass(frozen=True)
class MarkedCase:
    """One case of a marked function: with these parameters."""

    id: str
    function: Callable[..., object]
    parameters: Parameters
    mark: Mark
    twin: str | None = None
    """The id of the case that its mark calls its twin: of the other function, with the same parameters."""

    @property
    def tolerance(self) -> float:
        """How far numbers of the output may differ, as a share of the largest."""
        said = self.mark.tolerance
        return said(**self.parameters) if callable(said) else said

    def made(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        """What is called, and its arguments. Raises `MarkError`, and what the function raises."""
        found = self.function(**self.parameters)
        called, given = found if isinstance(found, tuple) and len(found) == 2 else (found, ())
        if not callable(called):
            raise MarkError(f"{self.id} must return what is called, or that and its input: return module, images")
        return called, given if isinstance(given, tuple) else (given,)


class MarkError(Exception):
    """A file has no marked function, or a mark that cannot be used."""


@overload
def workload(function: Function) -> Function: ...
@overload
def workload(
    *,
    name: str | None = None,
    over: Over | None = None,
    twin: Callable[..., object] | str | None = None,
    facts: Parameters | Callable[[Any], Parameters] | None = None,
    equals: Any = None,
    tolerance: float | Callable[..., float] = 1e-4,
) -> Callable[[Function], Function]: ...
def workload(function: Any = None, **said: Any) -> Any:
    """Mark a function as a workload: for `pytest benchmarks --workloads` and for `python -m mnv1.regression --suite`.

    The function returns what is called, or a tuple of that and its input: one argument, or a tuple of arguments. What
    is called is a module of torch or any callable. Only calls are timed, not the function.

    - `over` makes several cases of one function: values of its parameters by name, of which every combination is a
      case, or a list with the parameters of each case.
    - `name` is a case's name; parameters stand in braces: `"sort-{size}"`. Without it, it is the function's own name
      and the values of its parameters.
    - `twin`, another marked function or its name, is timed in turns with this one by `pytest benchmarks`.
    - `facts` are exact: numbers by name, or a function that gets a call's output and returns them. A fact whose name
      ends in `memory` or `bytes` must not grow.
    - `equals` is what a call must return.
    - `tolerance`: how far numbers of the output may differ, as a share of the largest; or a function that gets the
      case's parameters and returns that.
    """
    twin = said.pop("twin", None)
    mark = Mark(twin=twin if twin is None or isinstance(twin, str) else twin.__name__, **said)

    def marked(function: Function) -> Function:
        setattr(function, ATTRIBUTE, mark)
        return function

    return marked if function is None else marked(function)


def cases_of(module: ModuleType) -> list[MarkedCase]:
    """The cases of a file, in its order. Raises `MarkError`."""
    functions = [
        (name, one)
        for name, one in vars(module).items()
        if inspect.isfunction(one) and hasattr(one, ATTRIBUTE) and one.__module__ == module.__name__
    ]
    if not functions:
        raise MarkError("no function is marked: from mnv1 import workload, and @workload above each")
    cases: list[MarkedCase] = []
    for name, function in functions:
        mark: Mark = getattr(function, ATTRIBUTE)
        if mark.twin is not None and (mark.twin not in dict(functions) or mark.twin == name):
            raise MarkError(f"the twin of {name} is {mark.twin}, which is no other marked function")
        cases += [MarkedCase(_id(name, mark, each), function, each, mark) for each in _parameters(name, function, mark)]
    ids = [one.id for one in cases]
    twice = next((one for one in ids if ids.count(one) > 1), None)
    if twice:
        raise MarkError(f"two cases are named {twice}: give each a name of its own, with all that tells it from others")
    return [replace(one, twin=_twin(one, cases)) for one in cases]


def _twin(case: MarkedCase, cases: list[MarkedCase]) -> str | None:
    if case.mark.twin is None:
        return None
    for one in cases:
        if (one.function.__name__, one.parameters) == (case.mark.twin, case.parameters):
            return one.id
    raise MarkError(f"the twin of {case.id} is {case.mark.twin}, which has no case with the same parameters")


def _parameters(name: str, function: Callable[..., object], mark: Mark) -> list[dict[str, Any]]:
    """What the function is called with, for each case."""
    needed = {one.name for one in inspect.signature(function).parameters.values() if one.default is one.empty}
    if mark.over is None:
        found: list[dict[str, Any]] = [{}]
    elif isinstance(mark.over, Mapping):
        values = [list(one) for one in mark.over.values()]
        found = [dict(zip(mark.over, one, strict=True)) for one in itertools.product(*values)]
    else:
        found = [dict(one) for one in mark.over]
    for each in found:
        try:
            inspect.signature(function).bind(**each)
        except TypeError:
            missing = ", ".join(sorted(needed - set(each))) or "none"
            given = ", ".join(each) or "none"
            raise MarkError(f"{name} needs values for its parameters ({missing}) in over=; given: {given}") from None
    return found


def _id(name: str, mark: Mark, parameters: Parameters) -> str:
    if mark.name is not None:
        try:
            text = mark.name.format(**parameters)
        except (KeyError, IndexError, ValueError):
            raise MarkError(
                f"{name}: its name {mark.name!r} may hold its parameters in braces, and nothing else"
            ) from None
    else:
        text = "-".join([name, *map(str, parameters.values())])
    return re.sub(r"[^\w.=+-]+", "-", text).strip("-")


def in_a_line(error: BaseException) -> str:
    """An exception's class and the first line of what it says."""
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
