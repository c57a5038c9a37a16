import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnv1.net.architecture import ROWS, SHALLOW_ROWS, block_layers, network_layers, scale_channels


def test_table_is_the_papers():
    assert len(ROWS) == 13
    assert [stride for _, stride in ROWS].count(2) == 4
    assert len(SHALLOW_ROWS) == 8
    assert (512, 1) not in SHALLOW_ROWS


def test_network_reaches_seven_pixels():
    layers = network_layers(resolution=224)
    assert [layer.side for layer in layers if layer.op == "pool"] == [7]
    assert len([layer for layer in layers if layer.op in ("standard", "depthwise", "pointwise", "linear")]) == 28


@given(st.integers(1, 4096), st.floats(0.01, 4))
def test_channels_follow_the_width_rule(channels, alpha):
    scaled = scale_channels(channels, alpha)
    assert scaled % 8 == 0
    assert scaled >= 8
    assert scaled == 8 or channels * alpha - 8 < scaled <= channels * alpha


@pytest.mark.parametrize("alpha", [0, -1, math.nan, math.inf])
def test_alpha_must_be_positive(alpha):
    with pytest.raises(ValueError, match="alpha must be a positive number"):
        scale_channels(32, alpha)


def test_resolution_below_32_is_refused():
    with pytest.raises(ValueError, match="at least 32 px, got 31"):
        network_layers(resolution=31)


@given(st.integers(32, 300))
def test_sides_chain(side):
    layers = network_layers(resolution=side)
    for before, after in pairwise(layers):
        assert after.side == before.out_side
        assert after.in_channels == before.out_channels


def test_unknown_block_kind_is_refused():
    with pytest.raises(ValueError, match="unknown block kind 'shuffle'"):
        block_layers("shuffle", 8, 8, 1, 32)
