"""Pairs of real processes that misbehave; none of them imports torch."""

import os
import signal
import sys
import threading
from dataclasses import replace

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnv1.measure.child import unheard_signals
from mnv1.regression.pairs import (
    Pairs,
    SuiteError,
    WorkerDiedError,
    WorkerError,
    WrongCodeError,
    log_ratio,
    shuffled,
)
from mnv1.regression.sides import Harness, Side
from tests.conftest import ROOT

WORKER = ROOT / "tests" / "faulty_side.py"


@pytest.fixture
def pairs(tmp_path):
    before = set(psutil.Process().children())
    harness = Harness(tmp_path / "suite.py", (".",), "", frozenset({"mine"}))

    def made(head="", timeout=20.0):
        sides = []
        for name, fault in (("base", ""), ("head", head)):
            root = tmp_path / name
            root.mkdir()
            (root / "mine.py").write_text("")
            (root / "fault").write_text(fault)
            sides.append(Side(name, "0" * 40, root, sys.executable, {"mine.py": "0"}))
        return Pairs(sides, harness, threads=1, timeout=timeout, worker=WORKER)

    yield made
    assert set(psutil.Process().children()) <= before, "every process of a pair is ended"


def test_both_sides_answer_with_the_same_hash_seed_and_end(pairs):
    opened = pairs()
    with opened(7) as pair:
        answers = [pair.ask(side, do="sample", case="x") for side in ("base", "head")]
        pair.prove()
        assert all(psutil.pid_exists(one["pid"]) for one in answers)
    assert [one["seed"] for one in answers] == ["7", "7"]
    assert not any(psutil.pid_exists(one["pid"]) for one in answers)
    assert opened.proofs == {side: {"python": "p", "torch": "1"} for side in ("base", "head")}


@pytest.mark.parametrize(
    ("fault", "error", "message"),
    [
        ("dies", WorkerDiedError, r"^head: its process died of SIGSEGV at: sample x"),
        ("exits", WorkerDiedError, r"^head: its process ended with status 3 at: sample x: a library says: goodbye$"),
        ("hangs", WorkerError, r"^head: no answer within 1 s to: sample x$"),
        ("garbage", WorkerError, r"^head: its process wrote 'Segmentation fault\\n' and not a JSON object$"),
        ("list", WorkerError, r"^head: its process wrote '\[1, 2\]\\n' and not a JSON object$"),
        ("raises", WorkerError, r"^head: x: RuntimeError: no kernel$"),
    ],
)
def test_what_goes_wrong_is_one_line_and_leaves_no_process(pairs, fault, error, message):
    opened = pairs(fault, timeout=1.0 if fault == "hangs" else 20.0)
    with pytest.raises(error, match=message), opened(0) as pair:
        pair.ask("head", do="sample", case="x")


def test_what_a_case_raises_while_it_is_prepared_is_an_answer(pairs):
    with pairs("raises")(0) as pair:
        assert pair.ask("head", do="prepare", case="x") == {"error": "RuntimeError: no kernel"}


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("elsewhere", r"^head: mine was loaded from /usr/lib/mine.py, not from "),
        ("nothing", r"^head: the code under test was not loaded: the suite's cases import none of mine$"),
    ],
)
def test_a_side_that_runs_other_code_is_refused(pairs, fault, message):
    with pairs(fault)(0) as pair, pytest.raises(WrongCodeError, match=message):
        pair.prove()


def test_a_suite_that_a_side_cannot_run(pairs):
    opened = pairs("unloadable")
    message = r"^head: the suite cannot be run with its code: ImportError: no$"
    with pytest.raises(WrongCodeError, match=message), opened(0):
        pass
    with pytest.raises(SuiteError, match=r"^--suite: suite.py cannot be run with head's code: ImportError: no$"):
        opened.cases()


def test_the_suites_cases_are_the_heads(pairs):
    assert pairs().cases() == [{"id": "x", "parameters": {}, "tolerance": 1e-4}]


def test_a_package_that_changes_on_the_way_is_refused(pairs):
    opened = pairs("fickle")
    with opened(0) as pair:
        pair.prove()
    with (
        opened(1) as pair,
        pytest.raises(WrongCodeError, match=r"^head: its interpreter or a package changed while it was measured$"),
    ):
        pair.prove()


def test_an_interpreter_that_vanished(pairs):
    opened = pairs()
    opened._sides["head"] = replace(opened._sides["head"], python="/nonexistent/python")
    message = r"^head: /nonexistent/python cannot be started: No such file or directory$"
    with pytest.raises(WorkerError, match=message), opened(0):
        pass


times = st.lists(st.floats(1e-6, 10.0), min_size=2, max_size=2)


@given(st.lists(st.fixed_dictionaries({"base": times, "head": times}), min_size=2, max_size=8))
def test_exchanging_the_sides_turns_the_ratio_around(blocks):
    exchanged = [{"base": one["head"], "head": one["base"]} for one in blocks]
    assert log_ratio(exchanged) == pytest.approx(-log_ratio(blocks), abs=2e-6)


def test_a_disturbed_block_does_not_count():
    steady = {"base": [1.0, 1.0], "head": [1.05, 1.05]}
    disturbed = {"base": [1.0, 1.0], "head": [9.0, 9.0]}
    assert log_ratio([steady] * 5 + [disturbed]) == log_ratio([steady] * 6)


def test_orders_differ_between_pairs_but_not_between_sides():
    cases = [f"case-{n}" for n in range(20)]
    assert shuffled(cases, 3) == shuffled(cases, 3)
    assert shuffled(cases, 3) != shuffled(cases, 4)
    assert sorted(shuffled(cases, 3)) == sorted(cases)


def test_an_interrupt_while_a_process_starts_is_heard_afterwards():
    """Also one that a thread takes which knows nothing of it, as those of numerical libraries do."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    done = threading.Event()
    other = threading.Thread(target=done.wait)
    other.start()
    steps = []

    def start():
        with unheard_signals():
            os.kill(os.getpid(), signal.SIGINT)
            sum(range(100_000))  # Python would run its handler here
            steps.append("started")

    try:
        with pytest.raises(KeyboardInterrupt):
            start()
    finally:
        done.set()
        other.join()
    assert steps == ["started"]
    assert signal.signal(signal.SIGINT, before) is signal.default_int_handler
