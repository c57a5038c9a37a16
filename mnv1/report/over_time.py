"""What a machine's hidden states do to a speedup, over time: a plot and a table of readings. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import quantiles
from typing import TYPE_CHECKING, Any

from mnv1.base import tables
from mnv1.report import units

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = ("#009E73", "#D55E00", "#CC79A7", "#0072B2")
GREY = "#999999"
CHANGE = "on a change"


@dataclass(frozen=True)
class Reading:
    """A round of a speedup: seconds since the beginning, of a message around it, and of a call of each side."""

    visit: int
    time: float
    message: float
    standard: float
    separable: float
    state: str
    """Empty on a change of state."""

    @property
    def speedup(self) -> float:
        """Standard over separable."""
        return self.standard / self.separable


def readings_of(content: Mapping[str, Any]) -> list[Reading]:
    """The readings of a stored document."""
    return [Reading(*row) for row in content["readings"]]


def names(readings: Sequence[Reading]) -> list[str]:
    """The states, the one with the nearest CPUs first."""
    found = {one.state for one in readings if one.state}
    return sorted(found, key=lambda name: min(one.message for one in readings if one.state == name))


def table(readings: Sequence[Reading]) -> str:
    """One row a state, in Markdown: its share, and what the middle half of its rounds were like.

    An interval would promise what another run gives, which one process cannot show.
    """
    rows = []
    for name in names(readings):
        some = [one for one in readings if one.state == name]
        quarters = [
            quantiles([getattr(one, field) for one in some], n=4) for field in ("message", "separable", "speedup")
        ]
        (_, message, _), (_, separable, _), (low, speedup, high) = quarters
        rows.append(
            (
                name,
                f"{len(some) / len(readings):.0%}",
                f"{message * 1e9:.0f} ns",
                units.seconds(separable),
                f"{units.ratio(speedup)} ({low:.2f} to {high:.2f})",
                len(some),
            )
        )
    header = ("state", "share of the rounds", "message", "separable", "speedup (middle half)", "rounds")
    return tables.markdown(header, rows, left=("state",), padded=False)


def draw(readings: Sequence[Reading], title: str) -> Figure:
    """Messages between CPUs above, the speedup below, over the same minutes."""
    from mnv1.report.plots.style import new_figure

    figure, (above, below) = new_figure(2, 8, 2.2)
    for number, name in enumerate([*names(readings), ""]):
        some = [one for one in readings if one.state == name]
        if not some:
            continue
        minutes = [one.time / 60 for one in some]
        look: dict[str, Any] = {
            "s": 5,
            "color": COLOURS[number % len(COLOURS)] if name else GREY,
            "linewidths": 0,
            "rasterized": True,
        }
        above.scatter(minutes, [one.message * 1e9 for one in some], label=name or CHANGE, **look)
        below.scatter(minutes, [one.speedup for one in some], **look)
    above.set_ylim(bottom=0)
    above.set_ylabel("message from\nCPU to CPU (ns)")
    below.set_ylabel("speedup (×)")
    below.set_xlabel("minutes")
    above.set_title(title)
    figure.legend(*above.get_legend_handles_labels(), loc="outside lower center", ncols=4, markerscale=3)
    return figure
