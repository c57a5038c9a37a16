"""One measurement at a time: real processes, and locks of the system."""

import json
import os
import signal
import subprocess
import sys

import pytest

from mnv1.measure import lock
from mnv1.measure.lock import FOLDER, HELD, lock_folder, machine_lock
from tests.conftest import ROOT

HOLDING = (
    "import sys\n"
    "from mnv1.measure.lock import machine_lock\n"
    "with machine_lock():\n"
    "    print('held', flush=True)\n"
    "    sys.stdin.read()\n"
)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER, str(tmp_path / "shared"))
    monkeypatch.delenv(HELD, raising=False)
    monkeypatch.setattr(lock, "POLL", 0.01)
    return tmp_path / "shared"


def holding(*arguments):
    """A process that holds the lock until its input ends."""
    return subprocess.Popen(
        [sys.executable, "-c", HOLDING, *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def is_free():
    said = []
    with machine_lock(said.append):
        pass
    return said == []


def test_a_free_lock_says_nothing_and_leaves_no_holder(folder):
    assert is_free()
    assert not (folder / "holder.json").exists()
    assert HELD not in os.environ


def test_the_second_waits_and_says_who_holds_it(folder):
    first = holding("--profile", "a b")
    assert first.stdout.readline() == "held\n"
    said = []

    def tell(line):
        said.append(line)
        if first.poll() is None:
            first.stdin.close()  # the first one ends when the second has begun to wait

    with machine_lock(tell):
        about = json.loads((folder / "holder.json").read_text())
        assert about["pid"] == os.getpid()
    first.wait()
    for end in (first.stdout, first.stderr):
        end.close()
    assert len(said) == 2
    assert said[0].startswith(f"waiting: `-c --profile 'a b'` (process {first.pid} on ")
    assert said[1] == "the machine is free: going on"


def test_a_killed_holder_holds_nothing(folder):
    first = holding()
    first.stdout.readline()
    first.kill()
    first.communicate()
    assert (folder / "holder.json").exists()
    assert is_free()


def test_children_of_the_holder_do_not_wait(folder):
    with machine_lock():
        with machine_lock(pytest.fail):  # nor does the process itself
            pass
        child = holding()
        output, errors = child.communicate(timeout=120)
        assert (output, errors) == ("held\n", "")
        assert json.loads((folder / "holder.json").read_text())["pid"] == os.getpid()
    assert is_free()


def test_who_was_started_by_a_holder_that_is_gone_locks_for_itself(folder, monkeypatch):
    monkeypatch.setenv(HELD, "an old one")
    with machine_lock(pytest.fail):
        assert os.environ[HELD] != "an old one"
        assert (folder / "holder.json").exists()
    assert os.environ[HELD] == "an old one"


def test_ctrl_c_ends_the_wait_in_a_line(monkeypatch):
    first = holding()
    first.stdout.readline()
    said = []
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    monkeypatch.setattr(lock, "_wait", lambda _: signal.raise_signal(signal.SIGINT))
    try:
        with pytest.raises(SystemExit) as left, machine_lock(said.append):
            pytest.fail("it did not wait")
    finally:
        signal.signal(signal.SIGINT, before)
    assert left.value.code == 130
    assert said[-1] == "left: nothing was measured"
    first.communicate()


def test_what_the_body_raises_is_the_bodys():
    with pytest.raises(OSError, match="its own"), machine_lock(pytest.fail):
        raise OSError("its own")
    with machine_lock(), pytest.raises(OSError, match="its own"), machine_lock(pytest.fail):
        raise OSError("its own")
    assert is_free()


def test_where_no_lock_can_be_held_that_is_said(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(FOLDER, str(tmp_path / "file" / "below"))
    said = []
    with machine_lock(said.append):
        said.append("measured")
    assert said[0].startswith(f"warning: no lock can be held in {tmp_path / 'file' / 'below'} (")
    assert said[1:] == ["measured"]


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="no users with numbers here")
def test_every_user_can_take_it(folder):
    with machine_lock():
        assert folder.stat().st_mode & 0o1777 == 0o777  # a sticky one would keep other users' files closed
        assert (folder / "measuring.lock").stat().st_mode & 0o777 == 0o666


def test_the_usual_folder_is_the_machines_and_not_the_users(monkeypatch):
    monkeypatch.delenv(FOLDER)
    monkeypatch.setenv("TMPDIR", "/somewhere/of/a/user")
    assert str(lock_folder()) == "/tmp/mnv1"
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("PROGRAMDATA", "/ProgramData")
    assert str(lock_folder()) == "/ProgramData/mnv1"
