"""Who reads messages between CPUs beside others, and when nobody does: no process is started."""

import math

import pytest

from mnv1.measure import look
from mnv1.measure.look import looking


class Messages:
    """Messages that take as long as the numbers of their CPUs say."""

    own, ended = 0.5, False

    def read(self, one, other):
        return float(one + other)

    def close(self):
        self.ended = True


@pytest.fixture
def messages(monkeypatch):
    made = Messages()
    monkeypatch.setattr(look, "Messages", lambda: made)
    monkeypatch.setattr(look, "CPUS", (2, 3, 5))
    return made


def test_messages_are_read_between_the_first_and_the_last_cpu_in_use(messages):
    with looking(3, on_host=True) as (read, described):
        assert read() == 7.0
        assert described["message_own_time"] == 0.5
        assert not messages.ended
    assert messages.ended


@pytest.mark.parametrize(("threads", "on_host"), [(1, True), (3, False)])
def test_nothing_is_read_of_one_thread_or_another_device(messages, threads, on_host):
    with looking(threads, on_host) as (read, described):
        assert math.isnan(read())
        assert described == {}
    assert not messages.ended


def test_nothing_is_read_where_the_system_cannot(messages, monkeypatch):
    def refused():
        raise OSError("this system binds no process to a CPU")

    monkeypatch.setattr(look, "Messages", refused)
    with looking(2, on_host=True) as (read, described):
        assert math.isnan(read())
        assert described == {}
    assert not messages.ended
