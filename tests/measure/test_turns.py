"""Orders in which sides take turns."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from mnv1.measure.turns import turned


@given(st.integers(1, 12), st.integers(0, 200))
def test_a_round_visits_every_side_once(number, turn):
    sides = list(range(number))
    assert sorted(turned(sides, turn)) == sides


@given(st.integers(2, 8))
def test_over_a_whole_cycle_each_is_first_equally_often(number):
    firsts = Counter(turned(range(number), turn)[0] for turn in range(2 * number))
    assert set(firsts.values()) == {2}


def test_two_sides_alternate():
    assert [turned("AB", number) for number in range(4)] == [["A", "B"], ["B", "A"], ["B", "A"], ["A", "B"]]
