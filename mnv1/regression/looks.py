"""Which cases a run measures on, look by look, and what is said of each: no clock, no processes.

The comparison and its resampled stand-in decide by this one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mnv1.regression.verdicts import (
    FEWEST,
    Effect,
    Rules,
    Verdict,
    Word,
    judge,
    looks_slower,
    suite_effect,
    suite_word,
)

Pair = Mapping[str, float]
"""Of a pair of processes: ln(head / base) by case."""


class Looks:
    """The decisions of one run. A case that a look has decided stays as it was decided.

    `whole`: measure all cases to the last look, whatever is decided.
    """

    def __init__(self, rules: Rules, cases: int, patience: float, whole: bool = False) -> None:
        self._rules, self._cases, self._patience, self._whole = rules, cases, patience, whole
        self.verdicts: dict[str, Verdict] = {}
        self.suite: Effect | None = None
        self.suite_slower = False

    def after(self, pairs: Sequence[Pair], wanted: Sequence[str], all_of: Sequence[str], seconds: float) -> list[str]:
        """Look at the `wanted` cases after some pairs of processes, of `all_of` those that both sides can run.

        Returns which of them are measured on: those that are undecided, and once the run has taken longer than the
        plan's patience only those of them that look slower; all, while all cases together may be slower.
        """
        for name in wanted:
            self._judge(name, _ratios_of(pairs, name))
        suite = self._judge_suite(pairs, all_of) if len(wanted) == len(all_of) else "SAME"
        if self._whole or suite == "UNDECIDED":
            return list(wanted)
        return [
            name
            for name in wanted
            if self._is_open(name) and (seconds <= self._patience or looks_slower(_ratios_of(pairs, name), self._rules))
        ]

    def _is_open(self, name: str) -> bool:
        return name not in self.verdicts or self.verdicts[name].word == "UNDECIDED"

    def _judge(self, name: str, ratios: Sequence[float]) -> None:
        if self._is_open(name) and len(ratios) >= FEWEST:
            self.verdicts[name] = judge(ratios, self._rules, self._cases)

    def _judge_suite(self, pairs: Sequence[Pair], all_of: Sequence[str]) -> Word:
        """Of all cases together, from the pairs of processes in which all were measured."""
        complete = [{name: pair[name] for name in all_of} for pair in pairs if set(all_of) <= set(pair)]
        if self.suite_slower or len(complete) < FEWEST:
            return "SAME"
        self.suite = suite_effect(complete, self._rules)
        word = suite_word(self.suite, self._rules)
        self.suite_slower = word == "SLOWER"
        return word


def _ratios_of(pairs: Sequence[Pair], name: str) -> list[float]:
    return [pair[name] for pair in pairs if name in pair]
