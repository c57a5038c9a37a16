"""Kinds, precisions and modes as reports show them: their order, colours, lines and layers.

Names that this version does not know, such as somebody's own, come last in the order of their names, in colours that
stay the same. The one module of reports that looks at what can be measured.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import pandas as pd

from mnv1.cases import KINDS as MEASURED
from mnv1.cases import MODES, OWN_KINDS, PRECISIONS, Block, Network, device_named
from mnv1.cases.workloads import COLOURS, REFERENCES
from mnv1.net.architecture import Layer

__all__ = [
    "KINDS",
    "SIDE_BY_SIDE",
    "colour",
    "device_named",
    "element_size",
    "is_folding",
    "is_own",
    "kind_ranks",
    "layers_of",
    "line",
    "marker",
    "mode_ranks",
    "precision_ranks",
]

KINDS = tuple(dict.fromkeys(("standard", "separable", *MEASURED)))
SIDE_BY_SIDE = ("separable", "shallow", *REFERENCES, "standard")
"""The order of networks that might be used instead of each other."""

# Okabe and Ito's palette (2008), which stays distinct for the common kinds of colour blindness.
_OF_PRECISIONS = ("#0072B2", "#009E73", "#E69F00", "#CC79A7", "#56B4E9", "#D55E00")
_COLOURS = COLOURS | dict(zip(PRECISIONS, _OF_PRECISIONS, strict=True))
# Tol's muted palette (2018), as distinct, for all other names.
_OTHER_COLOURS = ("#332288", "#882255", "#44AA99", "#999933", "#AA4499", "#117733", "#CC6677", "#88CCEE")

_LINES: dict[str, Any] = dict(zip(PRECISIONS, ("-", "-.", "--", ":", (0, (3, 1, 1, 1)), (0, (1, 3))), strict=True))
_OTHER_LINE = (0, (5, 1, 1, 1, 1, 1))
_MARKERS = dict(zip(PRECISIONS, "os^DXv", strict=True))


def kind_ranks(kinds: pd.Series, order: Sequence[str] = KINDS) -> pd.Series:
    """The place of each row's kind."""
    return _ranks(kinds, order)


def precision_ranks(precisions: pd.Series) -> pd.Series:
    """The place of each row's precision."""
    return _ranks(precisions, tuple(PRECISIONS))


def mode_ranks(modes: pd.Series) -> pd.Series:
    """The place of each row's mode."""
    return _ranks(modes, tuple(MODES))


def _ranks(names: pd.Series, known: Sequence[str]) -> pd.Series:
    others = sorted(set(names) - set(known))
    ranks: pd.Series = names.map([*known, *others].index)
    return ranks


def is_own(kinds: pd.Series) -> pd.Series:
    """Which rows are of this suite's own blocks and networks, not of other packages or of somebody's own."""
    return kinds.isin(OWN_KINDS)


def is_folding(mode: str) -> bool:
    """Whether a mode folds BatchNorm into the convolutions."""
    return mode in MODES and MODES[mode].folds


def colour(name: object) -> str:
    """The colour of a kind or a precision."""
    other = _OTHER_COLOURS[zlib.crc32(str(name).encode()) % len(_OTHER_COLOURS)]
    return _COLOURS.get(str(name), other)


def line(precision: object) -> Any:
    """The line of a precision's curves, as matplotlib takes it."""
    return _LINES.get(str(precision), _OTHER_LINE)


def marker(precision: object) -> str:
    """The marker of a precision's points."""
    return _MARKERS.get(str(precision), "P")


def element_size(precision: str) -> int | None:
    """Bytes per element that a precision computes on, None where that is not known."""
    about = PRECISIONS.get(precision)
    return about.element_size if about else None


def layers_of(row: pd.Series, kind: str | None = None) -> tuple[Layer, ...]:
    """The layers of the block or network that a row describes, or of another kind in its place; none if not known."""
    kind = kind or str(row["kind"])
    if kind not in OWN_KINDS:
        return ()
    if row["subject"] == "model":
        return Network(kind, float(row["alpha"]), int(row["resolution"])).layers
    numbers = [row[name] for name in ("in_channels", "out_channels", "stride", "side")]
    if any(map(pd.isna, numbers)):
        return ()
    block = Block(kind, *map(int, numbers))
    return block.layers if block.shape_id == row["shape"] else ()  # of another kernel, or other dimensions
