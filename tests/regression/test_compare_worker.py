"""What a process under test does with its calls; a counter stands for the code under test, and no time is judged."""

from types import SimpleNamespace

import pytest
import torch

from mnv1.regression.worker import Side


class Counter:
    def __init__(self, log):
        self.log = log

    def __call__(self):
        self.log.append("call")


@pytest.fixture
def log():
    return []


@pytest.fixture
def side(log):
    """Without `__init__`, which sets this process's threads and ends its garbage collection."""
    made = Side.__new__(Side)
    made.torch, made.traffic, made.copies = torch, {}, {}
    made.calls = {"case": (Counter(log), "cpu")}
    return made


def test_a_sample_is_so_many_calls_after_one_that_is_not_timed(side, log):
    assert side.do_sample("case", calls=20)["seconds"] > 0
    assert len(log) == 1 + 20


@pytest.mark.parametrize(("calls", "extra", "more"), [(100, 0.05, 5), (20, 0.1, 2), (10, 1.0, 10), (40, 0.05, 2)])
def test_injected_work_is_more_of_the_same(side, log, calls, extra, more):
    side.do_sample("case", calls, extra)
    assert len(log) == 1 + calls + more
    assert side.traffic == {}, "whole calls need no copies"


def test_injected_work_below_a_call_is_memory_traffic(side, log, monkeypatch):
    asked = []
    monkeypatch.setattr(Side, "_copies", lambda _, case, share: asked.append((case, share)) or 3)
    side.do_sample("case", calls=3, extra=0.5)
    ((case, share),) = asked
    assert (case, share) == ("case", pytest.approx(0.5))
    assert len(log) == 1 + 3 + 1, "1.5 calls: one more, and copies for the half"
    source, target = side.traffic["cpu"]
    assert bool((target == source).all()), "the copies were made"


def test_copies_take_as_long_as_the_share_of_a_call(side, monkeypatch):
    """The first copy takes 3 ms and each further one 1 ms, a call 100 ms."""
    monkeypatch.setattr(Side, "_typical", lambda _side, _case, copies: 0.002 + 0.001 * copies if copies else 0.1)
    assert side._copies("case", 0.1) == pytest.approx(8, abs=1)
    assert side._copies("case", 0.001) == 1, "never none"
    monkeypatch.setattr(Side, "_typical", lambda *_: pytest.fail("it is found once for a case"))
    assert side._copies("case", 0.001) == 1


def test_slowed_calls_copy_after_each_call(side, log, monkeypatch):
    monkeypatch.setattr(Side, "_copies", lambda *_: 2)
    assert side.slowed("case", 0.0) is side.calls["case"][0]
    side.slowed("case", 0.05)()
    assert log == ["call"]
    assert bool((side.traffic["cpu"][1] == 1).all())


def test_a_gpu_is_waited_for_before_and_after_the_timed_calls_only(side, log):
    side.torch = SimpleNamespace(cuda=SimpleNamespace(synchronize=lambda: log.append("wait")))
    side.calls = {"case": (Counter(log), "cuda")}
    side.do_sample("case", calls=3)
    assert log == ["call", "wait", "call", "call", "call", "wait"]


def test_controls_hold_no_code_under_test(side):
    for name in ("python", "gemm", "copy"):
        assert side.do_prepare(name, {"control": name, "device": "cpu"}, count=True) == {}
        assert side.do_sample(name, calls=1)["seconds"] > 0


def test_what_is_deterministic_is_told_and_repeats(side):
    about = {
        "kind": "separable",
        "device": "cpu",
        "precision": "fp32",
        "amp_dtype": "bfloat16",
        "input_shape": [1, 32, 16, 16],
        "in_channels": 32,
        "out_channels": 64,
        "stride": 1,
    }
    told = [side.do_prepare("block", about, count=True) for _ in range(2)]
    assert told[0] == told[1]
    # Depthwise 32 x 9 and pointwise 32 x 64 weights at 256 places; beside them BatchNorm's two values a channel.
    assert told[0]["macs"] == 256 * (32 * 9 + 32 * 64)
    assert told[0]["params"] == 32 * 9 + 32 * 64 + 2 * (32 + 64)
    assert told[0]["peak_memory"] >= 4 * 64 * 256
    assert told[0]["operators"] == 6
    assert side.do_prepare("block", about) == {}
