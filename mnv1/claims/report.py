"""Judged claims as a table in a terminal, Markdown, CSV, and rows of the page."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from markupsafe import Markup

from mnv1.base import tables
from mnv1.claims.judge import MEANING, VERDICTS, Judgement, Verdict, counts, judge
from mnv1.net.published import SOURCES, Claim, claims
from mnv1.report.headline import wrapped
from mnv1.report.page import Appendix
from mnv1.report.sections import HtmlCell
from mnv1.report.sentences import several
from mnv1.store.runs import Results

READING = Markup(  # a text of this suite's own, which needs no escapes
    "Every figure in the paper's tables, TensorFlow's checkpoints and an article is counted exactly, or held against "
    "this run\nwhere it is about time or memory. A reason names another way of counting that gives the stated figure."
)

FORMATS = ("text", "markdown", "csv")
FIRST: tuple[Verdict, ...] = ("differs", "measured")
"""What is shown without being asked for."""

TITLES = {
    "differs": "Differs",
    "measured": "Measured",
    "needs": "Needs what is not here",
    "reproduced": "Reproduced",
}

INTRODUCTION = (
    "A figure is reproduced when the exact count, rounded as the source rounds, is the stated one. Where it is not, "
    "other ways of counting are tried (BatchNorm or a bias left out or added, a layer left out, a standard "
    "convolution, two digits swapped, digits cut off), and a reason is given where one of them gives the stated figure "
    "at its rounding: the arithmetic fits, but only the source knows whether it counted so. `mnv1/net/counts.py` has "
    "the conventions of counting.\n\n"
    "A claim about time or memory is held against the newest stored run that has the facts: it holds where the whole "
    "95 % interval is within what the claim says, and does not where the interval is outside. A claim stands for every "
    "value that rounds to the stated figure; “markedly lower” and “mostly” are read in the source's favour, as lower "
    "at all and as more than half.\n\n"
    "`python scripts/check_claims.py` prints the verdicts, `python scripts/publish.py` writes this page. The "
    "claims are data, in `mnv1/net/published/`."
)


def sentence(judged: Sequence[Judgement]) -> str:
    """How many claims have each verdict."""
    found = counts(judged)

    def said(verdict: Verdict, one: str, more: str) -> str:
        return f"{found[verdict]} {one if found[verdict] == 1 else more}"

    parts = [
        said("reproduced", "is reproduced", "are reproduced"),
        said("differs", "differs", "differ"),
        said("measured", "was measured", "were measured"),
        said("needs", "needs", "need") + " data, weights or a measurement that is not here",
    ]
    return f"Of {len(judged)} published figures {several(parts)}."


def subject(claim: Claim) -> str:
    """What a figure describes, with its width and resolution where they are not 1 and 224."""
    size = [f"α {claim.alpha:g}"] if claim.alpha != 1 else []
    size += [f"{claim.resolution} px"] if claim.resolution != 224 else []
    return f"{claim.subject} ({', '.join(size)})" if size and size[-1] not in claim.subject else claim.subject


def figure_text(text: str, unit: str = "") -> str:
    """A figure with separators between thousands, bounds in words, and its unit."""
    for sign, word in ((">", "over "), ("<", "under ")):
        text = text.replace(sign, word)
    shown = f"{int(text):,}" if text.isdecimal() else text
    return f"{shown} {unit}".strip()


def render(judged: Sequence[Judgement], style: str) -> str:
    """All judgements in one of `FORMATS`, ending with a newline."""
    return {"text": text, "markdown": markdown, "csv": _csv}[style](judged)


def text(judged: Sequence[Judgement]) -> str:
    """Each claim in a few lines for a terminal."""
    parts = []
    for one in _ranked(judged):
        claim = one.claim
        stated = figure_text(claim.stated, claim.unit)
        ours = f", {'measured' if one.verdict == 'measured' else 'counted'} {figure_text(one.ours)}" if one.ours else ""
        lines = [f"{one.verdict}: {claim.id}", f"{subject(claim)}, {claim.quantity}: stated {stated}{ours}", one.why]
        parts.append("\n".join(wrapped("  " * (at > 0) + line, indent=4) for at, line in enumerate(lines) if line))
    return "\n\n".join(parts) + "\n"


def summary(judged: Sequence[Judgement], shown: Sequence[Verdict]) -> str:
    """How many claims have each verdict, and how to see those that are not shown."""
    found = counts(judged)
    hidden = [f"--verdict {verdict}" for verdict in VERDICTS if verdict not in shown and found[verdict]]
    return wrapped(sentence(judged) + (f" For more: {' or '.join(hidden)}." if hidden else ""))


def _csv(judged: Sequence[Judgement]) -> str:
    header = ("id", "source", "where", "quantity", "subject", "alpha", "resolution", "stated", "unit")
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow((*header, "ours", "verdict", "why"))
    for one in judged:
        writer.writerow((*(getattr(one.claim, name) for name in header), one.ours, one.verdict, one.why))
    return buffer.getvalue()


def markdown(judged: Sequence[Judgement]) -> str:
    """A page of its own: counts, how it is judged, and every claim by verdict."""
    found = counts(judged)
    overview = tables.markdown(
        ("verdict", "claims", "meaning"),
        [(verdict, found[verdict], MEANING[verdict]) for verdict in VERDICTS],
        left=("verdict", "meaning"),
    )
    sources = "\n".join(f"- `{name}`: {text}" for name, text in SOURCES.items())
    parts = ["# Published figures, checked", sentence(judged), overview, INTRODUCTION, f"Sources:\n\n{sources}"]
    for verdict in VERDICTS:
        rows = [one for one in judged if one.verdict == verdict]
        if rows:
            parts += [f"## {TITLES[verdict]} ({len(rows)})", _markdown_table(rows)]
    return "\n\n".join(parts) + "\n"


def _markdown_table(judged: Sequence[Judgement]) -> str:
    """Without padding, so that a new claim changes one line."""
    rows = [cells(one) for one in judged]
    shown = [at for at, name in enumerate(HEADER) if name != "verdict" and any(row[at] for row in rows)]
    lines = [[HEADER[at] for at in shown], [":--" for _ in shown], *([row[at] for at in shown] for row in rows)]
    return "\n".join(map(tables.line, lines))


HEADER = ("verdict", "claim", "where", "quantity", "subject", "stated", "ours", "why")


def cells(one: Judgement) -> tuple[str, ...]:
    """A judgement's row below `HEADER`."""
    claim = one.claim
    stated = figure_text(claim.stated, claim.unit)
    return (
        one.verdict,
        claim.id,
        claim.where,
        claim.quantity,
        subject(claim),
        stated,
        figure_text(one.ours),
        one.why,
    )


def appendix(results: Results) -> Appendix:
    """Every claim, held against some results, as a part of their page."""
    judged = judge(claims(), [results])
    return Appendix("claims", "What others published, checked", sentence(judged), READING, HEADER, html_groups(judged))


def html_groups(judged: Sequence[Judgement]) -> list[tuple[str, list[list[HtmlCell]]]]:
    """Names and rows of the page's tables: what differs and what was measured, then a table for each other verdict."""
    groups = (FIRST, *((verdict,) for verdict in VERDICTS if verdict not in FIRST))
    found = []
    for group in groups:
        rows = [
            [HtmlCell(text.replace("`", ""), "") for text in cells(one)]
            for one in _ranked(judged)
            if one.verdict in group
        ]
        found.append((" or ".join(TITLES[verdict] for verdict in group).capitalize(), rows))
    return [(name, rows) for name, rows in found if rows]


def _ranked(judged: Sequence[Judgement]) -> list[Judgement]:
    return sorted(judged, key=lambda one: VERDICTS.index(one.verdict))
