"""A measuring process without torch, whose visits are made up: the real protocol, and a sweep of a second.

For tests of what surrounds measuring. `-p tests.made_up` makes `pytest benchmarks` ask it. The environment variable
MADE_UP says, as JSON, what differs here: `facts` of the machine, `visit_time`, `messages`,
`untraceable`: why nothing can be traced, and `fails`: how cases end, by their kind or id.
"""

import json
import os
import random
import signal
import sys
import time
from multiprocessing.connection import Connection

from mnv1.cases import Pair, Training
from mnv1.measure.children import die_with_parent
from mnv1.measure.messages import Described
from mnv1.measure.timing import Visit
from mnv1.measure.worker import serve

WANTED = json.loads(os.environ.get("MADE_UP", "{}"))

MESSAGES = WANTED.get("messages", [1.15e-7])
"""Seconds of a message in each state that the machine is in, in turn, for so many visits."""
EPISODE = 12

VISIT_TIME = WANTED.get("visit_time", 0.002)
"""Seconds."""


class Bench:
    def __init__(self, state, threads):
        self._visits = 0
        self._settings = {"machine_state": state, "threads": int(threads or 2), "thread_binding": "close"}

    def describe(self):
        facts = {"machine": "made-up-cpu", "cpu": "Made-up CPU", "cpus": 2, "bf16_instructions": True}
        facts |= {"packages": {"torch": "0.0.0"}, "kernel": "made up", "revision": "made up"}
        return Described(facts | self._settings | WANTED.get("facts", {}), ())

    def watch(self):
        return {"message_pairs": [[0, 1, 1.15e-7]], "message_own_time": 8e-8, "claimed_shared_cache": True}

    def look(self):
        (message,) = rounds(MESSAGES[self._visits // EPISODE % len(MESSAGES)], 1)
        return message

    def ceilings(self, device, precisions, _policy):
        names = [*(("gemm", one) for one in precisions), ("copy beyond cache", ""), ("copy within cache", "")]
        about = {"device": device, "size": 2**20, "rounds": 6}
        values = {"value": 1e10, "low": 0.9e10, "high": 1.1e10}
        return [{"ceiling": name, "precision": precision, **about, **values} for name, precision in names]

    def check(self, case):
        how = WANTED.get("fails", {})
        how = how.get(case.id) or how.get("pair" if isinstance(case, Pair) else case.workload.kind)
        if how == "hangs":
            time.sleep(1e6)
        if how == "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        if how:
            raise RuntimeError(how)

    def visit(self, case, _policy, earlier):
        self.check(case)
        time.sleep(VISIT_TIME)
        around = ((self.look(),) * 2,)
        self._visits += 1
        if isinstance(case, Pair):
            return Visit((rounds(4e-3, 4), rounds(1e-3, 4)), (1, 1), 0.02, messages=around * 4)
        extras = {} if earlier else {"peak_memory": 2**20, "first_call": 2e-3}
        if isinstance(case.workload, Training) and not earlier:
            for name in ("forward", "backward", "optimizer"):
                extras |= {f"{name}_time": 1e-3, f"{name}_low": 0.9e-3, f"{name}_high": 1.1e-3}
        return Visit((rounds(1e-3, 20),), (1,), 0.02, extras=extras, messages=around * 20)

    def trace(self, _case):
        if "untraceable" in WANTED:
            raise RuntimeError(WANTED["untraceable"])
        values = {"low": 2e-4, "high": 4e-4, "calls": 3}
        kernel = {"kernel": "pointwise", "implementation": "made up", "layouts": "abcd", "count": 2, "seconds": 3e-4}
        found = {"traced_call": 1e-3, "dispatch_time": 1e-4, "kernels": [kernel | values]}
        return found | {"traced_messages": [(self.look(),) * 2] * 3}


def rounds(seconds, number):
    """Rounds that vary by a little, none like another."""
    return tuple(seconds * random.uniform(0.999, 1.001) for _ in range(number))


if __name__ == "__main__":
    descriptor, parent, state, threads = sys.argv[1:]
    die_with_parent(int(parent))
    serve(Connection(int(descriptor)), Bench(state, threads))
