"""What a process under test does with its calls; a counter stands for the code under test, and no time is judged."""

import math
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mnv1.base.marks import in_a_line, workload
from mnv1.cases.workloads.marked import marked_in
from mnv1.regression import worker
from mnv1.regression.outputs import difference, digest
from mnv1.regression.sides import paths_said_in
from mnv1.regression.worker import Prepared, Side
from tests.cases.test_marked import FILE

SUITE = """
from mnv1 import workload

import mine


@workload
def plain():
    return lambda: mine.added(1, 2)


@workload(
    name="block-{kind}", over={"kind": ["small", "large"]}, tolerance=lambda kind: 0.1 if kind == "small" else 0.2
)
def block(kind):
    import torch
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.BatchNorm2d(4)), torch.ones(2, 3, 5, 5)


@workload(equals=4, facts={"steps": 7})
def wrong():
    return mine.added, (1, 2)


@workload(equals=lambda: 3, facts=lambda output: {"bytes": output * 10})
def right():
    return mine.added, (1, 2)


@workload
def random():
    import random
    return random.random


@workload
def broken():
    raise RuntimeError("no kernel\\nat all")


@workload
def nothing():
    return 3
"""


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
    """Without `__init__`, which ends this process's garbage collection."""
    made = Side.__new__(Side)
    made.threads, made.traffic, made.copies, made.prepared = 1, {}, {}, {"case": Prepared(Counter(log))}
    made.marked, made._is_settled = {}, True
    return made


