"""Plots: rows in SI units in, a matplotlib figure out. No torch, no clock, no files.

Views draw with what is here, and tell more than they draw: matplotlib, which takes a second to load, is loaded by the
functions that draw.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mnv1.report.plots.style import style
from mnv1.report.rows import Rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mnv1.report.view import View

__all__ = ["plot", "style", "without_title"]

TITLE = "title"
"""The id of a plot's title in its SVG."""

_SIZE = re.compile(rb'width="([\d.]+)pt" height="([\d.]+)pt" viewBox="[\d. ]+"')


def plot(view: View, rows: Rows) -> Figure:
    """The plot of a view's rows, below the view's title."""
    with style():
        figure = view.draw(rows)
        figure.suptitle(view.title, fontsize=11, fontweight="bold").set_gid(TITLE)
    return figure


def without_title(figure: Figure, svg: bytes) -> bytes:
    """A figure's SVG as a page with headings of its own shows it: from below the title on."""
    title = next(text for text in figure.texts if text.get_gid() == TITLE)
    kept = title.get_window_extent().y0 / figure.bbox.height
    width, height = (float(number) for number in _SIZE.search(svg).groups())  # type: ignore[union-attr]
    shown = (
        f'width="{width:g}pt" height="{kept * height:.2f}pt" viewBox="0 {(1 - kept) * height:.2f} '
        f'{width:g} {kept * height:.2f}"'
    )
    return _SIZE.sub(shown.encode("ascii"), svg, count=1)
