"""Process pairs with known times: no process, no clock."""

import math
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from mnv1.regression.measuring import compare
from mnv1.regression.plan import Plan
from mnv1.regression.sides import Side
from mnv1.regression.stored import document
from mnv1.regression.verdicts import Rules, verdict_of, words_of

CASES = {f"case-{n}": 1e-4 for n in range(24)}
"""With how far outputs may differ."""
FACTS = {"macs": 100, "params": 10, "peak_memory": 1000, "operators": 5}
OUTPUT = {"numbers": [1.0, 2.0], "others": "same"}
PLAN = Plan(pair_time=1.0, least_case_time=0.08, most_case_time=0.08, control_time=0.08)


class Simulated:
    """A pair of processes whose times have noise of their own, a drift, and perhaps a slower head.

    `modes`: a process runs this much slower with a chance of one half, as if by an unlucky layout of its memory.
    """

    def __init__(
        self,
        seed,
        slower=None,
        spread=0.01,
        modes=0.0,
        slow_process=0.0,
        head_facts=None,
        head_output=None,
        broken=(),
        parts=None,
        missing=(),
    ):
        self.rng = np.random.default_rng(seed)
        self.slower, self.head_facts, self.broken = slower or {}, head_facts or {}, broken
        self.head_output, self.parts, self.missing = head_output or OUTPUT, parts or {}, missing
        self.process = {
            side: self.rng.normal(0, spread) / 2 + modes * self.rng.integers(2) for side in ("base", "head")
        }
        self.process["head"] += slow_process
        self.asked, self.moment = [], 0

    def prove(self):
        self.asked.append(("both", {"do": "prove", "case": ""}))

    def ask(self, side, **request):
        self.asked.append((side, request))
        if request["do"] == "settle":
            return {}
        if request["do"] == "control":
            return {"missing": True} if request["control"] in self.missing else {}
        case = request["case"]
        if request["do"] == "profile":
            return {"kind": "operators", "parts": self.parts.get(side, {})}
        if request["do"] == "prepare":
            if (side, case) in self.broken:
                return {"error": "ValueError: no such block"}
            if not request.get("count"):
                return {}
            is_head = side == "head"
            facts = FACTS | (self.head_facts if is_head else {})
            return {"facts": facts, "output": self.head_output if is_head else OUTPUT}
        self.moment += 1
        slower = 1 + (self.slower.get(case, 0.0) if side == "head" else 0.0)
        slower *= 1 + request.get("extra", 0.0)
        drift = 1 + 0.001 * self.moment  # a machine that becomes slower and slower
        noise = math.exp(self.process[side] + self.rng.normal(0, 0.01))
        return {"seconds": 0.001 * request["calls"] * slower * drift * noise}


def judge(ratios, rules, cases):
    """What one look finds of one case, of so many."""
    (word,) = words_of(np.array(ratios)[:, None], rules, cases)
    return verdict_of(word, ratios, rules, cases)


def run(
    seed=0,
    extra=None,
    plan=PLAN,
    cases=CASES,
    slow_pair=None,
    pair_time=0.0,
    watched=None,
    whole=False,
    rules=None,
    **how,
):
    """A whole simulated comparison, and its pairs; in the pair of the number `slow_pair` head's process is slow.

    A pair takes `pair_time` seconds of a clock that nobody else reads.
    """
    pairs = []

    @contextmanager
    def open_pair(number):
        slow = {"slow_process": 0.5} if number == slow_pair else {}
        pairs.append(Simulated(10_000 * seed + number, **how, **slow))
        yield pairs[-1]

    now = lambda: pair_time * len(pairs)  # noqa: E731
    found = compare(cases, open_pair, plan, rules or Rules(), extra, now=now, watched=watched, whole=whole)
    return found, pairs


def entry(seed=0, extra=None, quick=False, wall_time=150.0, whole=False, **how):
    """A simulated self-test as a ledger holds it."""
    found, _ = run(seed, extra, whole=whole, **how)
    found.wall_time = wall_time
    found.pair_times = [(cases, 4.0 + 0.6 * cases) for cases, _ in found.pair_times]
    sides = [Side(name, "0" * 40, Path(name), "python") for name in ("base", "head")]
    about = {"self_test": True, "quick": quick, "whole": whole, "injected": extra or {}}
    return document(found, sides, {}, about)