@pytest.fixture
def loaded(side, tmp_path, monkeypatch):
    """A side that has loaded a suite of its own, in this process: what it changes is put back."""
    root = tmp_path / "root"
    root.mkdir()
    (root / "mine.py").write_text("def added(one, other):\n    return one + other\n")
    (tmp_path / "suite.py").write_text(SUITE)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr("mnv1.workload", None, raising=False)
    for name in ("mine", "mnv1_suite"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr(worker.os, "sched_setaffinity", lambda *_: None, raising=False)
    side.told = side.do_load(str(tmp_path / "suite.py"), str(root), ["."], "", ["mine"])
    yield side
    for name in ("mine", "mnv1_suite"):
        sys.modules.pop(name, None)


def test_a_suite_tells_its_cases(loaded):
    found = {case["id"]: case for case in loaded.told["cases"]}
    assert list(found) == ["plain", "block-small", "block-large", "wrong", "right", "random", "broken", "nothing"]
    assert found["block-large"] == {"id": "block-large", "parameters": {"kind": "large"}, "tolerance": 0.2}


def test_the_file_of_a_sweep_is_a_suite(side, tmp_path, monkeypatch):
    """One file, one decorator: the cases that `pytest benchmarks --workloads` measures, twins and all."""
    path = tmp_path / "mine.py"
    path.write_text(FILE)
    monkeypatch.setattr("mnv1.workload", None, raising=False)
    monkeypatch.setattr(worker.os, "sched_setaffinity", lambda *_: None, raising=False)
    told = side.do_load(str(path), str(tmp_path), [], "", ["mine"])
    monkeypatch.delitem(sys.modules, "mnv1_suite")
    monkeypatch.setattr("mnv1.workload", workload)
    assert [case["id"] for case in told["cases"]] == [one.kind for one in marked_in(str(path))]
    facts = side.do_prepare("smaller", count=True)["facts"]
    assert facts["macs"] == 2 * 14 * 14 * (27 + 24)
    assert facts["params"] == 3 * 9 + 3 + 3 * 8 + 8


def test_a_case_of_plain_python_has_the_facts_that_it_says(loaded):
    assert loaded.do_prepare("plain") == {}
    told = loaded.do_prepare("right", count=True)
    assert told == {"facts": {"bytes": 30}, "output": digest(3)}
    assert loaded.do_sample("right", calls=2)["seconds"] > 0


def test_what_is_deterministic_about_a_module_is_told_and_repeats(loaded):
    told = [loaded.do_prepare("block-small", count=True) for _ in range(2)]
    assert told[0] == told[1]
    facts = told[0]["facts"]
    assert facts["macs"] == 2 * 25 * 3 * 4
    assert facts["params"] == 3 * 4 + 4 + 2 * 4
    assert facts["peak_memory"] >= 4 * 2 * 4 * 25
    assert facts["operators"] == 2
    module = loaded.prepared["block-small"].module
    assert not module.training
    assert loaded.prepared["block-small"].call().is_inference()


@pytest.mark.parametrize(
    ("case", "error", "message"),
    [
        ("wrong", ValueError, "its output is not what it must equal"),
        ("random", ValueError, "is not deterministic: two calls gave different outputs"),
        ("broken", RuntimeError, "no kernel"),
        ("nothing", Exception, "nothing must return what is called, or that and its input"),
    ],
)
def test_a_case_that_cannot_be_compared(loaded, case, error, message):
    with pytest.raises(error, match=message) as raised:
        loaded.do_prepare(case, count=True)
    assert "\n" not in in_a_line(raised.value)


def test_which_code_was_loaded_is_proven(loaded, tmp_path):
    told = loaded.do_prove()
    assert list(told["files"]) == ["mine"]
    assert told["files"]["mine"][0] == str(tmp_path / "root" / "mine.py")
    assert told["facts"]["torch"] == str(torch.__version__)


def test_a_suite_finds_the_decorator_where_this_package_is_not_installed(monkeypatch):
    monkeypatch.setattr(worker.importlib.util, "find_spec", lambda _: None)
    monkeypatch.delitem(sys.modules, "mnv1")
    worker._offer("the decorator")
    assert sys.modules["mnv1"].workload == "the decorator"


@pytest.mark.parametrize(("calls", "before"), [(20, 1), (4, 1), (3, 0)])
def test_a_sample_is_so_many_calls_and_short_ones_come_after_one_that_is_not_timed(side, log, calls, before):
    assert side.do_sample("case", calls=calls)["seconds"] > 0
    assert len(log) == before + calls


class Clock:
    """A call takes a second, and a look at the clock a thousandth."""

    def __init__(self):
        self.now = 0.0

    def perf_counter(self):
        self.now += 0.001
        return self.now


@pytest.fixture
def clock(side, log, monkeypatch):
    clock = Clock()
    monkeypatch.setattr(side.do_sample.__func__.__globals__["time"], "perf_counter", clock.perf_counter)

    def call():
        log.append("call")
        clock.now += 1.0

    side.prepared["case"].call = call
    return clock


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize(("calls", "extra", "more"), [(100, 0.05, 5), (20, 0.1, 2), (10, 1.0, 10), (40, 0.05, 2)])
def test_injected_work_is_more_of_the_same(side, log, calls, extra, more):
    seconds = side.do_sample("case", calls, extra)["seconds"]
    assert len(log) == 1 + calls + more
    assert seconds == pytest.approx(calls + more, abs=0.01)


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize(("calls", "extra", "whole"), [(3, 0.5, 1), (1, 0.03, 0), (2, 0.03, 0), (50, 0.03, 1)])
def test_injected_work_below_a_call_takes_its_share_of_the_time(side, log, calls, extra, whole):
    seconds = side.do_sample("case", calls, extra)["seconds"]
    assert len(log) == (calls >= 4) + calls + whole
    assert seconds == pytest.approx(calls * (1 + extra), abs=0.01)


def test_slowed_calls_take_their_share_longer(side, log, clock):
    assert side.slowed("case", 0.0) is side.prepared["case"].call
    before = clock.now
    side.slowed("case", 0.05)()
    assert log == ["call"]
    assert clock.now - before == pytest.approx(1.05, abs=0.01)


def test_a_gpu_is_waited_for_before_and_after_the_timed_calls_only(side, log, monkeypatch):
    monkeypatch.setitem(
        sys.modules, "torch", SimpleNamespace(cuda=SimpleNamespace(synchronize=lambda: log.append("wait")))
    )
    side.prepared["case"].device = "cuda"
    side.do_sample("case", calls=4)
    assert log == ["call", "wait", *["call"] * 4, "wait"]


@pytest.mark.parametrize("name", ["python", "gemm", "copy"])
def test_controls_hold_no_code_under_test(side, name):
    assert side.do_control(name) == {}
    assert side.do_sample(name, calls=1)["seconds"] > 0


def test_matrices_are_multiplied_by_what_the_suite_has_loaded(monkeypatch):
    assert worker._control("gemm", "cpu")().shape == (256, 256)
    monkeypatch.delitem(sys.modules, "torch")
    assert isinstance(worker._control("gemm", "cpu")(), np.ndarray)
    monkeypatch.delitem(sys.modules, "numpy")
    assert worker._control("gemm", "cpu") is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (3, 4),
        ("a", "b"),
        ([1, 2], [1, 3]),
        ([1, 2], (1, 2)),
        ({"a": 1}, {"b": 1}),
        ({"a", "b"}, {"a"}),
        (None, True),
        (torch.ones(3), torch.ones(4)),
        (torch.ones(2, 3), torch.ones(3, 2)),
        (torch.ones(900), torch.zeros(900)),
        (np.ones(3), np.zeros(3)),
        (np.float64(1), np.float64(2)),
        (list(range(1000)), list(range(999))),
        (list(range(1000)), [*range(999), 5000]),
        ([torch.ones(2), {"x": 1.0}], [torch.ones(2), {"x": 2.0}]),
        (object(), 3),
    ],
)
def test_outputs_that_differ_are_told_apart_and_equal_ones_are_not(one, other):
    assert difference(digest(one), digest(one)) == 0
    assert difference(digest(one), digest(other)) > 1e-4


def test_numbers_may_differ_a_little_and_objects_by_their_address():
    assert difference(digest(torch.ones(900)), digest(1.00001 * torch.ones(900))) < 1e-4
    assert difference(digest([object()]), digest([object()])) == 0
    assert difference(digest(math.nan), digest(math.nan)) == 0
    assert difference(digest(torch.zeros(0)), digest(torch.zeros(0))) == 0


@pytest.mark.parametrize(
    ("text", "paths"), [("", None), ('PATHS = ["src", "lib"]', ["src", "lib"]), ('def f():\n    PATHS = ["a"]', None)]
)
def test_a_suite_may_say_where_the_code_is(text, paths):
    assert paths_said_in(text) == paths


def test_what_takes_the_time_is_found_for_torch_and_for_python(loaded, tmp_path):
    loaded.do_prepare("block-small")
    told = loaded.do_profile("block-small", calls=3)
    assert told["kind"] == "operators"
    assert told["parts"]["aten::mkldnn_convolution"][0] == 3
    (tmp_path / "root" / "slow.py").write_text(
        "def spin():\n    return sum(number * number for number in range(200_000))\n\n\n"
        "def work():\n    return spin()\n"
    )
    import slow

    loaded.prepared["slow"] = Prepared(slow.work)
    told = loaded.do_profile("slow", calls=20)
    assert told["kind"] == "functions"
    assert any("spin" in name and "slow.py" in name for name in told["parts"])
