"""The verdict on each published claim."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, get_args

from mnv1.claims import measured
from mnv1.claims.counts import OF_OTHERS, Published, Value, counted
from mnv1.claims.figures import factor, figure, written
from mnv1.claims.needs import needed
from mnv1.claims.reasons import why
from mnv1.net.published import Claim
from mnv1.store.runs import Results

Verdict = Literal["differs", "measured", "reproduced", "needs"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
"""In the order in which they are shown."""

MEANING: dict[Verdict, str] = {
    "differs": "counted here, and another figure comes out at the stated rounding",
    "measured": "about time or memory, held against a stored run",
    "needs": "needs data, weights or a measurement that is not here; the row says which",
    "reproduced": "counted here, and equal at the stated rounding",
}


@dataclass(frozen=True)
class Judgement:
    """A claim with its verdict."""

    claim: Claim
    verdict: Verdict
    ours: str
    """What was counted or measured here, in the claim's unit; empty where nothing was."""
    why: str
    """Why it differs, whether it holds by which run, or what is needed; mostly empty for what is reproduced."""


def judge(claims: Iterable[Claim], runs: Sequence[Results] = ()) -> list[Judgement]:
    """Every claim's verdict, in the order of the claims; `runs` are stored runs from new to old.

    Raises `PublishedError` for a claim that no rule covers, so that none is left out.
    """
    published = {claim.id: claim for claim in claims}
    return [_judge(claim, published, runs) for claim in published.values()]


def counts(judged: Iterable[Judgement]) -> dict[Verdict, int]:
    """How many claims have each verdict."""
    found = Counter(one.verdict for one in judged)
    return {verdict: found[verdict] for verdict in VERDICTS}


def _judge(claim: Claim, published: Published, runs: Sequence[Results]) -> Judgement:
    if (claim.quantity, claim.subject) in measured.SELECT:
        return _by_runs(claim, runs)
    need = needed(claim)
    if need:
        return Judgement(claim, "needs", "", f"needs {need}{_contradicted(claim, published)}")
    values = counted(claim, published)
    if not _agrees(claim, values):
        return Judgement(claim, "differs", _written(claim, values), why(claim, values, published))
    about = "from the source's own figures" if claim.quantity in OF_OTHERS else ""
    return Judgement(claim, "reproduced", _written(claim, values), about)


def _agrees(claim: Claim, values: Value) -> bool:
    if isinstance(values, str):
        return values == claim.stated
    target, unit = figure(claim), factor(claim)
    return all(target.agrees(value / unit) for value in values)


def _written(claim: Claim, values: Value) -> str:
    if isinstance(values, str):
        return values
    target, unit = figure(claim), factor(claim)
    ends = [value / unit for value in (min(values), max(values))]
    # Beside a figure of few digits, or a range, more digits tell more.
    step = Fraction(1) if claim.digits else target.step / 100 if target.number is None else target.step
    if not target.includes_ends:
        return "-".join(dict.fromkeys(map(target.write, ends)))
    return "-".join(dict.fromkeys(written(end, step) for end in ends))


def _by_runs(claim: Claim, runs: Sequence[Results]) -> Judgement:
    found = measured.measured(claim, runs)
    if found:
        holds = measured.outcome(found, figure(claim), factor(claim))
        return Judgement(claim, "measured", measured.text(found, claim), f"{holds}; by {measured.run_names(found)}")
    about = f"needs {measured.NEEDS[claim.quantity, claim.subject]}; no stored run has them"
    what, seen = measured.beside(claim, runs)
    if seen:
        about += f". Near it, but no answer to it: {what}, {measured.text(seen, claim)}, by {measured.run_names(seen)}"
    return Judgement(claim, "needs", "", about)


def _contradicted(claim: Claim, published: Published) -> str:
    """Other figures that the same source states for the same thing."""
    same = ("source", "quantity", "subject", "alpha", "resolution", "unit")
    others = [
        f"{one.stated} in {one.where}"
        for one in published.values()
        if one.id != claim.id
        and all(getattr(one, name) == getattr(claim, name) for name in same)
        and not figure(claim).agrees(Fraction(one.stated))
    ]
    return f"; the source contradicts itself: {', '.join(others)}" if others else ""
