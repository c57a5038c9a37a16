"""Process pairs with known times: no process, no clock."""

import math
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from mnv1.regression.comparison import compare
from mnv1.regression.plan import Plan
from mnv1.regression.sides import UNDER_TEST, Side
from mnv1.regression.stored import document
from mnv1.regression.verdicts import Rules

CASES = {f"case-{n}": {"precision": "fp32", "device": "cpu"} for n in range(24)}
FACTS = {"macs": 100, "params": 10, "peak_memory": 1000, "operators": 5, "output": [1.0, 2.0]}
PLAN = Plan(blocks=4)


class Simulated:
    """A pair of processes whose times have noise of their own, a drift, and perhaps a slower head.

    `modes`: a process runs this much slower with a chance of one half, as if by an unlucky layout of its memory.
    """

    def __init__(self, seed, slower=None, spread=0.015, modes=0.0, slow_process=0.0, head_facts=None, broken=()):
        self.rng = np.random.default_rng(seed)
        self.slower, self.head_facts, self.broken = slower or {}, head_facts or {}, broken
        self.process = {
            side: self.rng.normal(0, spread) / 2 + modes * self.rng.integers(2) for side in ("base", "head")
        }
        self.process["head"] += slow_process
        self.asked, self.moment = [], 0

    def ask(self, side, **request):
        self.asked.append((side, request))
        case = request["case"]
        if request["do"] == "prepare":
            if (side, case) in self.broken:
                return {"error": "ValueError: no such block"}
            if not request.get("count"):
                return {}
            return FACTS | (self.head_facts if side == "head" else {})
        self.moment += 1
        slower = 1 + (self.slower.get(case, 0.0) if side == "head" else 0.0)
        slower *= 1 + request.get("extra", 0.0)
        drift = 1 + 0.001 * self.moment  # a machine that becomes slower and slower
        noise = math.exp(self.process[side] + self.rng.normal(0, 0.01))
        return {"seconds": 0.001 * request["calls"] * slower * drift * noise}


def run(
    seed=0,
    extra=None,
    earlier=None,
    plan=PLAN,
    cases=CASES,
    slow_pair=None,
    pair_time=0.0,
    watched=None,
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

    found = compare(
        cases, open_pair, plan, Rules(), extra, earlier, now=lambda: pair_time * len(pairs), watched=watched
    )
    return found, pairs


def entry(seed=0, extra=None, quick=False, wall_time=250.0, **how):
    """A simulated self-test as a ledger holds it."""
    found, _ = run(seed, extra, **how)
    found.wall_time = wall_time
    sides = [Side(name, "0" * 40, Path(name), "python", dict.fromkeys(UNDER_TEST, "0")) for name in ("base", "head")]
    return document(found, sides, {}, {"self_test": True, "quick": quick, "injected": extra or {}})
