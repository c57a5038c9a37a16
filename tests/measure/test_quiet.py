"""Which rounds are disturbed: controls and clocks are made up, no time passes."""

import pytest

from mnv1.cases.devices import cpu
from mnv1.cases.devices.clock import Elapsed
from mnv1.cases.devices.cpu import cache_size
from mnv1.measure.quiet import ControlWatch, cpu_controls, quietness, shared_cache_control, usual
from mnv1.measure.timing import Policy, visit, visit_pair


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

    def watch(self):
        watch = ControlWatch([self.control])
        watch.learn(50)
        return watch


def policy(seconds, **more):
    return Policy(visit_time=seconds, max_time=3 * seconds, **more)


def test_a_quiet_machine_loses_nothing():
    machine = Machine(disturbed=0)
    visited = visit("separable", machine, policy(1), machine.watch())
    assert not any(visited.disturbed)
    assert visited.stopped == "precise"


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_disturbed_rounds_are_marked(share):
    machine = Machine(disturbed=share)
    visited = visit("separable", machine, policy(3, min_time=3, max_rounds=10_000), machine.watch())
    kept = [one for one, bad in zip(visited.sides[0], visited.disturbed, strict=True) if not bad]
    assert any(visited.disturbed)
    assert kept == pytest.approx([0.65e-3] * len(kept))


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_undisturbed_rounds_of_a_pair_have_the_undisturbed_ratio(share):
    machine = Machine(disturbed=share)
    visited = visit_pair("standard", "separable", machine, policy(3), machine.watch())
    kept = [one for one, bad in zip(visited.rounds, visited.disturbed, strict=True) if not bad]
    left_out = [one for one, bad in zip(visited.rounds, visited.disturbed, strict=True) if bad]
    assert [a / b for a, b in kept] == pytest.approx([2.4 / 0.65] * len(kept))
    assert min(a / b for a, b in left_out) < 0.7 * 2.4 / 0.65


def test_long_blocks_are_looked_after_one_by_one():
    # Disturbed in the middle of a round of four long blocks, and quiet again at its end.
    machine = Machine(disturbed=0.1, period=10.0, penalty=0.1, seconds={"standard": 2.0, "separable": 0.6})
    watch = machine.watch()
    machine.now = 3.6  # the warm-up ends at 6.2, and the third of the blocks falls into the disturbance
    visited = visit_pair("standard", "separable", machine, policy(1), watch)
    assert visited.disturbed == (True,)
    assert not machine.is_disturbed


def test_a_machine_that_is_never_quiet_again_is_said_to_be_disturbed():
    machine = Machine(disturbed=0)
    watch = machine.watch()
    machine.disturbed = 1.1
    visited = visit("separable", machine, policy(1), watch)
    assert visited.stopped == "disturbed"
    assert all(visited.disturbed)
    assert len(visited.disturbed) >= 6


def test_the_baseline_gets_better_when_a_session_began_disturbed():
    machine = Machine(disturbed=1.1)
    watch = machine.watch()
    assert watch.quiet()  # nothing better is known yet
    machine.disturbed = 0
    for _ in range(100):
        watch.quiet()
    machine.disturbed = 1.1
    assert not watch.quiet()


def test_a_baseline_outlives_its_process():
    machine = Machine(disturbed=0)
    learned = machine.watch().baseline
    machine.disturbed = 1.1
    assert not ControlWatch([machine.control], learned).quiet()


def test_every_control_must_be_quiet():
    readings = {"threads": 1.0, "speed": 1.0}
    watch = ControlWatch([lambda: readings["threads"], lambda: readings["speed"]])
    watch.learn()
    assert watch.quiet()
    readings["speed"] = 1.3
    assert not watch.quiet()


def test_what_is_read_beside_the_controls_is_kept_and_judges_nothing():
    readings = {"threads": 1.0, "cache": 2.0}
    watch = ControlWatch([lambda: readings["threads"]], beside=[lambda: readings["cache"]])
    watch.learn()
    assert watch.readings() == [(1.0, 2.0)] * 200
    readings["cache"] = 9.0
    assert watch.quiet()
    assert watch.readings() == [(1.0, 9.0)]
    assert watch.readings() == []
    assert watch.baseline == (1.0,)


def test_cpu_controls_give_seconds():
    assert all(0 < control() < 10 for control in (*cpu_controls(), shared_cache_control()))


def test_cache_sizes_are_read_as_the_kernel_writes_them(tmp_path, monkeypatch):
    monkeypatch.setattr(cpu, "CACHES", tmp_path)
    assert cache_size(2) is None
    for number, (level, kind, size) in enumerate(
        [
            (1, "Data", "32K"),
            (1, "Instruction", "64K"),
            (2, "Unified", "1024K"),
            (3, "Unified", "32M"),
            (4, "Data", "?"),
        ]
    ):
        folder = tmp_path / f"index{number}"
        folder.mkdir()
        for name, text in (("level", level), ("type", kind), ("size", size)):
            (folder / name).write_text(f"{text}\n")
    assert [cache_size(level) for level in (1, 2, 3, 4, 5)] == [32 * 2**10, 2**20, 32 * 2**20, None, None]


def test_rounds_count_less_the_slower_the_controls_around_them_were():
    usually = (1.0, 2.0)
    readings = [(1.0, 2.0), (1.0, 2.0), (1.2, 2.0), (1.0, 1.0)]
    assert quietness(readings, 3, usually) == pytest.approx([1.0, 1.2**-2, 1.2**-2])
    assert quietness([(1.0, 2.0)] * 11, 2, usually) == [1.0, 1.0]  # five looks a round
    assert quietness([(2.0, 2.0)] * 4, 2, usually) == pytest.approx([2.0**-4] * 2)  # no whole number of looks a round
    assert quietness([], 2, usually) == quietness(readings, 2, ()) == [1.0, 1.0]


def test_the_usual_is_what_the_fastest_readings_take():
    readings = [(1.0 + number, 200.0 - number) for number in range(101)]
    assert usual(readings) == pytest.approx((3.0, 102.0))
    assert usual([]) == ()
