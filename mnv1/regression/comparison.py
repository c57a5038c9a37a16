"""A comparison from its first pair of processes to its verdicts: two stages, exact facts, controls. No files."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from mnv1.regression.blocks import Blocks
from mnv1.regression.pairs import Pair, WorkerDiedError, log_ratio, shuffled
from mnv1.regression.plan import CONTROLS, Plan
from mnv1.regression.verdicts import (
    Effect,
    Rules,
    Verdict,
    is_candidate,
    is_uniform_slowdown,
    judge,
    suite_effect,
    unusable,
)

EXACT = ("macs", "params", "peak_memory", "operators")
"""What is deterministic, and compared without statistics."""

TOLERANCE = {"fp32": 1e-4, "tf32": 2e-2, "amp": 2e-2}
"""How far outputs may differ, as a share of the largest element."""

UNDECIDED_SHARE = 0.5
"""A run that leaves more of its cases undecided than this is inconclusive."""

Opener = Callable[[int], AbstractContextManager[Pair]]
"""Opens the pair of processes of a number."""

Stage = dict[str, list[float]]
"""By case: ln(head / base), one for each pair of processes."""


@dataclass
class Comparison:
    """What was measured, and what is said of it."""

    rules: Rules
    first: Stage = field(default_factory=dict)
    second: Stage = field(default_factory=dict)
    controls: Stage = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)
    """Calls of a sample, found on base and the same on both sides."""
    raw: list[dict[str, Any]] = field(default_factory=list)
    """Every block's seconds, with its case, stage and pair."""
    exact: dict[str, dict[str, tuple[float, float]]] = field(default_factory=dict)
    """Deterministic facts that differ: by case and name, of base and head."""
    wrong_outputs: dict[str, float] = field(default_factory=dict)
    """How far outputs differ, of cases where that is beyond the tolerance."""
    failed: dict[str, str] = field(default_factory=dict)
    """Cases that one side cannot run, and why."""
    verdicts: dict[str, Verdict] = field(default_factory=dict)
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
        """Cases whose head allocates clearly more than base."""
        found = {name: facts["peak_memory"] for name, facts in self.exact.items() if "peak_memory" in facts}
        return [name for name, (base, head) in found.items() if head > (1 + self.rules.memory) * base]

    def regressions(self) -> list[str]:
        """Cases that are slower or take more memory, confirmed."""
        slower = [name for name, verdict in self.verdicts.items() if verdict.word == "SLOWER"]
        return list(dict.fromkeys([*slower, *self.more_memory()]))

    @property
    def exit_status(self) -> int:
        """0 no confirmed regression, 1 a confirmed one, 3 inconclusive, 4 nothing compared or outputs differ."""
        if self.wrong_outputs or not self.verdicts:
            return 4
        if self.more_memory():  # exact, whatever the clock says
            return 1
        if self.unusable:
            return 3
        if self.regressions() or self.suite_slower:
            return 1
        return 3 if self.words()["UNDECIDED"] > UNDECIDED_SHARE * len(self.verdicts) else 0


def compare(
    cases: Mapping[str, Mapping[str, Any]],
    open_pair: Opener,
    plan: Plan,
    rules: Rules,
    extra: Mapping[str, float] | None = None,
    earlier: Mapping[str, Sequence[float]] | None = None,
    tell: Callable[[str], None] = lambda _: None,
    now: Callable[[], float] = time.monotonic,
    watched: Blocks | None = None,
) -> Comparison:
    """Measure both stages and judge.

    `cases` are described for the workers, by id; `extra` is the share of work that is injected into head's side of a
    case; `earlier` is the first stage of another run, on another machine, of which this one is the second. `tell` gets
    a line of progress after each pair; `watched` takes a block again in which the machine changed. Raises what
    `open_pair` and its pair raise.
    """
    found = Comparison(rules)
    watched = watched or Blocks()
    measure = _Measure(found, cases, open_pair, plan, extra or {}, tell, now, watched)
    start = now()
    if earlier is None:
        found.first = measure.stage(1, list(cases), plan.first_pairs)
        again = [name for name, ratios in found.first.items() if is_candidate(ratios, rules)]
        if found.first:
            found.suite = suite_effect(found.first, rules)
            if is_uniform_slowdown(found.suite, rules):  # which needs all cases to be confirmed
                again = list(found.first)
    else:
        found.first = {name: list(earlier[name]) for name in cases}
        again = list(cases)
    if again:
        found.second = measure.stage(2, again, plan.second_pairs)
    for name, ratios in found.first.items():
        if name not in found.failed:
            found.verdicts[name] = judge(ratios, found.second.get(name), rules)
    if found.suite and found.second.keys() == found.first.keys():
        suite = suite_effect(found.second, rules)
        found.suite_slower = is_uniform_slowdown(found.suite, rules) and is_uniform_slowdown(suite, rules)
        found.suite = suite
    found.unusable = unusable(found.controls, rules)
    found.taken_again, found.states = watched.again, watched.shares()
    found.wall_time = now() - start
    return found


