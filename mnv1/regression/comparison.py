"""What a comparison found, and which exit status that gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mnv1.regression.hints import Hint
from mnv1.regression.verdicts import Effect, Rules, Verdict

GROWS_NOT = ("memory", "bytes")
"""Ends of the names of facts whose growth is a regression."""

UNDECIDED_SHARE = 0.5
"""A run that leaves more of its cases undecided than this is inconclusive."""


@dataclass
class Comparison:
    """What was measured, and what is said of it."""

    rules: Rules
    ratios: dict[str, list[float]] = field(default_factory=dict)
    """By case: ln(head / base), one for each pair of processes."""
    controls: dict[str, list[float]] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)
    """Calls of a sample, found on base and the same on both sides."""
    raw: list[dict[str, Any]] = field(default_factory=list)
    """Every block's seconds, with its case and pair."""
    pair_times: list[tuple[int, float]] = field(default_factory=list)
    """Of each pair of processes: how many cases it measured, and how many seconds that took."""
    exact: dict[str, dict[str, tuple[float, float]]] = field(default_factory=dict)
    """Deterministic facts that differ: by case and name, of base and head."""
    wrong_outputs: dict[str, float] = field(default_factory=dict)
    """How far outputs differ, of cases where that is beyond the tolerance."""
    failed: dict[str, str] = field(default_factory=dict)
    """Cases that one side cannot run, and why."""
    head_fails: bool = False
    """Whether head is such a side."""
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    hints: dict[str, Hint | None] = field(default_factory=dict)
    """What is slower in a slower case."""
    suite: Effect | None = None
    suite_slower: bool = False
    unusable: list[str] = field(default_factory=list)
    taken_again: int = 0
    """Blocks that were taken again because the machine changed its state."""
    states: dict[str, float] = field(default_factory=dict)
    """The share of the blocks in each state of the machine; empty where none was read."""
    wall_time: float = 0.0
    """Seconds from the first process to the last."""

    def words(self) -> dict[str, int]:
        """How many cases got each verdict."""
        words = [verdict.word for verdict in self.verdicts.values()]
        return {word: words.count(word) for word in ("SLOWER", "FASTER", "SAME", "UNDECIDED")}

    def more_memory(self) -> list[str]:
        """Cases whose head takes clearly more memory, or more of any other fact that must not grow, than base."""
        return [
            name
            for name, facts in self.exact.items()
            for fact, (base, head) in facts.items()
            if fact.endswith(GROWS_NOT) and head > (1 + self.rules.memory) * base
        ]

    def regressions(self) -> list[str]:
        """Cases that are slower or take more memory, confirmed."""
        slower = [name for name, verdict in self.verdicts.items() if verdict.word == "SLOWER"]
        return list(dict.fromkeys([*slower, *self.more_memory()]))

    @property
    def exit_status(self) -> int:
        """0 no regression, 1 a regression, 3 inconclusive, 4 nothing compared, outputs differ or head cannot run."""
        if self.wrong_outputs or self.head_fails or not self.verdicts:
            return 4
        if self.more_memory():  # exact, whatever the clock says
            return 1
        if self.unusable:
            return 3
        if self.regressions() or self.suite_slower:
            return 1
        return 3 if self.words()["UNDECIDED"] > UNDECIDED_SHARE * len(self.verdicts) else 0
