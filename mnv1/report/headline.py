"""The figures that a reader came for, and a sentence on them: at the top of the page, and last on the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from textwrap import TextWrapper

import pandas as pd

from mnv1.report import units
from mnv1.report.sentences import LIMITS, several
from mnv1.report.views import BY_NAME
from mnv1.store.runs import Results

WIDTH = 79
"""Characters of a line on a terminal."""

NO_PAIR = "No standard/separable pair was measured, so there is no speedup to report."


@dataclass(frozen=True)
class Number:
    """One speedup in words: `4.85×`, its 95 % interval, and the case that it was measured in."""

    value: str
    interval: str
    at: str


@dataclass(frozen=True)
class Headline:
    """The speedups that one sentence is about, by precision."""

    device: str
    sentence: str
    rows: tuple[tuple[str, tuple[Number, ...]], ...]
    is_training: bool = False


def headlines(results: Results) -> list[Headline]:
    """For each device the largest network's speedups, or its blocks' where no network was paired; then training's."""
    found = []
    for device in sorted(results.cases["device"].unique()):
        part = results.of_device(device)
        network, blocks, training = (
            BY_NAME[name].select(part) for name in ("verdict", "layer_speedup", "training_speedup")
        )
        if not network.empty:
            found.append(Headline(device, _about_network(network), _by_batch(network)))
        elif not blocks.empty:
            found.append(Headline(device, _ABOUT_BLOCKS, tuple(_slowest_and_fastest(blocks))))
        if not training.empty:
            largest = training[training["shape"] == training["shape"].iloc[0]]
            found.append(Headline(device, _about_training(largest), _by_batch(largest), is_training=True))
    return found


_ABOUT_BLOCKS = "The slowest and the fastest separable block are this many times as fast as the standard convolution."


def _about_network(rows: pd.DataFrame) -> str:
    sentence = (
        f"{_network(rows)} is this many times as fast as its standard-convolution twin; counting operations promises "
        f"{units.ratio(rows['macs_ratio'].iloc[0])}"
    )
    causes = rows["limited_by"].dropna()
    if causes.empty:
        return f"{sentence}."
    cause = str(causes.mode().iloc[0])
    return f"{sentence}, {'and' if cause == 'compute' else 'but'} {LIMITS[cause]}."


def _about_training(rows: pd.DataFrame) -> str:
    promised = units.ratio(rows["macs_ratio"].iloc[0])
    return f"A training step of {_network(rows)} is this many times as fast; counting operations promises {promised}."


def _network(rows: pd.DataFrame) -> str:
    first = rows.iloc[0]
    return f"MobileNetV1 (α {first['alpha']:g}, {first['resolution']:g} px)"


def _by_batch(rows: pd.DataFrame) -> tuple[tuple[str, tuple[Number, ...]], ...]:
    groups = rows.groupby("precision", sort=False)
    return tuple(
        (str(precision), tuple(_number(row, f"batch {row['batch_size']:g}") for _, row in group.iterrows()))
        for precision, group in groups
    )


def _slowest_and_fastest(rows: pd.DataFrame) -> Iterator[tuple[str, tuple[Number, ...]]]:
    for precision, group in rows.groupby("precision", sort=False):
        ranked = group.sort_values("speedup")
        ends = ranked if len(ranked) < 2 else ranked.iloc[[0, -1]]
        named = (_number(row, f"{row['shape']}, batch {row['batch_size']:g}") for _, row in ends.iterrows())
        yield str(precision), tuple(named)


def _number(row: pd.Series, at: str) -> Number:
    return Number(units.ratio(row["speedup"]), f"{row['speedup_low']:.2f} to {row['speedup_high']:.2f}", at)


def wrapped(paragraph: str, indent: int = 0) -> str:
    """A paragraph in lines of at most `WIDTH` characters, all but the first indented."""
    indented = TextWrapper(WIDTH, subsequent_indent=" " * indent, break_on_hyphens=False, break_long_words=False)
    return indented.fill(paragraph)


def text(results: Results) -> str:
    """The headlines in a few lines of at most `WIDTH` characters."""
    lines = []
    for one in headlines(results):
        lines.append(wrapped(f"{one.device}: {one.sentence}"))
        widest = max(len(precision) for precision, _ in one.rows)
        for precision, numbers in one.rows:
            said = several([f"{number.value} ({number.at})" for number in numbers])
            lines.append(wrapped(f"  {precision:{widest}}  {said}", indent=widest + 4))
    return "\n".join(lines) or NO_PAIR
