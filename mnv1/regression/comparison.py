"""A comparison from its first pair of processes to its verdicts: looks, exact facts, controls, hints. No files."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from mnv1.regression.blocks import Around, Blocks
from mnv1.regression.hints import Hint, hints_of
from mnv1.regression.pairs import Pair, WorkerDiedError, WorkerError, log_ratio, shuffled
from mnv1.regression.plan import CONTROLS, Plan
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
    unusable,
)
from mnv1.regression.worker import difference

GROWS_NOT = ("memory", "bytes")
"""Ends of the names of facts whose growth is a regression."""

UNDECIDED_SHARE = 0.5
"""A run that leaves more of its cases undecided than this is inconclusive."""

FEWEST_BLOCKS = 2
"""Blocks in the machine's main state from which a pair of processes counts."""

Opener = Callable[[int], AbstractContextManager[Pair]]
"""Opens the pair of processes of a number."""

Times = dict[str, list[float]]
"""A block: the seconds of each side's samples."""


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


def compare(
    cases: Mapping[str, float],
    open_pair: Opener,
    plan: Plan,
    rules: Rules,
    extra: Mapping[str, float] | None = None,
    tell: Callable[[str], None] = lambda _: None,
    now: Callable[[], float] = time.monotonic,
    watched: Blocks | None = None,
    whole: bool = False,
) -> Comparison:
    """Measure pair after pair of processes and judge at each look; cases that are decided are measured no more.

    Nor are, once the plan's patience is spent, those that do not even look slower.

    `cases` are the suite's, with how far outputs may differ; `extra` is the share of work that is injected into head's
    side of a case. `tell` gets a line of progress after each pair; `watched` takes a block again in which the machine
    changed. `whole`: measure all cases to the last look, for who studies the design. Raises what `open_pair` and its
    pair raise.
    """
    found = Comparison(rules)
    measure = _Measure(found, cases, open_pair, plan, extra or {}, tell, now, watched or Blocks())
    start = now()
    wanted = list(cases)
    for look in rules.looks:
        measure.until(look, wanted)
        wanted = [name for name in wanted if name not in found.failed]
        if not wanted:
            break
        undecided = _judged(found, wanted, len(cases))
        are_all = len(wanted) == len(cases) - len(found.failed)
        suite = _suite_judged(found, measure.complete_pairs()) if are_all else "SAME"
        if not whole and suite != "UNDECIDED":
            is_impatient = now() - start > plan.patience
            wanted = [one for one in undecided if not is_impatient or looks_slower(found.ratios[one], rules)]
        if not wanted or measure.is_late():
            break
    for name in measure.running():
        if name not in found.verdicts:
            found.failed[name] = f"fewer than {FEWEST} pairs of processes were in one state of the machine"
    found.hints = measure.hints([name for name, one in found.verdicts.items() if one.word == "SLOWER"])
    found.unusable = unusable(found.controls, rules)
    found.taken_again, found.states = measure.watched.again, measure.watched.shares()
    found.wall_time = now() - start
    return found


def _judged(found: Comparison, wanted: Sequence[str], cases: int) -> list[str]:
    """Judge those, of so many cases, that no earlier look has decided; which are undecided still."""
    for name in wanted:
        ratios = found.ratios.get(name, ())
        if len(ratios) < FEWEST:
            continue
        before = found.verdicts.get(name)
        if before is None or before.word == "UNDECIDED":
            found.verdicts[name] = judge(ratios, found.rules, cases)
    return [name for name in wanted if name not in found.verdicts or found.verdicts[name].word == "UNDECIDED"]


def _suite_judged(found: Comparison, pairs: Sequence[Mapping[str, float]]) -> Word:
    """What this look says of all cases together, from the pairs of processes in which all were measured."""
    if found.suite_slower or len(pairs) < FEWEST:
        return "SAME"
    found.suite = suite_effect(pairs, found.rules)
    word = suite_word(found.suite, found.rules)
    found.suite_slower = word == "SLOWER"
    return word


