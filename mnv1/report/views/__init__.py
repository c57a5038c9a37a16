"""Every view of the results: one module for each question, found in this folder, in the order of the page."""

from __future__ import annotations

from mnv1.base.found import found_in
from mnv1.report.view import View

BY_NAME: dict[str, View] = found_in(__name__, __path__, "VIEW")
VIEWS: tuple[View, ...] = tuple(BY_NAME.values())
