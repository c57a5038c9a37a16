"""The measuring process may do what it likes: real processes that hang, die and raise."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mnv1.measure.child import how_it_ended
from mnv1.measure.messages import Failed
from mnv1.measure.supervisor import Supervisor, SupervisorError
from mnv1.measure.timing import Policy
from mnv1.measure.worker import reason
from tests.conftest import ROOT
from tests.faulty_worker import GOOD

POLICY = Policy(visit_time=1.0, max_time=1.0)


@pytest.fixture
def supervisor():
    made = Supervisor("as-is", None, case_timeout=20.0, worker="tests.faulty_worker")
    yield made
    made.close()


def is_alive(pid):
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rsplit(")", 1)[1].split()[0] != "Z"


@pytest.mark.parametrize(
    ("case", "why"),
    [
        ("raises", "ValueError: no good"),
        ("out of memory", "out of memory: DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        ("killed", "its process was killed: most likely the machine ran out of memory"),
        ("crashes", "its process died of SIGABRT: free(): invalid pointer"),
        ("exits", "its process ended with status 3"),
    ],
)
def test_a_case_that_fails_says_why_and_the_next_one_is_measured(supervisor, case, why):
    before = supervisor.visit("pid", POLICY)
    assert supervisor.visit(case, POLICY) == Failed(why)
    assert not is_alive(before)  # what the case held is freed with its process
    assert supervisor.visit("good", POLICY) == GOOD
    assert supervisor.visit("pid", POLICY) != before


def test_a_case_that_hangs_is_given_up():
    supervisor = Supervisor("as-is", None, case_timeout=0.5, worker="tests.faulty_worker")
    supervisor.describe()
    pid = supervisor.visit("pid", POLICY)
    answer = supervisor.visit("hangs", POLICY)
    assert answer == Failed("no result after 0.5 s (--case-timeout); its process was ended")
    assert not is_alive(pid)
    supervisor.close()


def test_a_new_process_watches_as_the_old_one_did(supervisor):
    assert supervisor.watch() == {}
    assert supervisor.visit("watched", POLICY) is True
    supervisor.visit("killed", POLICY)
    assert supervisor.visit("watched", POLICY) is True


class _TimeOut(BaseException):
    """As pytest's own outcomes are."""


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, _TimeOut, RuntimeError])
def test_whatever_interrupts_a_question_ends_its_process(supervisor, interruption, monkeypatch):
    """Otherwise its answer waits in the pipe, and the next case takes it for its own."""

    class Interrupted:
        def __init__(self, connection):
            self.send, self.close = connection.send, connection.close

        def poll(self, _timeout):
            raise interruption

    pid = supervisor.visit("pid", POLICY)
    monkeypatch.setattr(supervisor, "_connection", Interrupted(supervisor._connection))
    with pytest.raises(interruption):
        supervisor.visit("pid", POLICY)
    assert not is_alive(pid)
    assert supervisor.visit("good", POLICY) == GOOD


def test_a_real_alarm_while_a_case_is_asked_leaves_no_answer_behind(supervisor):
    """What pytest-timeout does: a handler that raises, wherever the process is."""

    def give_up(*_):
        raise _TimeOut

    supervisor.describe()
    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        with pytest.raises(_TimeOut):
            supervisor.visit("slow", POLICY)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert supervisor.visit("good", POLICY) == GOOD


def test_an_answer_to_another_question_is_refused(supervisor):
    pid = supervisor.visit("pid", POLICY)
    supervisor._connection.send((99, "visit", ("good", POLICY, None)))
    supervisor._connection.poll(20.0)
    assert supervisor.visit("pid", POLICY) == Failed("its process answered question 99 when it was asked 2")
    assert not is_alive(pid)
    assert supervisor.visit("good", POLICY) == GOOD


def test_a_machine_that_cannot_be_watched_is_told_in_a_line():
    supervisor = Supervisor("as-is", None, case_timeout=5.0, worker="tests.no_such_worker")
    with pytest.raises(SupervisorError, match=r"cannot be watched: .*No module named"):
        supervisor.watch()
    assert "No module named" in supervisor.visit("good", POLICY).reason


@pytest.mark.parametrize(
    ("code", "words"),
    [(3, "ended with status 3"), (-9, "died of SIGKILL"), (-40, "died of signal 40")],
)
def test_every_end_has_words(code, words):
    assert how_it_ended(code) == words


def test_a_process_that_cannot_start_is_told_in_a_line():
    supervisor = Supervisor("as-is", None, case_timeout=5.0, worker="tests.no_such_worker")
    with pytest.raises(SupervisorError, match=r"cannot start: .*No module named .?tests.no_such_worker"):
        supervisor.describe()


def test_the_measuring_process_ends_with_the_one_that_asks():
    script = (
        "import os, signal\n"
        "from mnv1.measure.supervisor import Supervisor\n"
        "supervisor = Supervisor('as-is', None, 5.0, 'tests.faulty_worker')\n"
        "print(supervisor.describe().environment['pid'], flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    pid = int(done.stdout)
    for _ in range(100):
        if not is_alive(pid):
            return
        time.sleep(0.05)
    os.kill(pid, 9)
    pytest.fail("the measuring process outlived its parent")


def test_the_reason_is_one_line():
    assert reason(MemoryError()) == "out of memory"
    assert (
        reason(RuntimeError("\n CUDA out of memory. Tried to\nmore")) == "out of memory: CUDA out of memory. Tried to"
    )
    assert reason(KeyError("x")) == "KeyError: 'x'"
