"""Sampling and statistics with clocks of known distribution: no real time passes here."""

import math
import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mnv1.measure import clock as clocks
from mnv1.measure.clock import CpuClock, CudaClock, Elapsed
from mnv1.measure.statistics import half_width, median_interval, percentiles
from mnv1.measure.timing import Policy, measure, measure_pair


class FakeClock:
    """Every call takes its `seconds`; noise is log-normal, and the machine may slow down linearly."""

    def __init__(self, seconds, noise=0.0, drift=0.0, cold=1.0):
        self.seconds, self.noise, self.drift, self.cold = seconds, noise, drift, cold
        self.random = random.Random(0)
        self.now = 0.0
        self.calls = []

    def time(self, call, calls):
        seconds = self.seconds[call] if isinstance(self.seconds, dict) else self.seconds
        cold = self.cold if call not in {earlier for earlier, _ in self.calls} else 1.0
        self.calls.append((call, calls))
        wall = calls * seconds * cold * math.exp(self.random.gauss(0, self.noise)) * (1 + self.drift * self.now)
        self.now += wall
        return Elapsed(wall)


def test_interval_ranks_are_the_binomial_ones():
    # Tables of order-statistic intervals for the median: n = 6 takes the range, n = 20 the 6th and 15th value.
    assert median_interval(range(1, 7)) == (1, 6)
    assert median_interval(range(1, 21)) == (6, 15)
    assert median_interval(range(1, 101)) == (40, 61)


def test_interval_needs_six_samples():
    with pytest.raises(ValueError, match="at least 6 samples, got 5"):
        median_interval([1.0] * 5)


@pytest.mark.parametrize("n", [6, 15, 50])
def test_interval_covers_the_median_at_least_as_often_as_it_says(n):
    rng = np.random.default_rng(1)
    hits = sum(low <= 1.0 <= high for low, high in (median_interval(rng.lognormal(0, 0.2, n)) for _ in range(2000)))
    assert hits / 2000 > 0.94  # the median of this log-normal is 1


@given(st.lists(st.floats(1e-6, 10), min_size=6, max_size=60))
def test_interval_holds_the_median_and_stays_within_the_samples(samples):
    low, high = median_interval(samples)
    assert min(samples) <= low <= np.median(samples) <= high <= max(samples)


def test_half_width_is_relative():
    assert half_width([0.9, 1, 1, 1, 1, 1.1]) == pytest.approx(0.1)
    assert half_width([9, 10, 10, 10, 10, 11]) == pytest.approx(0.1)


def test_percentiles():
    assert percentiles([float(x) for x in range(101)]) == (50.0, 90.0, 99.0)


def test_stops_when_precise():
    measured = measure("f", FakeClock(2e-3, noise=0.01), Policy(max_time=10))
    assert measured.stopped == "precise"
    assert half_width(measured.samples) <= 0.02
    assert sum(measured.samples) >= 0.1
    assert np.median(measured.samples) == pytest.approx(2e-3, rel=0.01)


def test_stops_when_the_time_is_spent():
    measured = measure("f", FakeClock(2e-3, noise=0.5), Policy(max_time=0.5))
    assert measured.stopped == "time budget"
    assert sum(measured.samples) == pytest.approx(0.5, rel=0.05)


def test_stops_at_the_round_limit():
    measured = measure("f", FakeClock(2e-3, noise=0.5), Policy(max_time=100, max_rounds=30))
    assert measured.stopped == "round limit"
    assert 30 <= len(measured.samples) < 60  # rounds come in groups


def test_slow_calls_get_the_fewest_rounds_that_carry_an_interval():
    clock = FakeClock(5.0)
    measured = measure("f", clock, Policy(max_time=1))
    assert len(measured.samples) == 6
    assert len(clock.calls) == 8  # the first, one warm-up, six rounds


def test_short_calls_are_averaged_within_a_round():
    measured = measure("f", FakeClock(10e-6), Policy(max_time=1))
    assert measured.calls_per_round == 100
    assert measured.samples[0] == pytest.approx(10e-6)


def test_the_cold_first_call_is_kept_apart():
    measured = measure("f", FakeClock(1e-3, cold=500), Policy(max_time=1))
    assert measured.first_call == pytest.approx(0.5)
    assert max(measured.samples) == pytest.approx(1e-3)
    assert measured.calls_per_round == 1  # not derived from the cold call


def test_warm_up_lasts_as_long_as_it_should():
    clock = FakeClock(1e-6, noise=0.01)
    measure("f", clock, Policy(max_time=0.1, warmup_time=0.2))
    rounds = [calls for _, calls in clock.calls]
    warm = [calls for calls in rounds[1:] if calls & (calls - 1) == 0]  # doubling: powers of two
    assert sum(warm) * 1e-6 >= 0.2
    assert len(warm) < 250


@pytest.mark.parametrize("ratio", [0.5, 1.0, 8.5])
def test_pair_finds_the_ratio(ratio):
    clock = FakeClock({"standard": 1e-3 * ratio, "separable": 1e-3}, noise=0.02)
    measured = measure_pair("standard", "separable", clock, Policy(max_time=2))
    speedup, low, high = measured.speedup
    assert low <= speedup <= high
    assert speedup == pytest.approx(ratio, rel=0.01)


def test_pair_is_blind_to_a_machine_that_slows_down():
    clock = FakeClock({"standard": 4e-3, "separable": 1e-3}, drift=1.0)
    measured = measure_pair("standard", "separable", clock, Policy(max_time=1, precision=1e-9))
    assert measured.speedup[0] == pytest.approx(4, rel=0.01)
    assert measured.separable_samples[-1] > 1.2 * measured.separable_samples[0]


def test_pair_alternates_and_neither_side_is_always_first():
    clock = FakeClock({"standard": 4e-3, "separable": 1e-3}, noise=0.3)
    measured = measure_pair("standard", "separable", clock, Policy(max_time=0.5))
    blocks = "".join("A" if call == "standard" else "B" for call, calls in clock.calls if calls in (3, 10))[-8:]
    assert blocks in ("ABBABAAB", "BAABABBA")
    assert measured.calls_per_block == (3, 10)
    assert measured.log_ratios[0] == pytest.approx(
        math.log(measured.standard_samples[0] / measured.separable_samples[0])
    )


def test_cpu_clock_runs_every_call():
    calls = []
    elapsed = CpuClock().time(lambda: calls.append(1), 5)
    assert len(calls) == 5
    assert elapsed.wall > 0
    assert elapsed.device is None


def test_cuda_clock_synchronises_around_the_round_only(monkeypatch):
    log = []

    class Event:
        def __init__(self, enable_timing):
            assert enable_timing

        def record(self):
            log.append("record")

        def synchronize(self):
            log.append("wait")

        def elapsed_time(self, _end):
            return 12.5

    fake = SimpleNamespace(Event=Event, synchronize=lambda: log.append("synchronise"))
    monkeypatch.setattr(clocks.torch, "cuda", fake)
    elapsed = CudaClock().time(lambda: log.append("call"), 3)
    assert log == ["synchronise", "record", "call", "call", "call", "record", "wait"]
    assert elapsed.device == 0.0125  # milliseconds of the events, in seconds


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_clock_on_a_device():
    matrix = torch.randn(2048, 2048, device="cuda")
    elapsed = CudaClock().time(lambda: matrix @ matrix, 20)
    assert 0 < elapsed.device <= elapsed.wall
