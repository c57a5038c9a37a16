"""Which cases a run measures on, look by look, and what is said of each: no clock, no processes.

The comparison and its resampled stand-in decide by this one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mnv1.regression.verdicts import (
    FEWEST,
    Effect,
    Rules,
    Verdict,
    Word,
    looks_slower,
    suite_effect,
    suite_word,
    verdict_of,
    words_of,
)

Pair = Mapping[str, float]
"""Of a pair of processes: ln(head / base) by case."""


class Looks:
    """The decisions of one run. A case that a look has decided stays as it was decided.

    `whole`: measure all cases to the last look, whatever is decided.
    """

    def __init__(self, rules: Rules, cases: int, patience: float, whole: bool = False) -> None:
        self._rules, self._cases, self._patience, self._whole = rules, cases, patience, whole
        self._told: dict[str, tuple[Word, list[float]]] = {}
        """By case: what the last look at it said, and of which ratios."""
        self.suite: Effect | None = None
        self.suite_slower = False

    def words(self) -> dict[str, Word]:
        """What is said of each case that had enough pairs of processes."""
        return {name: word for name, (word, _) in self._told.items()}

    def verdicts(self) -> dict[str, Verdict]:
        """The same with its effect, and why."""
        return {name: verdict_of(*told, self._rules, self._cases) for name, told in self._told.items()}

    def after(self, pairs: Sequence[Pair], wanted: Sequence[str], all_of: Sequence[str], seconds: float) -> list[str]:
        """Look at the `wanted` cases after some pairs of processes, of `all_of` those that both sides can run.

        Returns which of them are measured on: those that are undecided, and once the run has taken longer than the
        plan's patience only those of them that look slower; all, while all cases together may be slower.
        """
        ratios = {name: [pair[name] for pair in pairs if name in pair] for name in wanted}
        self._judge({name: one for name, one in ratios.items() if self._is_open(name) and len(one) >= FEWEST})
        suite = self._judge_suite(pairs, all_of) if len(wanted) == len(all_of) else "SAME"
        if self._whole or suite == "UNDECIDED":
            return list(wanted)
        still_open = [name for name in wanted if self._is_open(name)]
        if seconds <= self._patience:
            return still_open
        return [name for name in still_open if looks_slower(ratios[name], self._rules)]

    def _is_open(self, name: str) -> bool:
        return name not in self._told or self._told[name][0] == "UNDECIDED"

    def _judge(self, ratios: Mapping[str, list[float]]) -> None:
        for number in {len(one) for one in ratios.values()}:  # all at once: resampled runs do so very often
            some = {name: one for name, one in ratios.items() if len(one) == number}
            words = words_of(np.array(list(some.values())).T, self._rules, self._cases)
            self._told |= {name: (word, some[name]) for name, word in zip(some, words, strict=True)}

    def _judge_suite(self, pairs: Sequence[Pair], all_of: Sequence[str]) -> Word:
        """Of all cases together, from the pairs of processes in which all were measured."""
        complete = [{name: pair[name] for name in all_of} for pair in pairs if set(all_of) <= set(pair)]
        if self.suite_slower or len(complete) < FEWEST:
            return "SAME"
        self.suite = suite_effect(complete, self._rules)
        word = suite_word(self.suite, self._rules)
        self.suite_slower = word == "SLOWER"
        return word
