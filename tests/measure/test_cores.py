"""Messages between CPUs: real processes, but nothing asserts on how long they take."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mnv1.measure.cores import CoreWatch, Messages, claimed_shared_cache, cpus_in_use, describe, spread
from mnv1.measure.states import LOST

CPUS = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def is_alive(pid):
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()  # a zombie only waits to be counted
    except OSError:
        return False


needs_two = pytest.mark.skipif(len(CPUS) < 2, reason="needs two CPUs to which processes can be bound")


@pytest.fixture
def messages():
    found = Messages()
    yield found
    found.close()


@needs_two
def test_a_message_takes_longer_than_the_interpreters_share(messages):
    assert messages.own > 0
    assert any(messages.read(CPUS[0], CPUS[1]) > 0 for _ in range(20))  # on a busy machine one may be lost


@needs_two
def test_readings_are_numbered_over_and_over(messages):
    found = [messages.read(CPUS[0], CPUS[1]) for _ in range(250)]
    assert any(seconds > 0 for seconds in found[-20:])  # on a busy machine one may be lost


@needs_two
def test_a_cpu_that_cannot_be_used_gives_no_reading(messages):
    assert math.isnan(messages.read(CPUS[0], 100_000))
    assert any(messages.read(CPUS[0], CPUS[1]) > 0 for _ in range(20))  # and the next one is there again


@needs_two
def test_a_message_that_is_lost_is_the_only_one(messages):
    messages._processes[1].send_signal(signal.SIGSTOP)
    assert math.isnan(messages.read(CPUS[0], CPUS[1]))
    messages._processes[1].send_signal(signal.SIGCONT)  # and still has an order that nobody waits for
    assert any(messages.read(CPUS[0], CPUS[1]) > 0 for _ in range(20))


@needs_two
def test_an_end_that_died_gives_no_reading(messages):
    messages._processes[0].kill()
    messages._processes[0].wait()
    assert math.isnan(messages.read(CPUS[0], CPUS[1]))


@needs_two
def test_both_ends_leave_with_whoever_asks():
    code = (
        "from mnv1.measure.cores import Messages\n"
        "import os\n"
        "found = Messages()\n"
        "print(*(one.pid for one in found._processes), flush=True)\n"
        "os._exit(0)\n"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    pids = list(map(int, said.split()))
    assert len(pids) == 2
    for _ in range(1000):
        if not any(map(is_alive, pids)):
            return
        time.sleep(0.01)
    pytest.fail(f"of the ends {pids} one is still there")


@needs_two
def test_what_is_known_of_the_cpus_before_the_first_case(messages):
    facts = describe(messages, CPUS[:2])
    ((one, other, seconds),) = facts["message_pairs"]
    assert (one, other) == tuple(CPUS[:2])
    assert seconds is None or seconds > 0
    assert CoreWatch(messages, CPUS[:2]).look() > 0


@needs_two
def test_a_lost_message_says_so(messages):
    watch = CoreWatch(messages, CPUS[:2])
    messages._processes[0].kill()
    messages._processes[0].wait()
    assert watch.look() == LOST


def test_threads_that_are_bound_are_found():
    code = (
        "import os, sys\n"
        "from mnv1.measure.cores import cpus_in_use\n"
        "print(cpus_in_use() if len(os.sched_getaffinity(0)) > 1 else [])\n"
        "from mnv1.measure.state import prepare\n"
        "prepare('controlled')\n"
        "import torch\n"
        "torch.ones(2**20).add(1)\n"
        "print(cpus_in_use())\n"
        "print(torch.get_num_threads())\n"
    )
    if not CPUS:
        pytest.skip("threads cannot be bound here")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OMP_")}
    command = [sys.executable, "-c", code]
    said = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    before, after, threads = map(json.loads, said.stdout.splitlines())
    assert before == []
    assert len(after) == threads
    assert set(after) <= set(CPUS)


def test_this_process_is_not_bound():
    assert cpus_in_use() == [] or len(CPUS) < 2


def test_what_the_system_says_of_caches(tmp_path):
    for index, (level, cpus) in enumerate((("1", "0"), ("3", "0-3,8"))):
        folder = tmp_path / "cpu0" / "cache" / f"index{index}"
        folder.mkdir(parents=True)
        (folder / "level").write_text(f"{level}\n")
        (folder / "shared_cpu_list").write_text(f"{cpus}\n")
    assert claimed_shared_cache([0, 3, 8], tmp_path) is True
    assert claimed_shared_cache([0, 4], tmp_path) is False
    assert claimed_shared_cache([1, 2], tmp_path) is None


def test_of_many_cpus_some_are_read():
    assert spread([1, 2, 3], 7) == [1, 2, 3]
    assert spread(list(range(1, 64)), 7) == [1, 10, 19, 28, 37, 46, 55]
    assert spread([], 7) == []
