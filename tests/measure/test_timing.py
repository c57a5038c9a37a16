"""Sampling and statistics with clocks of known distribution: no real time passes here."""

import math
import random
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mnv1.base.statistics import grouped_mean, grouped_midmean, holm, median_interval, percentiles, quantile
from mnv1.cases.devices.clock import ColdClock, Elapsed, WallClock
from mnv1.cases.devices.cuda import CudaClock
from mnv1.measure.timing import Policy, Visit, visit, visit_pair
from mnv1.measure.watch import NoWatch


class FakeClock:
    """Every call takes its `seconds`; noise is log-normal, and the machine may slow down linearly."""

    def __init__(self, seconds, noise=0.0, drift=0.0, cold=1.0, seed=0):
        self.seconds, self.noise, self.drift, self.cold = seconds, noise, drift, cold
        self.random = random.Random(seed)
        self.now = 0.0
        self.calls = []

    def time(self, call, calls):
        seconds = self.seconds[call] if isinstance(self.seconds, dict) else self.seconds
        cold = self.cold if call not in {earlier for earlier, _ in self.calls} else 1.0
        self.calls.append((call, calls))
        wall = calls * seconds * cold * math.exp(self.random.gauss(0, self.noise)) * (1 + self.drift * self.now)
        self.now += wall
        return Elapsed(wall)


def policy(seconds, **more):
    return Policy(visit_time=seconds, max_time=3 * seconds, **more)


def log_ratios(visited):
    return [math.log(standard / separable) for standard, separable in visited.rounds]


def test_interval_lies_between_the_ranks_of_the_binomial_distribution():
    # Tables of order statistics for the median at 95 %: n = 6 takes the range, n = 20 ranks 6 and 15, n = 100 40 and
    # 61; the next ranks cover less than 95 %, and the interval ends between the two.
    for n, rank in ((6, 1), (20, 6), (100, 40)):
        low, high = median_interval(range(1, n + 1))
        assert rank <= low < rank + 1
        assert high == pytest.approx(n + 1 - low)


def test_interpolated_ranks_by_hand():
    # n = 6: ranks 1 and 6 cover 62/64, ranks 2 and 5 cover 50/64; so (62/64 - 0.95) / (12/64) = 0.1 of the way, and
    # by Hettmansperger and Sheather 5 x 0.1 / (1 + 4 x 0.1) = 0.357 of the distance between the values.
    assert median_interval(range(1, 7)) == (pytest.approx(1 + 5 / 14), pytest.approx(6 - 5 / 14))


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


SLEEP = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
"""Student's own data, first drug: mean 0.75, 95 % interval -0.53 to 2.03."""


def test_interval_of_a_mean_of_independent_values_is_students():
    mean, low, high = grouped_mean([[value] for value in SLEEP])
    assert (mean, low, high) == (pytest.approx(0.75), pytest.approx(-0.53, abs=0.01), pytest.approx(2.03, abs=0.01))


def test_values_of_a_group_that_repeat_it_tell_nothing_new():
    once, thrice = grouped_mean([[value] for value in SLEEP]), grouped_mean([[value] * 3 for value in SLEEP])
    assert thrice == pytest.approx(once)


def test_larger_groups_weigh_more():
    assert grouped_mean([[1.0, 2.0], [3.0]])[0] == 2.0
    mean, low, high = grouped_mean([[1.0], [4.0, 4.0, 4.0]])
    assert mean == 3.25
    assert low < mean < high
    with pytest.raises(ValueError, match="at least 2 groups, got 1"):
        grouped_mean([[1.0, 2.0]])


def test_percentiles():
    assert percentiles([float(x) for x in range(101)]) == (50.0, 90.0, 99.0)


def test_the_midmean_is_the_mean_of_the_middle_half():
    mean, low, high = grouped_midmean([[value] for value in (-100.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 100.0)])
    assert mean == 3.5
    assert low < 3.5 < high