class _Measure:
    def __init__(
        self,
        found: Comparison,
        cases: Mapping[str, float],
        open_pair: Opener,
        plan: Plan,
        extra: Mapping[str, float],
        tell: Callable[[str], None],
        now: Callable[[], float],
        watched: Blocks,
    ) -> None:
        self.found, self.cases, self.open_pair, self.plan = found, cases, open_pair, plan
        self.extra, self.tell, self.now, self.watched = extra, tell, now, watched
        self.start = now()
        self.pairs = 0
        self.pair_time = 0.0
        self.sample_times: dict[str, float] = {}
        self.ratios: list[dict[str, float]] = []
        """Of each pair of processes, by case or control."""
        self.around: list[list[Around]] = []
        """Beside each entry of `found.raw`, what was read around its blocks."""

    def until(self, pairs: int, names: Sequence[str]) -> None:
        """Measure some cases, and the controls, until there have been so many pairs of processes."""
        first = self.found.rules.looks[0]
        while self.pairs < pairs and not (self.pairs >= first and self.is_late()):
            wanted = [name for name in names if name not in self.found.failed]
            if not wanted:
                return
            start = self.now()
            try:
                measured = self._pair(self.pairs, wanted)
            except WorkerDiedError as error:  # once may be the machine's fault, and a pair counts whole or not at all
                self.tell(f"{error}; this pair is measured again")
                measured = self._pair(self.pairs, wanted)
            for name, taken in measured.items():
                self.found.raw.append({"case": name, "pair": self.pairs, "blocks": [times for times, _ in taken]})
                self.around.append([around for _, around in taken])
            self.pairs += 1
            self.pair_time = self.now() - start
            self.found.pair_times.append((len(wanted), round(self.pair_time, 2)))
            left = self.pair_time * (pairs - self.pairs)
            self.tell(
                f"pair {self.pairs}: {len(wanted)} cases; the next look is after pair {pairs}, in about {left:.0f} s"
            )
        self._settle()

    def is_late(self) -> bool:
        """Whether a pair more, as long as the last one, would take the run beyond its time."""
        return self.now() + self.pair_time > self.start + self.plan.time

    def _settle(self) -> None:
        """The ratios of all pairs so far: of blocks in the machine's main state, where states are told apart."""
        name_of = self.watched.names()
        states = [[name_of(around) for around in entry] for entry in self.around]
        counted = Counter(state for entry in states for state in entry)
        main = counted.most_common(1)[0][0] if counted else None
        pairs: list[dict[str, float]] = [{} for _ in range(self.pairs)]
        for one, entry in zip(self.found.raw, states, strict=True):
            blocks = [times for times, state in zip(one["blocks"], entry, strict=True) if state == main]
            if len(blocks) >= FEWEST_BLOCKS:
                pairs[one["pair"]][one["case"]] = log_ratio(blocks)
        self.ratios = pairs
        controls = {name: self._ratios_of(name) for name in CONTROLS}
        self.found.controls = {name: ratios for name, ratios in controls.items() if len(ratios) >= FEWEST}
        self.found.ratios = {name: self._ratios_of(name) for name in self.running()}

    def running(self) -> list[str]:
        """Cases that both sides can run."""
        return [name for name in self.cases if name in self.found.calls and name not in self.found.failed]

    def _ratios_of(self, name: str) -> list[float]:
        return [pair[name] for pair in self.ratios if name in pair]

    def complete_pairs(self) -> list[dict[str, float]]:
        """The ratios of those pairs of processes that measured all cases."""
        running = self.running()
        return [{name: pair[name] for name in running} for pair in self.ratios if set(running) <= set(pair)]

    def _pair(self, number: int, names: Sequence[str]) -> dict[str, list[tuple[Times, Around]]]:
        """The blocks of every case and control in one pair of processes."""
        with self.open_pair(number) as pair:
            usable = [name for name in names if self._prepare(pair, name)]
            if not usable:
                return {}
            pair.prove()
            controls = [name for name in CONTROLS if self._prepare_control(pair, name)]
            for side in ("base", "head"):
                pair.ask(side, do="settle")
            order = [*controls, *shuffled(usable, number)]
            for name in order:
                if name not in self.found.calls:
                    self.found.calls[name], self.sample_times[name] = self._calls(pair, name)
            each = self.plan.case_time(len(usable))
            times = {name: self.plan.control_time if name in controls else each for name in order}
            return {name: self._blocks(pair, name, times[name]) for name in order}

    def _prepare(self, pair: Pair, name: str) -> bool:
        """Build a case on both sides; the first time also compare what is deterministic. Whether both can run it."""
        first_time = name not in self.found.calls
        answers = {}
        for side in ("base", "head"):
            answers[side] = pair.ask(side, do="prepare", case=name, count=first_time)
            if "error" in answers[side]:
                self.found.failed[name] = f"{side}: {answers[side]['error']}"
                self.found.head_fails |= side == "head"
        if name in self.found.failed:
            return False
        if first_time:
            self._compare_exactly(name, answers["base"], answers["head"])
        return True

    def _prepare_control(self, pair: Pair, name: str) -> bool:
        """Whether both sides have a control: one without numpy and torch multiplies no matrices."""
        answers = [pair.ask(side, do="control", control=name) for side in ("base", "head")]
        return not any(answer.get("missing") for answer in answers)

    def _compare_exactly(self, name: str, base: Mapping[str, Any], head: Mapping[str, Any]) -> None:
        both = [one for one in base["facts"] if one in head["facts"]]
        facts = {one: (base["facts"][one], head["facts"][one]) for one in both}
        differing = {one: (before, after) for one, (before, after) in facts.items() if before != after}
        if differing:
            self.found.exact[name] = differing
        off = difference(base["output"], head["output"])
        if off > self.cases[name]:
            self.found.wrong_outputs[name] = off

    def _calls(self, pair: Pair, name: str) -> tuple[int, float]:
        """How many calls of base take a sample's time, and how long that is."""
        seconds = calls = 0
        while seconds < self.plan.sample_time / 10 and calls < 2**20:  # one call may be shorter than the clock's ticks
            calls = max(1, 4 * calls)
            seconds = min(pair.ask("base", do="sample", case=name, calls=calls)["seconds"] for _ in range(3))
        each = max(seconds / calls, 1e-9)
        found = max(1, round(self.plan.sample_time / each))
        return found, found * each

    def _blocks(self, pair: Pair, name: str, case_time: float) -> list[tuple[Times, Around]]:
        """The seconds of a case's samples.

        A block is A B B A, the next one B A A B: a drift that is linear cancels within a block, and neither side is
        always first.
        """
        number = self.plan.blocks(case_time, self.sample_times[name])
        return [self.watched.taken(partial(self._block, pair, name, one)) for one in range(number)]

    def _block(self, pair: Pair, name: str, number: int) -> Times:
        times: Times = {"base": [], "head": []}
        for side in ("base", "head", "head", "base") if number % 2 == 0 else ("head", "base", "base", "head"):
            extra = self.extra.get(name, 0.0) if side == "head" else 0.0
            answer = pair.ask(side, do="sample", case=name, calls=self.found.calls[name], extra=extra)
            times[side].append(float(f"{answer['seconds']:.5g}"))
        return times

    def hints(self, slower: Sequence[str]) -> dict[str, Hint | None]:
        """What is slower in cases that are, from one more pair of processes; nothing of injected work, which is more of
        the same."""
        wanted = [name for name in slower if name not in self.extra]
        if not wanted:
            return {}
        try:
            with self.open_pair(self.pairs) as pair:
                for name in wanted:
                    for side in ("base", "head"):
                        pair.ask(side, do="prepare", case=name)
                return {
                    name: hints_of(partial(pair.ask, do="profile", case=name), self.found.calls[name])
                    for name in wanted
                }
        except WorkerError as error:  # what was measured stands
            self.tell(f"{error}; what is slower is not told")
            return {}