class _Measure:
    def __init__(
        self,
        found: Comparison,
        cases: Mapping[str, Mapping[str, Any]],
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

    def stage(self, stage: int, names: Sequence[str], pairs: int) -> Stage:
        """Measure some cases, and the controls, in so many new pairs of processes."""
        start = self.now()
        ratios: Stage = {}
        for number in range(pairs):
            if stage == 2 and number >= self.plan.fewest_pairs and self._is_late(start, number):
                self.tell(f"stage 2: ended after {number} pairs, for the run's time is spent")
                break
            wanted = [name for name in names if name not in self.found.failed]
            try:
                measured = self._pair(stage, number, wanted)
            except WorkerDiedError as error:  # once may be the machine's fault, and a pair counts whole or not at all
                self.tell(f"{error}; this pair is measured again")
                measured = self._pair(stage, number, wanted)
            for name, blocks in measured.items():
                into = self.found.controls if name in CONTROLS else ratios
                into.setdefault(name, []).append(log_ratio(blocks))
                self.found.raw.append({"case": name, "stage": stage, "pair": number, "blocks": blocks})
            left = (self.now() - start) / (number + 1) * (pairs - number - 1)
            self.tell(f"stage {stage}: pair {number + 1} of {pairs}, {len(wanted)} cases, about {left:.0f} s left")
        return {name: found for name, found in ratios.items() if name not in self.found.failed}

    def _is_late(self, start: float, pairs: int) -> bool:
        """Whether a pair more, as long as those of this stage, would take the run beyond its time."""
        now = self.now()
        return now + (now - start) / pairs > self.start + self.plan.time

    def _pair(self, stage: int, number: int, names: Sequence[str]) -> dict[str, Any]:
        """The blocks of every case and control in one pair of processes."""
        seed = 1000 * stage + number
        with self.open_pair(seed) as pair:
            usable = [name for name in names if self._prepare(pair, name)]
            for control in CONTROLS:
                for side in ("base", "head"):
                    pair.ask(side, do="prepare", case=control, about={"control": control, **self._where()})
            order = [*CONTROLS, *shuffled(usable, seed)]
            for name in order:
                if name not in self.found.calls:
                    self.found.calls[name] = self._calls(pair, name)
            return {name: self._blocks(pair, name) for name in order}

    def _where(self) -> dict[str, Any]:
        """What the controls run on: the device of the cases."""
        return {"device": next(iter(self.cases.values())).get("device", "cpu")}

    def _prepare(self, pair: Pair, name: str) -> bool:
        """Build a case on both sides; the first time also compare what is deterministic. Whether both can run it."""
        first_time = name not in self.found.calls
        answers = {}
        for side in ("base", "head"):
            answers[side] = pair.ask(side, do="prepare", case=name, about=dict(self.cases[name]), count=first_time)
            if "error" in answers[side]:
                self.found.failed[name] = f"{side}: {answers[side]['error']}"
        if name in self.found.failed:
            return False
        if first_time:
            self._compare_exactly(name, answers["base"], answers["head"])
        return True

    def _compare_exactly(self, name: str, base: Mapping[str, Any], head: Mapping[str, Any]) -> None:
        differing = {one: (base[one], head[one]) for one in EXACT if base.get(one) != head.get(one)}
        if differing:
            self.found.exact[name] = differing
        off = output_difference(base["output"], head["output"])
        if off > TOLERANCE[self.cases[name]["precision"]]:
            self.found.wrong_outputs[name] = off

    def _calls(self, pair: Pair, name: str) -> int:
        """How many calls of base take a sample's time."""
        seconds: float = min(pair.ask("base", do="sample", case=name, calls=1)["seconds"] for _ in range(3))
        return max(1, round(self.plan.sample_time / max(seconds, 1e-7)))

    def _blocks(self, pair: Pair, name: str) -> list[dict[str, list[float]]]:
        """The seconds of a case's samples.

        A block is A B B A, the next one B A A B: a drift that is linear cancels within a block, and neither side is
        always first.
        """
        return [self.watched.taken(partial(self._block, pair, name, number)) for number in range(self.plan.blocks)]

    def _block(self, pair: Pair, name: str, number: int) -> dict[str, list[float]]:
        times: dict[str, list[float]] = {"base": [], "head": []}
        for side in ("base", "head", "head", "base") if number % 2 == 0 else ("head", "base", "base", "head"):
            extra = self.extra.get(name, 0.0) if side == "head" else 0.0
            answer = pair.ask(side, do="sample", case=name, calls=self.found.calls[name], extra=extra)
            times[side].append(round(answer["seconds"], 8))
        return times


def output_difference(base: Sequence[float], head: Sequence[float]) -> float:
    """The largest difference of two outputs, as a share of the largest element; infinite where lengths differ."""
    if len(base) != len(head) or not all(map(math.isfinite, (*base, *head))):
        return math.inf
    largest = max((abs(one) for one in base), default=0.0)
    return max((abs(one - other) for one, other in zip(base, head, strict=True)), default=0.0) / max(largest, 1e-12)