def test_the_midmeans_interval_by_hand():
    # Tukey and McLaughlin: winsorized values 2 2 2 3 4 5 5 5, sum of squares 14, standard error
    # sqrt(14 / 7 / 8) / (1 - 2 * 2 / 8) = 1, and Student's t of the three degrees of the four that are left is 3.1824.
    _, low, high = grouped_midmean([[value] for value in (-9.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 90.0)])
    assert (low, high) == (pytest.approx(3.5 - 3.1824, abs=1e-3), pytest.approx(3.5 + 3.1824, abs=1e-3))


def test_few_values_have_a_midmean_that_is_their_mean():
    assert grouped_midmean([[1.0], [2.0], [6.0]]) == grouped_mean([[1.0], [2.0], [6.0]])
    with pytest.raises(ValueError, match="at least 2 groups, got 1"):
        grouped_midmean([[1.0, 2.0]])


@given(st.lists(st.lists(st.floats(-10, 10), min_size=1, max_size=5), min_size=2, max_size=20), st.floats(-5, 5))
def test_a_midmean_moves_with_its_values(groups, shift):
    moved = grouped_midmean([[value + shift for value in group] for group in groups])
    assert moved == pytest.approx([one + shift for one in grouped_midmean(groups)], abs=1e-6)


@pytest.mark.parametrize("spread", [0.0, 0.5, 2.0])
def test_coverage_of_the_midmeans_interval(spread):
    """Values of a group have something in common, and long tails; how many intervals hold the true centre."""
    rng = np.random.default_rng(5)
    hits = 0
    for _ in range(1000):
        groups = [rng.normal(0, spread) + rng.standard_t(3, rng.integers(1, 6)) for _ in range(15)]
        _, low, high = grouped_midmean([list(group) for group in groups])
        hits += low <= 0 <= high
    assert 0.91 <= hits / 1000 <= 0.975


def test_holm_rejects_in_order_until_one_holds():
    assert holm([0.01, 0.04, 0.03, 0.005]) == [True, False, False, True]  # Holm's own steps: 0.0125, 0.0167, 0.025
    assert holm([0.04]) == [True]
    assert holm([]) == []


def test_a_visit_takes_its_time():
    clock = FakeClock(2e-3, noise=0.01)
    visited = visit("f", clock, policy(0.05))
    assert sum(visited.sides[0]) == pytest.approx(0.05, abs=0.035)  # rounds come in groups of 30 ms
    assert np.median(visited.sides[0]) == pytest.approx(2e-3, rel=0.01)
    assert visited.call_time == pytest.approx(clock.now)


def test_a_slow_call_gets_one_round():
    clock = FakeClock(5.0)
    visited = visit("f", clock, policy(1))
    assert len(visited.sides[0]) == 1
    assert len(clock.calls) == 2  # one warm-up, one round
    assert visited.call_time == pytest.approx(10)


class Looks(NoWatch):
    """Readings in turn, and throttling at some looks."""

    def __init__(self, readings, throttled=()):
        self.readings, self.stops = iter(readings), iter(throttled)

    def look(self):
        return next(self.readings)

    def throttled(self):
        return next(self.stops, False)


def test_each_round_has_what_was_read_around_it():
    visited = visit("f", FakeClock(20e-3), policy(0.1), Looks([1e-7, 3e-7, 2e-7, 1e-7, 1e-7]))
    assert visited.messages == ((1e-7, 3e-7),) * 2 + ((2e-7, 3e-7),) * 2 + ((1e-7, 2e-7),) * 2
    assert visited.throttled == ()


def test_a_long_block_is_looked_after_by_itself():
    clock = FakeClock({"standard": 50e-3, "separable": 10e-3})
    visited = visit_pair("standard", "separable", clock, policy(0.1), Looks([1e-7, 2e-7, 9e-7, 3e-7]))
    assert visited.messages == ((1e-7, 9e-7),)


def test_a_group_in_which_the_kernel_stopped_the_process_says_so():
    visited = visit("f", FakeClock(20e-3), policy(0.1), Looks([1e-7] * 9, [False, False, True, False]))
    assert visited.throttled == (False, False, True, True, False, False)


