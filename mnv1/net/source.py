"""Networks by where they come from: `package.module:callable`, or `FILE.py:callable`."""

from __future__ import annotations

import importlib
import inspect
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from mnv1.base.errors import UserError
from mnv1.base.marks import in_a_line
from mnv1.base.own_files import module_of


class SourceError(UserError):
    """A network that cannot be had."""


def made_by(source: str, **wanted: object) -> nn.Module:
    """What a callable makes, in evaluation mode; it is given what it takes of `wanted`. Raises `SourceError`."""
    place, _, name = source.rpartition(":")
    if not (place and name):
        raise SourceError(f"{source}: name a callable: package.module:callable or FILE.py:callable")
    module = module_of(Path(place)) if place.endswith(".py") else _imported(place)
    make = module
    for part in name.split("."):
        make = getattr(make, part, None)  # type: ignore[assignment]
    if not callable(make):
        raise SourceError(f"{source}: {place} has no callable {name!r}")
    given = {key: value for key, value in wanted.items() if _takes(make, key)}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made = make(**given)
    except Exception as error:
        how = ", ".join(f"{key}={value}" for key, value in given.items())
        raise SourceError(
            f"{source}: cannot be called {f'with {how} alone' if how else 'without arguments'} ({in_a_line(error)}): "
            "name a function of a FILE.py that gives what it needs"
        ) from None
    if not isinstance(made, nn.Module):
        raise SourceError(f"{source}: returns {type(made).__name__}, which is no torch.nn.Module")
    return made.eval()


def _takes(make: Callable[..., Any], name: str) -> bool:
    try:
        known = inspect.signature(make).parameters.values()
    except (TypeError, ValueError):  # of some callables in C nothing is known
        return False
    return any(
        one.kind is one.VAR_KEYWORD or (one.name == name and one.kind is not one.POSITIONAL_ONLY) for one in known
    )


def _imported(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise SourceError(f"{name}: cannot be imported: {error}") from None
    except Exception as error:
        raise SourceError(f"{name}: raises when it is imported: {in_a_line(error)}") from None
