"""The journal: what was written is read again, whatever a killed process left behind."""

import json
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mnv1.measure.timing import Visit
from mnv1.suite.journal import Journal, JournalError, interrupted, is_running
from tests.conftest import ROOT


@pytest.fixture(autouse=True)
def _no_file_stays_open(monkeypatch):
    opened = []
    init = Journal.__init__

    def remembered(journal, path, file, lock, *rest):
        opened.append((file, lock))
        init(journal, path, file, lock, *rest)

    monkeypatch.setattr(Journal, "__init__", remembered)
    yield
    for file, lock in opened:
        file.close()
        lock.release()


VISIT = Visit(((0.1, 0.2), (0.01, 0.02)), (1, 9), 0.5, (0.3,), {"peak_memory": 7}, ((1e-7, 2e-7),) * 2, (True, False))
HEADER = {"options": {"profile": "smoke"}, "cases": ["a", "b"]}


def written(folder):
    """A closed journal with a visit and a failed case."""
    journal = Journal.begin(folder, HEADER)
    journal.visited("a", VISIT)
    journal.failed("b", "out of memory")
    journal.close(complete=False)
    return journal.path


def test_what_was_written_is_read_again(tmp_path):
    written(tmp_path)
    journal = Journal.resume(tmp_path)
    assert journal.header == HEADER
    assert journal.entries.visits == {"a": [VISIT]}
    assert journal.entries.failed == {"b": "out of memory"}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.builds(
        lambda sides, calls, seconds: Visit(
            tuple(map(tuple, zip(*sides, strict=True))), calls, seconds, messages=tuple(sides)
        ),
        st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e6)), min_size=1, max_size=5),
        st.tuples(st.integers(1, 10**6), st.integers(1, 10**6)),
        st.floats(0, 1e6),
    )
)
def test_visits_go_round(tmp_path_factory, visit):
    folder = tmp_path_factory.mktemp("journal")
    journal = Journal.begin(folder, HEADER)
    journal.visited("a", visit)
    journal.close(complete=False)
    again = Journal.resume(folder)
    again.close(complete=True)
    assert again.entries.visits["a"] == [visit]


def test_every_entry_is_on_disk_at_once(tmp_path):
    journal = Journal.begin(tmp_path, HEADER)
    journal.failed("a", "died")
    assert json.loads(journal.path.read_bytes().splitlines()[-1]) == {"id": "a", "failed": "died"}


@pytest.mark.parametrize("kept", range(0, 60, 7))
def test_a_line_that_was_cut_off_costs_that_line_only(tmp_path, kept):
    path = written(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"id":"c","visit":{"sides":[[0.1,0.2],[0.01,0.02]],"calls"'[:kept])
    journal = Journal.resume(tmp_path)
    journal.failed("c", "died")
    journal.close(complete=False)
    assert path.read_bytes() == whole + b'{"id":"c","failed":"died"}\n'


def test_a_journal_cut_off_in_its_header_is_none(tmp_path):
    path = written(tmp_path)
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(JournalError, match="nothing to resume"):
        Journal.resume(tmp_path)
    assert not path.exists()


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (b"not json\n", "damaged"),
        (b'{"id":"a"}\n', "damaged"),
        (b"[]\n", "damaged"),
        (b'{"id":"a","visit":{}}\n', "damaged"),
        (b'{"id":"a","visit":3}\n', "damaged"),
    ],
)
def test_damage_within_gets_one_clear_line(tmp_path, line, complaint):
    path = written(tmp_path)
    path.write_bytes(path.read_bytes() + line + b'{"id":"a","failed":"died"}\n')
    with pytest.raises(JournalError, match=complaint) as error:
        Journal.resume(tmp_path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_another_format_is_refused(tmp_path):
    path = written(tmp_path)
    path.write_bytes(path.read_bytes().replace(b'"format":2', b'"format":9'))
    with pytest.raises(JournalError, match="another version"):
        Journal.resume(tmp_path)


def test_a_running_sweep_keeps_its_journal(tmp_path):
    journal = Journal.begin(tmp_path, HEADER)
    assert is_running(journal.path)
    with pytest.raises(JournalError, match="nothing to resume"):
        Journal.resume(tmp_path)
    journal.close(complete=False)
    assert not is_running(journal.path)
    assert Journal.resume(tmp_path).path == journal.path


def test_the_newest_is_resumed(tmp_path):
    old = written(tmp_path)
    old.rename(tmp_path / f"2020{old.name[4:]}")
    new = written(tmp_path)
    assert interrupted(tmp_path)[0] == new
    assert Journal.resume(tmp_path).path == new


def test_a_complete_journal_is_removed(tmp_path):
    journal = Journal.begin(tmp_path, HEADER)
    journal.close(complete=True)
    assert interrupted(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_a_closed_journal_leaves_itself_only(tmp_path):
    path = written(tmp_path)
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match="cannot be written"):
        Journal.begin(tmp_path / "file", HEADER)


def test_a_full_disk_is_said_and_loses_nothing(tmp_path, monkeypatch):
    journal = Journal.begin(tmp_path, HEADER)
    journal.failed("a", "died")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mnv1.suite.journal.os.fsync", full)
    with pytest.raises(JournalError, match="No space left on device; free some space and continue with pytest"):
        journal.failed("b", "died")
    journal.close(complete=False)
    assert Journal.resume(tmp_path).entries.failed["a"] == "died"


def test_a_killed_process_leaves_a_journal_that_can_be_continued(tmp_path):
    script = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from mnv1.suite.journal import Journal, is_running\n"
        f"journal = Journal.begin(Path({str(tmp_path)!r}), {HEADER!r})\n"
        "journal.failed('a', 'died')\n"
        "assert is_running(journal.path)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == -9, done.stderr
    (path,) = interrupted(tmp_path)
    assert not is_running(path)
    assert Journal.resume(tmp_path).entries.failed == {"a": "died"}