def test_without_a_watch_nothing_is_read():
    assert visit("f", FakeClock(20e-3), policy(0.1)).messages == ()


def test_short_calls_are_averaged_within_a_round():
    visited = visit("f", FakeClock(10e-6), policy(1))
    assert visited.calls == (100,)
    assert visited.sides[0][0] == pytest.approx(10e-6)


def test_a_cold_call_is_neither_counted_nor_decides_about_rounds():
    visited = visit("f", FakeClock(1e-3, cold=50), policy(1))
    assert max(visited.sides[0]) == pytest.approx(1e-3)
    assert visited.calls == (1,)


def test_a_cold_clock_empties_caches_before_every_call():
    log = []

    class Logs(FakeClock):
        def time(self, call, calls):
            log.append((call, calls))
            return replace(super().time(call, calls), device=1e-4)

    elapsed = ColdClock(Logs(1e-3), lambda: log.append("empty")).time("f", 3)
    assert log == ["empty", ("f", 1)] * 3
    assert (elapsed.wall, elapsed.device) == (pytest.approx(3e-3), pytest.approx(3e-4))
    assert elapsed.spent == elapsed.wall + elapsed.beside
    assert ColdClock(FakeClock(1e-3), list).time("f", 2).device is None


def test_with_cold_caches_a_round_is_one_call_and_what_empties_them_counts_as_time():
    class Slow(FakeClock):
        def time(self, call, calls):
            return replace(super().time(call, calls), beside=9e-3 * calls)

    cold = policy(0.1, warmup_time=0.015, round_time=0.0, block_time=0.0, cold=True)
    clock = Slow(1e-3)
    first = visit("f", clock, cold)
    assert (first.calls, len(first.sides[0]), len(clock.calls)) == ((1,), 12, 14)  # groups of three
    assert first.call_time == pytest.approx(0.14)
    assert set(first.sides[0]) == {1e-3}
    again = Slow(1e-3)
    visit("f", again, cold, earlier=first)
    assert again.calls == [("f", 1)] * 13
    pair = visit_pair("standard", "separable", Slow({"standard": 4e-3, "separable": 1e-3}), cold)
    assert pair.calls == (1, 1)
    assert len(pair.rounds) == 3  # of four blocks with 46 ms in all
    assert log_ratios(pair) == pytest.approx([math.log(4)] * 3)


def test_warm_up_lasts_as_long_as_it_should():
    clock = FakeClock(1e-6, noise=0.01)
    visit("f", clock, policy(0.1, warmup_time=0.2))
    rounds = [calls for _, calls in clock.calls]
    warm = [calls for calls in rounds if calls & (calls - 1) == 0]  # doubling: powers of two
    assert sum(warm) * 1e-6 >= 0.2
    assert len(warm) < 250


def test_a_later_visit_repeats_the_calls_of_the_first():
    first = visit_pair("standard", "separable", FakeClock({"standard": 4e-3, "separable": 1e-3}), policy(0.1))
    assert first.calls == (3, 10)
    clock = FakeClock({"standard": 8e-3, "separable": 2e-3})  # the machine is slower now
    second = visit_pair("standard", "separable", clock, policy(0.1), earlier=first)
    assert second.calls == first.calls
    assert clock.calls[:2] == [("standard", 8), ("separable", 30)]  # caches and CPUs are warmed, for 30 ms as it was
    slow = FakeClock({"standard": 2.0, "separable": 1.0})
    visit_pair("standard", "separable", slow, policy(0.1), earlier=Visit(((2.0,), (1.0,)), (1, 1), 0.0))
    assert slow.calls == [("standard", 1), ("separable", 1)]  # one round: it does not notice that caches were cold


def test_long_calls_take_turns_in_who_is_first():
    seconds = {"standard": 2.0, "separable": 0.5}
    orders = []
    first = visit_pair("standard", "separable", FakeClock(seconds), policy(0.1))
    for number in (1, 2, 3):
        clock = FakeClock(seconds)
        visited = visit_pair("standard", "separable", clock, policy(0.1), earlier=first, number=number)
        orders.append("".join(call[1] for call, _ in clock.calls))
        assert visited.sides == ((pytest.approx(2.0),), (pytest.approx(0.5),))
    assert orders == ["et", "te", "et"]


