"""What the history of one environment says, as text and as a picture: pure functions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mnv1.base import tables
from mnv1.regression.history.changes import Change, Rules
from mnv1.regression.history.nominations import Boundary, boundaries
from mnv1.regression.history.series import EXACT, Series
from mnv1.report import units
from mnv1.report.known import colour
from mnv1.report.plots.style import GREY, new_figure, style

PANELS = 12
"""Most series in one picture."""

_WRITTEN = {
    "latency": units.seconds,
    "speedup": units.ratio,
    "common": units.ratio,
    "peak_memory": units.bytes_,
    "macs": "{:,.0f}".format,
    "params": "{:,.0f}".format,
}
_NAMES = {"peak_memory": "peak memory", "common": "latency, relative"}


def text(environment: str, series: Sequence[Series], changes: Sequence[Change], markdown: bool, rules: Rules) -> str:
    """One environment's history: what was looked at, and every nominated change with the call that would confirm it."""
    head = f"### {environment}" if markdown else environment
    return "\n\n".join([head, _looked_at(series, rules), *_nominated(boundaries(changes), markdown)])


def _looked_at(series: Sequence[Series], rules: Rules) -> str:
    longest = max(series, key=lambda one: len(one.runs))
    noisy = [one for one in series if one.measure not in EXACT]
    enough = [one for one in noisy if len(one.runs) >= rules.min_runs]
    latencies = [one for one in enough if one.measure == "latency"]
    first, last = longest.runs[0].time, longest.runs[-1].time
    count = "1 run" if len(longest.runs) == 1 else f"{len(longest.runs)} runs"
    sentences = [f"{count} from {first:%Y-%m-%d} to {last:%Y-%m-%d}."]
    if not enough:
        sentences.append(f"Too few for steps in times: that takes {rules.min_runs}.")
    else:
        sentences.append(f"{len(enough)} series of at least {rules.min_runs} runs were searched for steps.")
    if latencies:
        normalised = sum(one.normalised for one in latencies)
        sentences.append(
            f"{normalised} of {len(latencies)} latencies are steadier when divided by what all latencies of their run "
            "have in common (which is a series of its own), and are searched so while that has no step."
        )
        noise = [np.std(np.diff(np.log(one.analysed)), ddof=1) / np.sqrt(2) for one in latencies]
        sentences.append(f"From run to run they vary by {units.percent(float(np.median(noise)))} (median).")
    exact = sum(one.measure in EXACT and len(one.runs) > 1 for one in series)
    if exact:
        sentences.append(f"{exact} series of MACs, parameters and peak memory were compared exactly.")
    return " ".join(sentences)


def _nominated(found: Sequence[Boundary], markdown: bool) -> list[str]:
    if not found:
        return ["No change is nominated."]
    count = sum(len(one.changes) for one in found)
    cases = "1 change is" if count == 1 else f"{count} changes are"
    parts = [f"{cases} nominated. None is confirmed: that takes a comparison of both revisions, side by side."]
    for one in found:
        before, after = (f"{run.name} ({run.commit})" for run in (one.last_before, one.first_after))
        parts.append(f"{'#### ' if markdown else ''}Between {before} and {after}")
        rows = [_cells(change) for change in one.changes]
        headers = ("case", "measure", "change", "before", "after", "runs", "disturbed", "p")
        set_as = tables.markdown if markdown else tables.terminal
        parts.append(set_as(headers, rows, left=headers[:2]))
        is_call = one.suggestion.startswith("python ")
        parts.append(
            f"To confirm:\n\n```sh\n{one.suggestion}\n```" if markdown and is_call else f"To confirm: {one.suggestion}"
        )
    return parts


def _cells(change: Change) -> tuple[str, ...]:
    series, step = change.series, change.step
    written = _WRITTEN[series.measure]
    exact = series.measure in EXACT
    measure = _named(series, change.normalised)
    sides = slice(step.start, step.index), slice(step.index, step.end)
    disturbed = " → ".join(f"{sum(series.disturbed[side])}/{len(series.runs[side])}" for side in sides)
    return (
        series.id,
        measure,
        f"{change.effect:+.1%}".replace("%", " %") + (" worse" if change.worse else " better"),
        written(change.before),
        written(change.after),
        f"{step.index - step.start} → {step.end - step.index}",
        "" if exact or series.measure == "common" else disturbed,
        "exact" if exact else f"{step.p:.5f}",
    )


def _named(series: Series, normalised: bool) -> str:
    """A series' measure, and the state of the machine that it is of."""
    measure = _NAMES.get(series.measure, series.measure)
    return ", ".join(filter(None, [measure, "normalised" if normalised else "", series.state]))


def picture(title: str, series: Sequence[Series], changes: Sequence[Change]) -> Figure:
    """Every series with a nominated change, the most certain first; without any, the speedups. At most `PANELS`."""
    changed = sorted((one for one in changes), key=lambda change: change.step.p)
    shown = list({id(one.series): one.series for one in changed}.values())
    shown = (shown or [one for one in series if one.measure == "speedup"] or list(series))[:PANELS]
    with style():
        figure, all_axes = new_figure(len(shown), 8, 1.7)
        for axes, one in zip(all_axes, shown, strict=True):
            own = [change for change in changes if change.series is one]
            values = own[0].values if own else one.values
            axes.plot(values / np.median(values), "o-", color=colour("separable"), markersize=3, linewidth=1)
            axes.axhline(1, color=GREY, linewidth=0.8)
            for change in own:
                axes.axvline(change.step.index - 0.5, color=colour("standard"), linewidth=1.2)
            named = _named(one, bool(own) and own[0].normalised)
            axes.set_title(f"{one.id}: {named}", loc="left", fontsize=9)
            since = ", ".join(change.first_after.commit for change in own)
            axes.set_title(f"changed in {since}" if own else "", loc="right", fontsize=8)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.set_ylabel("of median")
        all_axes[-1].set_xlabel("stored run, oldest first")
        figure.suptitle(title, fontsize=11, fontweight="bold")
    return figure
