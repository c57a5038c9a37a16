"""Which rounds are kept when the machine is disturbed now and then: controls and clocks are made up, no time passes."""

import math

import pytest

from mnv1.measure.clock import Elapsed
from mnv1.measure.quiet import ControlWatch, cpu_controls
from mnv1.measure.timing import Policy, measure, measure_pair


class Machine:
    """A clock and a control of one machine that is disturbed for part of every `period` seconds.

    While it is, two threads lose `penalty` seconds a call, whatever the call is, and the control shows it.
    """

    def __init__(self, disturbed=0.3, period=2.0, penalty=1e-3, seconds=None):
        self.disturbed, self.period, self.penalty = disturbed, period, penalty
        self.seconds = seconds or {"standard": 2.4e-3, "separable": 0.65e-3}
        self.now = 0.0

    @property
    def is_disturbed(self):
        return self.now % self.period > self.period * (1 - self.disturbed)

    def time(self, call, calls):
        start = self.now
        for _ in range(calls):
            self.now += self.seconds[call] + self.penalty * self.is_disturbed
        return Elapsed(self.now - start)

    def control(self):
        self.now += 1e-3
        return 10e-6 if self.is_disturbed else 7e-6

    def watch(self, **arguments):
        watch = ControlWatch([self.control], now=lambda: self.now, **arguments)
        watch.learn(50)
        return watch


def test_a_quiet_machine_loses_nothing():
    machine = Machine(disturbed=0)
    measured = measure("separable", machine, Policy(max_time=1), machine.watch())
    assert measured.disturbed_rounds == 0
    assert measured.stopped == "precise"


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_disturbed_rounds_do_not_count(share):
    machine = Machine(disturbed=share)
    policy = Policy(max_time=3, min_time=3, max_rounds=10_000)
    measured = measure("separable", machine, policy, machine.watch())
    assert measured.disturbed_rounds > 0
    assert measured.samples == pytest.approx([0.65e-3] * len(measured.samples))


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_a_speedup_is_that_of_the_undisturbed_machine(share):
    machine = Machine(disturbed=share)
    measured = measure_pair(
        "standard", "separable", machine, Policy(max_time=3, min_time=3, max_rounds=10_000), machine.watch()
    )
    assert measured.speedup[0] == pytest.approx(2.4 / 0.65)
    without = measure_pair(
        "standard", "separable", Machine(disturbed=share), Policy(max_time=3, min_time=3, max_rounds=10_000)
    )
    assert min(math.exp(ratio) for ratio in without.log_ratios) < 0.7 * 2.4 / 0.65


def test_a_machine_that_is_never_quiet_again_is_measured_and_said_to_be_disturbed():
    machine = Machine(disturbed=0)
    watch = machine.watch(allowance=5)
    machine.disturbed = 1.1
    start = machine.now
    measured = measure("separable", machine, Policy(max_time=1), watch)
    assert measured.stopped == "disturbed"
    assert measured.disturbed_rounds == len(measured.samples) >= 6
    assert machine.now - start < 10  # patience, allowance and overtime bound it


def test_waiting_is_bounded_by_patience_and_by_the_sessions_allowance():
    machine = Machine(disturbed=0)
    watch = machine.watch(patience=3, allowance=5)
    machine.disturbed = 1.1
    waits = []
    for _ in range(4):
        start = machine.now
        assert not watch.wait()
        waits.append(machine.now - start)
    assert waits == pytest.approx([3, 2, 0, 0], abs=0.01)


def test_waiting_ends_when_the_machine_is_quiet():
    machine = Machine(disturbed=0.5, period=1.0)
    watch = machine.watch()
    machine.now = 10.6
    assert watch.wait()
    assert machine.now == pytest.approx(11.0, abs=0.01)


def test_the_baseline_gets_better_when_a_session_began_disturbed():
    machine = Machine(disturbed=1.1)
    watch = machine.watch()
    assert watch.quiet()  # nothing better is known yet
    machine.disturbed = 0
    for _ in range(100):
        watch.quiet()
    machine.disturbed = 1.1
    assert not watch.quiet()


def test_every_control_must_be_quiet():
    readings = {"threads": 1.0, "speed": 1.0}
    watch = ControlWatch([lambda: readings["threads"], lambda: readings["speed"]])
    watch.learn()
    assert watch.quiet()
    readings["speed"] = 1.3
    assert not watch.quiet()


def test_cpu_controls_give_seconds():
    assert all(0 < control() < 10 for control in cpu_controls())
