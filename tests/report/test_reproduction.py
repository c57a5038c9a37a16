"""Verdicts on reproduction: made-up figures of two runs."""

import math

import numpy as np
import pandas as pd
import pytest

from mnv1.report.reproduction import compared, missing, status, summary, table, unlike, unlike_text
from mnv1.store.figures import FIGURE_COLUMNS
from mnv1.store.runs import frame
from tests.conftest import latency_facts, speedup_facts

NEAR, AWAY = "CPUs share a cache", "CPUs apart"


def figures(values, half=0.02, state=NEAR, visits=20):
    ends = (-half, half)
    rows = [
        *(
            (f"case-{number}", value, *(value * math.exp(shift) for shift in ends))
            for number, value in enumerate(values)
        )
    ]
    about = ("speedup", state, 1e-7, "speedup")
    rows = [("0001", name, *about, value, low, high, 0.0, visits, 2 * visits) for name, value, low, high in rows]
    return pd.DataFrame(rows, columns=list(FIGURE_COLUMNS))


def words(before, after, **more):
    return [one.word for one in compared(before, after, **more)]


def test_the_same_figures_are_reproduced():
    rng = np.random.default_rng(1)
    before, after = (figures(5 * np.exp(rng.normal(0, 0.01, 100))) for _ in range(2))
    results = compared(before, after)
    assert {one.word for one in results} == {"reproduced"}
    assert (status(results), summary(results)) == (
        0,
        "reproduced: of 100 figures 100 reproduced, 0 differ, 0 cannot be told",
    )


def test_a_difference_that_is_certain_beyond_the_limit_differs():
    assert words(figures([5.0, 5.0]), figures([5.0, 4.0])) == ["reproduced", "differs"]
    assert status(compared(figures([5.0, 5.0]), figures([5.0, 4.0]))) == 1


def test_a_difference_within_the_limit_is_reproduced_however_certain_it_is():
    assert words(figures([5.0], half=0.001), figures([5.2], half=0.001)) == ["reproduced"]
    assert words(figures([5.0], half=0.001), figures([5.2], half=0.001), within=0.03) == ["differs"]


def test_wide_intervals_cannot_tell():
    results = compared(figures([5.0], half=0.2), figures([4.5], half=0.2))
    assert [one.word for one in results] == ["cannot tell"]
    assert status(results) == 3


def test_one_of_many_is_not_certain():
    # A difference that one figure alone would make certain (p = 0.01) is nothing among a hundred.
    before = figures([5.0] * 100, half=0.05)
    after = figures([5.0] * 99 + [5.0 * math.exp(0.1)], half=0.05)
    assert compared(before, after)[-1].p == pytest.approx(0.0057, rel=0.1)
    assert words(before, after)[-1] == "cannot tell"
    assert words(before.tail(1), after.tail(1)) == ["differs"]


def test_two_runs_of_the_same_machine_hardly_ever_differ():
    rng = np.random.default_rng(3)
    differing = 0
    for _ in range(100):
        before, after = (figures(5 * np.exp(rng.normal(0, 0.03 / 2.09, 60)), half=0.03) for _ in range(2))
        differing += "differs" in words(before, after)
    assert differing <= 8  # Holm allows one in twenty; a second measurement must agree as well


def test_states_are_compared_with_themselves():
    before = pd.concat([figures([5.0]), figures([3.5], state=AWAY)])
    after = pd.concat([figures([5.0]), figures([5.0], state=AWAY)])
    assert [(one.state, one.word) for one in compared(before, after)] == [(NEAR, "reproduced"), (AWAY, "differs")]
    assert missing(before, figures([5.0])) == {AWAY: 1}
    assert missing(before, after) == {}


def test_the_table_begins_with_what_differs():
    text = table(compared(figures([5.0, 5.0, 5.0]), figures([5.0, 4.0, 5.0])))
    lines = text.splitlines()
    assert lines[0].split()[:3] == ["case", "state", "before"]
    assert lines[2].startswith("case-1  CPUs share a cache   5.00×  4.00×  0.800 [")
    assert lines[2].endswith("differs")


def test_unlike_machines_have_their_order_and_their_counts_in_common():
    def of(*speedups, memory=100):
        pairs = [
            speedup_facts(speedup=one, batch_size=8**number) | {"id": f"speedup-{number}"}
            for number, one in enumerate(speedups)
        ]
        return frame([*pairs, latency_facts(peak_memory=memory)])

    found = unlike(of(4.0, 0.8, 5.0), of(2.0, 1.2, 9.0))
    assert (found.same_side, found.speedups) == (2, 3)
    assert (found.same_ratios, found.ratios) == (3, 3)
    assert (found.same_memories, found.memories) == (1, 1)
    assert unlike(of(4.0), of(4.0, memory=101)).same_memories == 0
    assert "not compared: latencies, throughput and the size of speedups" in unlike_text(found)
