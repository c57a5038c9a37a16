import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnv1.net.architecture import block_layers, network_layers
from mnv1.net.counts import count
from mnv1.net.roofline import Ceilings, ideal_speedup, layer_pass_bytes, least_time, least_times

STANDARD, SEPARABLE = network_layers("standard"), network_layers("separable")


def machine(balance):
    """A machine of so many FLOPs per byte."""
    return Ceilings(macs_per_second=balance / 2 * 1e10, bytes_per_second=1e10)


@pytest.mark.parametrize(
    ("balance", "batch_size", "element_size", "folded", "eager"),
    [
        # Computed apart from this code, to two decimals, from the formulas of the counts.
        (8, 1, 4, 7.53, 5.23),
        (20, 1, 4, 5.94, 3.31),
        (42, 1, 4, 4.27, 2.20),
        (148, 1, 4, 2.55, 1.42),
        (20, 32, 4, 6.20, 3.37),
        (295, 32, 4, 1.04, 0.76),
        (20, 32, 2, 7.46, 4.85),
    ],
)
def test_ideal_speedup_by_machine_balance(balance, batch_size, element_size, folded, eager):
    arguments = (STANDARD, SEPARABLE, machine(balance), batch_size, element_size)
    assert machine(balance).balance == pytest.approx(balance)
    assert ideal_speedup(*arguments) == pytest.approx(folded, abs=0.01)
    assert ideal_speedup(*arguments, eager=True) == pytest.approx(eager, abs=0.01)


def test_without_a_memory_limit_the_ideal_is_the_mac_ratio():
    endless = Ceilings(1e9, 1e30)
    ratio = count(STANDARD).macs / count(SEPARABLE).macs
    assert ideal_speedup(STANDARD, SEPARABLE, endless) == pytest.approx(ratio)
    assert ideal_speedup(STANDARD, SEPARABLE, endless, eager=True) == pytest.approx(ratio)


def test_eager_passes_read_and_write_the_output_twice_more():
    (layer,) = block_layers("pointwise", 8, 16, 1, 10)
    assert layer_pass_bytes(layer, 3) == 4 * 4 * 3 * 16 * 10 * 10
    assert [layer_pass_bytes(one) for one in SEPARABLE[-2:]] == [0, 0]  # pooling and the fully connected layer


def test_data_that_fits_the_cache_moves_at_its_bandwidth():
    (layer,) = block_layers("pointwise", 8, 16, 1, 10)
    read, written, weights = 4 * 8 * 100, 4 * 16 * 100, 4 * 8 * 16

    def traffic(cache_size):
        (one,) = least_times([layer], Ceilings(1e30, 10.0, 1000.0, cache_size))
        return one.traffic, one.passes

    assert traffic(0) == pytest.approx(((read + written + weights) / 10, 4 * written / 10))
    assert traffic(weights) == pytest.approx(((read + written) / 10 + weights / 1000, 4 * written / 10))
    assert traffic(read + written) == pytest.approx(((read + written + weights) / 1000, 4 * written / 10))
    assert traffic(2 * written) == pytest.approx(((read + written + weights) / 1000, 4 * written / 1000))


def test_weights_of_a_network_stay_in_the_cache_only_when_all_of_them_fit():
    layers = block_layers("separable", 512, 512, 1, 1)
    all_weights = 4 * (9 * 512 + 512 * 512)
    depthwise_alone, _ = least_times(layers, Ceilings(1e30, 1.0, 100.0, all_weights - 1))
    depthwise_cached, _ = least_times(layers, Ceilings(1e30, 1.0, 100.0, all_weights))
    assert depthwise_alone.traffic == pytest.approx(4 * 9 * 512 + 4 * 2 * 512 / 100)
    assert depthwise_cached.traffic == pytest.approx((4 * 9 * 512 + 4 * 2 * 512) / 100)


@given(st.floats(1e6, 1e15), st.floats(1e6, 1e15), st.integers(1, 64))
def test_no_layer_is_faster_than_either_ceiling(macs_per_second, bytes_per_second, batch_size):
    ceilings = Ceilings(macs_per_second, bytes_per_second)
    counts = count(SEPARABLE, batch_size)
    time = least_time(SEPARABLE, ceilings, batch_size)
    floor = max(counts.macs / macs_per_second, counts.min_bytes / bytes_per_second)
    assert floor <= time * (1 + 1e-9)
    assert time <= least_time(SEPARABLE, ceilings, batch_size, eager=True)
