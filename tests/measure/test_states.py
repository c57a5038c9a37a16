"""States of the machine, from made-up readings."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnv1.measure.states import APART, FAR, LOST, SHARED, about_states, find_states, state_of

OWN = 80e-9


def readings(*peaks, spread=0.06, seed=1):
    """So many readings around each message: `(nanoseconds, number)`."""
    rng = np.random.default_rng(seed)
    return [1e-9 * about * math.exp(rng.normal(0, spread)) for about, number in peaks for _ in range(number)]


def named(*peaks):
    return [(one.name, pytest.approx(one.message * 1e9, rel=0.05)) for one in find_states(readings(*peaks), OWN)]


def test_two_states_are_found_and_named_by_what_a_message_takes():
    assert named((115, 800), (290, 400)) == [(SHARED, 115), (APART, 290)]


def test_the_order_of_readings_does_not_matter():
    found = readings((115, 300), (290, 300))
    assert find_states(found, OWN) == find_states(found[::-1], OWN)


def test_a_third_state_is_met_now_and_then():
    assert named((115, 800), (290, 400), (600, 30)) == [(SHARED, 115), (APART, 290), (FAR, 600)]


def test_a_bare_machine_has_one_state():
    assert named((118, 500)) == [(SHARED, 118)]
    assert named((230, 500)) == [(APART, 230)]


def test_a_few_odd_readings_are_no_state():
    assert named((115, 2000), (1500, 3)) == [(SHARED, 115)]


def test_two_states_of_one_name_are_told_apart():
    assert [one.name for one in find_states(readings((210, 400), (330, 400), spread=0.03), OWN)] == [
        APART,
        f"{APART} (2)",
    ]


@pytest.mark.parametrize(
    ("own", "near", "far"),
    [(47, 104, 279), (72, 102, 273), (106, 141, 317), (87, 149, 334), (58, 150, 317), (58, 143, 336), (62, 143, 291)],
)
def test_what_was_read_on_two_machines_has_the_same_names(own, near, far):
    """In nanoseconds: between runs the interpreter's share differs as much as a clock does."""
    both = find_states([1e-9 * near] * 5 + [1e-9 * far] * 5, 1e-9 * own)
    assert [one.name for one in both] == [SHARED, APART]


def test_the_first_readings_of_a_run_are_a_state_already():
    assert [one.name for one in find_states([115e-9], OWN)] == [SHARED]
    assert [one.name for one in find_states([115e-9, 117e-9, 290e-9, 291e-9], OWN)] == [SHARED, APART]


def test_without_readings_there_is_no_state():
    assert find_states([], OWN) == []
    assert find_states([LOST, LOST], OWN) == []


def test_a_round_on_a_change_belongs_to_no_state():
    states = find_states(readings((115, 800), (290, 400)), OWN)
    assert state_of(states, (112e-9, 121e-9)).name == SHARED
    assert state_of(states, (280e-9, 300e-9)).name == APART
    assert state_of(states, (115e-9, 290e-9)) is None
    assert state_of(states, (115e-9, 5e-6)) is None  # a reading that was interrupted
    assert state_of(states, (115e-9, LOST)) is None


@given(st.lists(st.floats(50e-9, 5e-6), min_size=1, max_size=300))
def test_states_do_not_overlap_and_hold_their_own_message(found):
    states = find_states(found, OWN)
    assert all(one.low <= one.message <= one.high for one in states)
    assert all(one.high <= other.low for one, other in pairwise(states))
    assert len({one.name for one in states}) == len(states)


def test_what_a_run_says_of_its_states():
    states = find_states(readings((115, 800), (290, 400)), OWN)
    facts = about_states(states, {SHARED: 60.0, APART: 30.0, "": 10.0}, claimed=True)
    assert [(one["state"], one["share"]) for one in facts["states"]] == [(SHARED, 0.6), (APART, 0.3)]
    assert "the system says that these CPUs share a cache; for 30% of the time" in facts["state_note"]
    assert "state_note" not in about_states(states, {SHARED: 60.0}, claimed=False)
    assert about_states([], {}, claimed=True) == {}
