"""Laws of intervals with a component between runs."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mnv1.base.statistics import midmean, narrowed, widened

WIDTHS = st.floats(0, 1)
DEVIATIONS = st.floats(0, 0.5)


@given(st.floats(-5, 5), WIDTHS, WIDTHS, DEVIATIONS)
def test_narrowing_takes_back_what_widening_did(value, below, above, deviation):
    interval = (value, value - below, value + above)
    wide = widened(interval, deviation)
    assert wide[1] <= interval[1] + 1e-12 <= interval[2] + 2e-12 <= wide[2] + 3e-12
    assert narrowed(wide, deviation) == pytest.approx(interval, abs=2e-7)


def test_squares_add_up():
    _, low, high = widened((0.0, -0.03, 0.04), 0.02)
    assert (-low, high) == pytest.approx((math.hypot(0.03, 0.0391993), math.hypot(0.04, 0.0391993)))


def test_what_was_never_widened_by_as_much_becomes_a_point():
    assert narrowed((1.0, 0.99, 1.01), 0.5) == (1.0, 1.0, 1.0)


def test_a_midmean_is_of_the_middle_half():
    assert midmean([9.0, 1.0, 2.0, 3.0, -5.0, 2.0, 1.0, 100.0]) == 2.0  # of 1, 2, 2 and 3
    assert midmean([4.0]) == 4.0
    values = [3.0, 1.0, 7.0, 5.0, 2.0]
    assert midmean(values) == pytest.approx(float(stats.trim_mean(values, 0.25)))
