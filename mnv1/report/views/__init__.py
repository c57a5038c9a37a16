"""Every view of the results: one module for each question, found in this folder, in the order of the page."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from mnv1.report.view import View

_MODULES = [import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__)]

VIEWS: tuple[View, ...] = tuple(sorted((module.VIEW for module in _MODULES), key=lambda view: (view.place, view.name)))
BY_NAME = {view.name: view for view in VIEWS}
