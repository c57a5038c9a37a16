import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mnv1.regression.stored import StoredError, append_line, read, read_ledger, to_confirm, write
from tests.simulated_pairs import CASES, entry


def test_a_comparison_comes_back_as_it_was_stored(tmp_path):
    content = entry()
    path = tmp_path / "new" / "one.json"
    write(path, content)
    assert read(path) == json.loads(json.dumps(content))
    assert list(path.parent.iterdir()) == [path]
    for seed in (1, 2):
        append_line(tmp_path / "ledger.jsonl", entry(seed))
    assert [one["ratios"] for one in read_ledger(tmp_path / "ledger.jsonl")] == [
        entry(seed)["ratios"] for seed in (1, 2)
    ]


def test_raw_samples_give_the_stored_ratios():
    from mnv1.regression.pairs import log_ratio

    content = entry()
    raw = [one for one in content["raw"] if one["case"] == "case-0"]
    assert [log_ratio(one["blocks"]) for one in raw] == content["ratios"]["case-0"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", r"damaged or truncated JSON \(.*\); restore or delete the file$"),
        ("[]", r"not a stored comparison: make one with python -m mnv1.regression --json$"),
        ('{"schema": 99, "verdicts": {}}', r"layout 99, this version reads 2"),
    ],
)
def test_damaged_files(tmp_path, content, message):
    path = tmp_path / "one.json"
    path.write_text(content)
    with pytest.raises(StoredError, match=rf"^{path}: {message}"):
        read(path)


def test_a_damaged_line_of_a_ledger_is_named(tmp_path):
    path = tmp_path / "ledger.jsonl"
    append_line(path, entry())
    with path.open("a") as file:
        file.write('{"schema": 2, "verd')
    with pytest.raises(StoredError, match=r"ledger.jsonl, line 2: damaged or truncated JSON"):
        read_ledger(path)


def test_missing_empty_binary_and_unwritable(tmp_path):
    with pytest.raises(StoredError, match="no such file"):
        read(tmp_path / "none.json")
    (tmp_path / "empty").write_text("")
    with pytest.raises(StoredError, match="the ledger is empty: add runs with"):
        read_ledger(tmp_path / "empty")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(StoredError, match="it is not UTF-8 text"):
        read(tmp_path / "binary")
    for store in (write, append_line):
        with pytest.raises(StoredError, match=r"cannot be written: (Not a directory|File exists)"):
            store(tmp_path / "empty" / "one.json", {})


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
def test_nothing_but_one_error_comes_of_garbage(tmp_path, content):
    path = tmp_path / "garbage"
    path.write_bytes(content)
    for reader in (read, read_ledger):
        with pytest.raises(StoredError):
            reader(path)


def test_what_another_machine_should_confirm():
    assert to_confirm(entry()) == []
    assert to_confirm(entry(slower={"case-3": 0.05})) == ["case-3"]
    assert set(to_confirm(entry(head_facts={"peak_memory": 2000}))) == set(CASES)
    uniform = entry(slower=dict.fromkeys(CASES, 0.013), spread=0.005)
    assert set(to_confirm(uniform)) == set(CASES)
