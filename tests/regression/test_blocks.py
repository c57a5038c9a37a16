"""Blocks that are taken again, by made-up messages between CPUs: no process, no clock."""

import math
from itertools import repeat

import pytest

from mnv1.measure.states import APART, MIXED, SHARED
from mnv1.regression.blocks import AGAIN, Blocks

NEAR, DISTANT = 110e-9, 290e-9
LOST = math.nan


def blocks_of(readings, throttled=lambda: False):
    """Blocks among these readings: one before each block, and one after each time that it is taken."""
    readings = iter(readings)
    return Blocks(throttled, lambda: next(readings), own=80e-9)


def taken(blocks, number):
    """How often each of some blocks was taken."""
    found = []
    for _ in range(number):
        tries = []
        _, around = blocks.taken(lambda tries=tries: tries.append(None))
        assert len(around) == 2
        found.append(len(tries))
    return found


def test_a_block_on_a_change_of_state_is_taken_again():
    blocks = blocks_of([*[NEAR] * 8, NEAR, DISTANT, DISTANT, *[DISTANT] * 8, DISTANT, NEAR, NEAR, *[NEAR] * 4])
    assert taken(blocks, 12) == [1, 1, 1, 1, 2, 1, 1, 1, 1, 2, 1, 1]
    assert blocks.again == 2
    assert blocks.shares() == {APART: 0.4167, SHARED: 0.5833}


def test_a_block_is_not_taken_for_ever():
    blocks = blocks_of([*[NEAR] * 4, *[DISTANT] * 4, NEAR, DISTANT, NEAR, DISTANT])
    assert taken(blocks, 5)[-1] == 1 + AGAIN
    assert blocks.again == 1, "blocks are counted, not tries"
    assert blocks.shares() == {APART: 0.4, SHARED: 0.4, MIXED: 0.2}


def test_a_new_state_is_no_change_once_it_is_entered():
    blocks = blocks_of([*[NEAR] * 2000, NEAR, DISTANT, DISTANT, *[DISTANT] * 40])
    assert taken(blocks, 1021)[-21:] == [2, *[1] * 20]


def test_a_single_odd_reading_costs_one_block():
    blocks = blocks_of([*[NEAR] * 8, NEAR, 900e-9, NEAR, NEAR])
    assert taken(blocks, 5) == [1, 1, 1, 1, 3]


@pytest.mark.parametrize("readings", [[LOST] * 8, [NEAR, LOST] * 4])
def test_messages_that_do_not_arrive_tell_nothing(readings):
    blocks = blocks_of(readings)
    assert taken(blocks, 4) == [1] * 4
    assert (blocks.again, blocks.shares()) == (0, {})


def test_a_throttled_block_is_no_change_of_state():
    blocks = blocks_of(repeat(NEAR), throttled=lambda: True)
    assert taken(blocks, 2) == [1 + AGAIN] * 2
    assert blocks.again == 0


def test_nothing_is_read_while_a_block_is_taken():
    events = []
    blocks = Blocks(look=lambda: events.append("look") or NEAR)
    blocks.taken(lambda: events.append("block"))
    assert events == ["look", "block", "look"]
