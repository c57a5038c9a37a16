"""Which runs README shows."""

import json

import pytest

from mnv1.store.choice import shown
from mnv1.store.runs import ResultError
from tests.conftest import document, latency_facts


@pytest.fixture
def published(tmp_path):
    def store(machine, name, time):
        path = tmp_path / machine / "Linux-CPython-3.11-64bit" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document([latency_facts()], machine=machine, time=time)))
        return path

    return tmp_path, store


def test_the_machine_with_most_runs_is_shown_by_its_newest(published):
    folder, store = published
    store("known", "0001_a.json", "2026-01-01T00:00:00+00:00")
    newest = store("known", "0002_b.json", "2026-01-02T00:00:00+00:00")
    store("other", "0001_c.json", "2026-01-03T00:00:00+00:00")
    assert shown(folder) == ([newest], [])


def test_of_machines_with_as_many_the_newest_run_is_shown(published):
    folder, store = published
    store("known", "0001_a.json", "2026-01-01T00:00:00+00:00")
    newest = store("other", "0001_c.json", "2026-01-03T00:00:00+00:00")
    assert shown(folder) == ([newest], [])


def test_nothing_published(tmp_path):
    with pytest.raises(ResultError):
        shown(tmp_path)
