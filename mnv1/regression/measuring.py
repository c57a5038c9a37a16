"""A comparison from its first pair of processes to its verdicts: looks, exact facts, controls, hints. No files."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

from mnv1.regression.blocks import Around, Blocks
from mnv1.regression.comparison import Comparison
from mnv1.regression.hints import Hint, hints_of
from mnv1.regression.looks import Looks
from mnv1.regression.outputs import difference
from mnv1.regression.pairs import Pair, WorkerDiedError, WorkerError, log_ratio, shuffled
from mnv1.regression.plan import CONTROLS, Plan
from mnv1.regression.verdicts import FEWEST, Rules, unusable

FEWEST_BLOCKS = 2
"""Blocks in the machine's main state from which a pair of processes counts."""

Opener = Callable[[int], AbstractContextManager[Pair]]
"""Opens the pair of processes of a number."""

Times = dict[str, list[float]]
"""A block: the seconds of each side's samples."""


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
    measure = Measure(found, cases, open_pair, plan, extra or {}, tell, now, watched or Blocks())
    looks = Looks(rules, len(cases), plan.patience, whole)
    start = now()
    wanted = list(cases)
    for look in rules.looks:
        measure.until(look, wanted)
        running = measure.running()
        wanted = [name for name in wanted if name in running]
        wanted = looks.after(measure.ratios, wanted, running, now() - start)
        if not wanted or measure.is_late():
            break
    found.verdicts, found.suite, found.suite_slower = looks.verdicts(), looks.suite, looks.suite_slower
    for name in measure.running():
        if name not in found.verdicts:
            found.failed[name] = f"fewer than {FEWEST} pairs of processes were in one state of the machine"
    found.hints = measure.hints([name for name, one in found.verdicts.items() if one.word == "SLOWER"])
    found.unusable = unusable(found.controls, rules)
    found.taken_again, found.states = measure.watched.again, measure.watched.shares()
    found.wall_time = now() - start
    return found


class Measure:
    """Asks pairs of processes, and keeps in a `Comparison` what they answer."""

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