@pytest.mark.parametrize("ratio", [0.5, 1.0, 8.5])
def test_pair_finds_the_ratio(ratio):
    clock = FakeClock({"standard": 1e-3 * ratio, "separable": 1e-3}, noise=0.02)
    visited = visit_pair("standard", "separable", clock, policy(2))
    assert math.exp(np.median(log_ratios(visited))) == pytest.approx(ratio, rel=0.01)


def test_pair_is_blind_to_a_machine_that_slows_down():
    clock = FakeClock({"standard": 4e-3, "separable": 1e-3}, drift=1.0)
    visits = [visit_pair("standard", "separable", clock, policy(1), number=number) for number in range(8)]
    means = [np.mean(log_ratios(one)) for one in visits]
    assert np.mean(means) == pytest.approx(math.log(4), abs=0.002)
    assert visits[-1].sides[1][-1] > 1.2 * visits[0].sides[1][0]


def test_each_block_follows_one_of_the_other_side_and_neither_is_always_first():
    for number, blocks in ((0, "ABABABAB"), (1, "BABABABA")):
        clock = FakeClock({"standard": 4e-3, "separable": 1e-3}, noise=0.3)
        visited = visit_pair("standard", "separable", clock, policy(0.5), number=number)
        assert visited.calls == (3, 10)
        timed = [call for call, calls in clock.calls if calls > 1]
        assert "".join("A" if call == "standard" else "B" for call in timed)[-8:] == blocks


def test_a_block_of_short_calls_begins_with_one_that_is_not_timed():
    class Cold(FakeClock):
        """The first call after one of the other side takes three times as long."""

        def time(self, call, calls):
            extra = 2 * self.seconds[call] if self.calls and self.calls[-1][0] != call else 0.0
            elapsed = super().time(call, calls)
            return Elapsed(elapsed.wall + extra)

    for standard, separable in ((4e-3, 1e-3), (25e-3, 8e-3)):
        visited = visit_pair("standard", "separable", Cold({"standard": standard, "separable": separable}), policy(0.5))
        assert visited.sides[0][-1] == pytest.approx(standard)
        assert visited.sides[1][-1] == pytest.approx(separable)


def test_pair_has_one_round_at_least():
    visited = visit_pair("standard", "separable", FakeClock({"standard": 2.0, "separable": 0.5}), policy(0.1))
    assert visited.sides == ((pytest.approx(2.0),), (pytest.approx(0.5),))


def test_cpu_clock_runs_every_call():
    calls = []
    elapsed = WallClock().time(lambda: calls.append(1), 5)
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

    monkeypatch.setattr(torch, "cuda", SimpleNamespace(Event=Event, synchronize=lambda: log.append("synchronise")))
    elapsed = CudaClock().time(lambda: log.append("call"), 3)
    assert log == ["synchronise", "record", "call", "call", "call", "record", "wait"]
    assert elapsed.device == 0.0125  # milliseconds of the events, in seconds


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_clock_on_a_device():
    matrix = torch.randn(2048, 2048, device="cuda")
    elapsed = CudaClock().time(lambda: matrix @ matrix, 20)
    assert 0 < elapsed.device <= elapsed.wall


def test_the_fastest_tenth_has_an_interval_of_order_statistics():
    value, low, high = quantile(list(range(1, 201)), 0.1)
    assert value == pytest.approx(20.9)
    below = stats.binom(200, 0.1)  # how many samples are below the true quantile
    assert below.cdf(high - 1) - below.cdf(low - 1) >= 0.95
    assert (low, high) == (12, 30)


def test_with_few_samples_the_interval_of_a_quantile_ends_at_the_smallest():
    value, low, high = quantile([3.0, 4.0, 5.0, 6.0, 7.0, 8.0], 0.1)
    assert value == 3.5
    assert low == 3.0
    assert value <= high <= 8.0
