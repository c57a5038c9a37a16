"""What others published about MobileNetV1, as data with its source: figures to check against, not truths.

`paper.csv`, `tensorflow.csv` and `article.csv` hold one claim a row; `mnv1.claims` judges them. A figure that a source
prints several times is one claim that names all of its places. `speed.csv` is for a sense of scale only: Ma et al.
2018, arXiv 1807.11164, Table 8 (`shufflenetv2`).
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

import pandas as pd

from mnv1.base.errors import UserError

SOURCES: dict[str, str] = {
    "paper": "Howard et al. 2017, MobileNets, arXiv 1704.04861, all of its tables, and the figures in its text",
    "tensorflow": "the table of checkpoints of 2018-02-22 in tensorflow/models, research/slim/nets/mobilenet_v1.md",
    "article": "an article in Chinese that builds MobileNetV1 in PyTorch, “从零实现MobileNet V1”, every statement "
    "that can be checked",
}
"""Who states the claims: the file's name without its ending, and the source in words."""

COLUMNS = ("id", "source", "where", "quantity", "subject", "alpha", "resolution", "stated", "digits", "unit")
"""Columns of a file of claims; `Claim` says what they mean."""

_NEEDED = ("id", "where", "quantity", "subject", "stated")


class PublishedError(UserError):
    """Published figures that cannot be used."""


@dataclass(frozen=True)
class Claim:
    """One figure that a source states."""

    id: str
    source: str
    """A key of `SOURCES`."""
    where: str
    """Table or section of the source."""
    quantity: str
    subject: str
    """What the figure is of."""
    alpha: float
    resolution: int
    """Width multiplier, and input side in pixels; 1 and 224 where the source names none."""
    stated: str
    """As printed, without thousands separators: a number, `8-9`, `>50`, `<1`, or a shape or formula."""
    digits: int | None
    """Digits that count, where the last zeros that are printed do not; else None."""
    unit: str


def claims(folder: Path | None = None) -> tuple[Claim, ...]:
    """Every published claim, by source, in the source's order; `folder` has other files of the same names.

    Raises `PublishedError` for a file that is missing or damaged, and for an id that occurs twice.
    """
    found: dict[str, Claim] = {}
    for source in SOURCES:
        for claim in _read((folder or files(__package__)) / f"{source}.csv", source):
            if claim.id in found:
                raise PublishedError(
                    f"{source}.csv: the id {claim.id!r} occurs twice; give each claim an id of its own"
                )
            found[claim.id] = claim
    return tuple(found.values())


def _read(path: Path | Traversable, source: str) -> Iterator[Claim]:
    try:
        lines = path.read_text(encoding="utf8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise PublishedError(f"{path}: cannot be read: {why}") from None
    reader = csv.DictReader(lines, strict=True)
    try:
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise PublishedError(f"{path}: damaged: its first line must be {','.join(COLUMNS)}")
        for row in reader:
            try:
                yield _claim(row, source)
            except ValueError as error:
                raise PublishedError(f"{path}: damaged: line {reader.line_num}: {error}") from None
    except csv.Error as error:
        raise PublishedError(f"{path}: damaged after line {reader.line_num}: {error}") from None


def _claim(row: Mapping[str | None, str | list[str] | None], source: str) -> Claim:
    cells = {name: row[name] for name in COLUMNS}
    if None in row or None in cells.values():
        raise ValueError(f"it needs {len(COLUMNS)} cells")
    text = {name: str(cell) for name, cell in cells.items()}
    empty = [name for name in _NEEDED if not text[name].strip()]
    if empty:
        raise ValueError(f"{empty[0]} is empty")
    if text["source"] != source:
        raise ValueError(f"its source must be {source}, not {text['source']!r}")
    for name in ("alpha", "resolution", "digits"):
        try:
            valid = not text[name] or float(text[name]) > 0
        except ValueError:
            valid = False
        if not valid:
            raise ValueError(f"{name} must be a positive number, not {text[name]!r}")
    return Claim(
        id=text["id"],
        source=source,
        where=text["where"],
        quantity=text["quantity"],
        subject=text["subject"],
        alpha=float(text["alpha"] or 1),
        resolution=int(float(text["resolution"] or 224)),
        stated=text["stated"],
        digits=int(float(text["digits"])) if text["digits"] else None,
        unit=text["unit"],
    )


def accuracy() -> pd.DataFrame:
    """Top-1 and top-5 accuracy of MobileNetV1 on ImageNet in percent, by source, alpha and resolution."""
    rows: dict[tuple[object, ...], dict[str, object]] = {}
    for claim in _accuracies(claims()):
        key = (claim.source, claim.alpha, claim.resolution)
        about = {"source": claim.source, "where": claim.where, "alpha": claim.alpha, "resolution": claim.resolution}
        rows.setdefault(key, about)[claim.quantity.replace("-", "")] = float(claim.stated)
    columns = ["source", "where", "alpha", "resolution", "top1", "top5"]
    return pd.DataFrame(list(rows.values())).reindex(columns=columns)


def _accuracies(published: Iterable[Claim]) -> Iterator[Claim]:
    for claim in published:
        if claim.subject == "MobileNetV1" and claim.quantity in ("top-1", "top-5"):
            yield claim


def speed() -> pd.DataFrame:
    """How fast the widths ran on the devices of their time: batches or images a second, by source, device and alpha."""
    with (files(__package__) / "speed.csv").open(encoding="utf8") as file:
        return pd.read_csv(file)
