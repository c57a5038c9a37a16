"""A comparison as a table for a terminal and as Markdown for the page of a CI job."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from mnv1.base import tables
from mnv1.regression.comparison import GROWS_NOT, Comparison
from mnv1.regression.hints import text_of
from mnv1.regression.sides import Side
from mnv1.regression.verdicts import effect_of
from mnv1.report.units import bytes_, duration, percent

ORDER = ("SLOWER", "FASTER", "UNDECIDED", "SAME")
HEADER = ("case", "verdict", "effect [95 %]", "detectable", "pairs", "why")
HINT = "what is slower (a hint)"

VERSIONS = ("python_version", "numpy", "torch")
"""What a side's proof says of what runs beside the code under test."""

ENDINGS = {
    0: "no regression",
    1: "a regression",
    3: "inconclusive",
    4: "no comparison: nothing could be compared, head cannot run a case, or the sides do not compute the same",
}
"""What each exit status means."""


def rows(found: Comparison) -> list[tuple[str, ...]]:
    """One row a case, what needs attention first."""
    table: list[tuple[str, ...]] = []
    for name, verdict in sorted(found.verdicts.items(), key=lambda one: (ORDER.index(one[1].word), one[0])):
        effect = verdict.effect
        interval = f"{_percent(effect.value)} [{_percent(effect.low)}, {_percent(effect.high)}]"
        cells = (name, verdict.word, interval, _percent(effect.detectable), str(effect.pairs), verdict.why)
        hints = (text_of(found.hints[name]) if name in found.hints else "",) if found.hints else ()
        table.append((*cells, *hints))
    return table


def notes(found: Comparison) -> list[str]:
    """What a table of times does not show, a line each."""
    lines = []
    memory = found.more_memory()
    for name, facts in sorted(found.exact.items()):
        for fact, (base, head) in facts.items():
            is_size = fact.endswith(GROWS_NOT)
            text = (bytes_(base), bytes_(head)) if is_size else (f"{base:,}", f"{head:,}")
            mark = "MORE MEMORY, " if is_size and name in memory else ""
            lines.append(f"{name}: {mark}{fact.replace('_', ' ')} {text[0]} → {text[1]} (exact)")
    lines += [
        f"{name}: outputs differ{f' by {100 * off:.3g} % of the largest number' if math.isfinite(off) else ''}"
        for name, off in found.wrong_outputs.items()
    ]
    lines += [f"{name}: not compared, {why}" for name, why in found.failed.items()]
    lines += [f"unusable: {why}" for why in found.unusable]
    if found.suite:
        effect = found.suite
        word = "SLOWER, all cases together" if found.suite_slower else "all cases together"
        lines.append(f"{word}: {_percent(effect.value)} [{_percent(effect.low)}, {_percent(effect.high)}]")
    for name, ratios in found.controls.items():
        effect = effect_of(ratios, found.rules.control_p)
        lines.append(f"control {name}: {_percent(effect.value)} [{_percent(effect.low)}, {_percent(effect.high)}]")
    if found.states:
        shares = ", ".join(f"{percent(share)} {state}" for state, share in found.states.items())
        lines.append(f"blocks by state of the machine: {shares}; {found.taken_again} were taken again on a change")
    return lines


def result_line(found: Comparison) -> str:
    """The last line: what the run found, and in how much time."""
    words = ", ".join(f"{number} {word}" for word, number in found.words().items() if number)
    return f"result: {ENDINGS[found.exit_status]} ({words or 'no case'}; {duration(found.wall_time)} min)"


def text_report(found: Comparison, title: str) -> str:
    """For a terminal."""
    header = _header(found)
    table = tables.terminal(header, rows(found), left=header, padded=False)
    return "\n".join([title, "", table, "", *notes(found), result_line(found)])


def summary(found: Comparison, title: str, limit: int = 40) -> str:
    """Markdown for the page of a CI job: verdicts that matter first, and how many are not shown."""
    header, table = _header(found), rows(found)
    lines = [f"## {ENDINGS[found.exit_status].capitalize()}", "", title, ""]
    lines += tables.markdown(header, table[:limit], left=header, padded=False).splitlines()
    if len(table) > limit:
        lines += ["", f"and {len(table) - limit} more, {table[-1][1]}"]
    return "\n".join([*lines, "", *(f"- {note}" for note in [*notes(found), result_line(found)])]) + "\n"


def title_of(sides: Sequence[Side], proofs: Mapping[str, Mapping[str, Any]], about: str) -> str:
    """Which sides are compared, with which packages where they differ, and on what."""
    names = []
    for side in reversed(sides):
        proof, others = proofs.get(side.name, {}), [told for name, told in proofs.items() if name != side.name]
        unlike = [one for one in VERSIONS if one in proof and any(other.get(one) != proof[one] for other in others)]
        told = ", ".join(f"{one.removesuffix('_version')} {proof[one]}" for one in unlike)
        names.append(f"{side.name} {side.revision[:12]}{f' ({told})' if told else ''}")
    return f"{' against '.join(names)}; {about}"


def _header(found: Comparison) -> tuple[str, ...]:
    return (*HEADER, HINT) if found.hints else HEADER


def _percent(share: float) -> str:
    return f"{100 * share:+.1f} %"
