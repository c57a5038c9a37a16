"""Packages that only some parts need: one line tells how to get a missing one. Needs no torch."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from mnv1.base.errors import UserError


class MissingPackageError(UserError):
    """A package of an extra is not installed."""


def require(module: str, extra: str) -> ModuleType:
    """A module of a package that comes with an extra of this project. Raises `MissingPackageError`."""
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingPackageError(
            f"this needs the package {(error.name or module).partition('.')[0]}: "
            f"pip install -c constraints.txt -e '.[{extra}]'"
        ) from None
