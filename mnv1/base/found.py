"""Finds what the modules of a folder hold: whoever adds one adds a file."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import Any


def found_in(package: str, path: list[str], name: str) -> dict[str, Any]:
    """What the modules of a package hold under a name, one thing or a tuple, by its own `name`, in the order of its
    `place`.

    Raises `ValueError` when two are called the same.
    """
    listed: list[Any] = []
    for module in iter_modules(path):
        held = getattr(import_module(f"{package}.{module.name}"), name, ())
        listed += held if isinstance(held, tuple) else (held,)
    by_name = {one.name: one for one in sorted(listed, key=lambda one: (one.place, one.name))}
    if len(by_name) < len(listed):
        names = [one.name for one in listed]
        twice = next(one for one in names if names.count(one) > 1)
        raise ValueError(f"{package}: two are called {twice!r}")
    return by_name
