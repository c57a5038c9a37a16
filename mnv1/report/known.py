"""Kinds, precisions and modes as reports show them: their order, colours, lines and layers.

Names that this version does not know, such as somebody's own, come last in the order of their names, in colours that
stay the same. The one module of reports that looks at what can be measured.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import pandas as pd

from mnv1.cases.case import ELEMENT_SIZE, MODES, OWN_KINDS, PRECISIONS, Block, Network
from mnv1.cases.references import REFERENCE_KINDS
from mnv1.net.architecture import Layer

KINDS = ("standard", "separable", "depthwise", "pointwise", "shallow", *REFERENCE_KINDS)
SIDE_BY_SIDE = ("separable", "shallow", *REFERENCE_KINDS, "standard")
"""The order of networks that might be used instead of each other."""

# Okabe and Ito's palette (2008), which stays distinct for the common kinds of colour blindness.
_COLOURS = {
    "standard": "#D55E00",
    "separable": "#0072B2",
    "depthwise": "#56B4E9",
    "pointwise": "#009E73",
    "shallow": "#CC79A7",
    # Networks of other packages, never in one plot with a separable block's halves.
    "timm": "#56B4E9",
    "mobilenet_v2": "#009E73",
    "resnet18": "#E69F00",
    "vgg16": "#999999",
    "fp32": "#0072B2",
    "tf32": "#009E73",
    "amp": "#E69F00",
    "bf16": "#CC79A7",
    "int8": "#D55E00",
}
# Tol's muted palette (2018), as distinct, for all other names.
_OTHER_COLOURS = ("#332288", "#882255", "#44AA99", "#999933", "#AA4499", "#117733", "#CC6677", "#88CCEE")

_LINES: dict[str, Any] = {"fp32": "-", "tf32": "-.", "amp": "--", "bf16": ":", "int8": (0, (1, 3))}
_OTHER_LINE = (0, (5, 1, 1, 1, 1, 1))
_MARKERS = dict(zip(_LINES, "os^Dv", strict=True))


def kind_ranks(kinds: pd.Series, order: Sequence[str] = KINDS) -> pd.Series:
    """The place of each row's kind."""
    return _ranks(kinds, order)


def precision_ranks(precisions: pd.Series) -> pd.Series:
    """The place of each row's precision."""
    return _ranks(precisions, PRECISIONS)


def mode_ranks(modes: pd.Series) -> pd.Series:
    """The place of each row's mode."""
    return _ranks(modes, MODES)


def _ranks(names: pd.Series, known: Sequence[str]) -> pd.Series:
    others = sorted(set(names) - set(known))
    ranks: pd.Series = names.map([*known, *others].index)
    return ranks


def is_own(kinds: pd.Series) -> pd.Series:
    """Which rows are of this suite's own blocks and networks, not of other packages or of somebody's own."""
    return kinds.isin(OWN_KINDS)


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
    return ELEMENT_SIZE.get(precision)  # type: ignore[call-overload,no-any-return]


def layers_of(row: pd.Series, kind: str | None = None) -> tuple[Layer, ...]:
    """The layers of the block or network that a row describes, or of another kind in its place; none if not known."""
    kind = kind or str(row["kind"])
    if kind not in OWN_KINDS:
        return ()
    if row["subject"] == "model":
        return Network(kind, float(row["alpha"]), int(row["resolution"])).layers  # type: ignore[arg-type]
    numbers = (int(row[name]) for name in ("in_channels", "out_channels", "stride", "side"))
    return Block(kind, *numbers).layers  # type: ignore[arg-type]
