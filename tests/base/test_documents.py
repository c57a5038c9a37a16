"""Files of JSON: whatever is wrong is one line."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnv1.base.documents import checked, parsed, read_json
from mnv1.base.errors import UserError


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (None, "no such file"),
        (b"", "the file is empty; what wrote it was cut off, make it again"),
        (b" \n", "the file is empty"),
        (b"\xff\xfe", "cannot be read: it is not UTF-8 text"),
        (b'{"a": 1', "damaged or truncated JSON"),
        (b"[" * 100_000, "damaged or truncated JSON"),
    ],
)
def test_what_cannot_be_read_is_one_line(tmp_path, content, line):
    path = tmp_path / "a.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError) as raised:
        read_json(path, UserError)
    assert str(raised.value).startswith(f"{path}: {line}")
    assert "\n" not in str(raised.value)


@given(st.text())
def test_any_text_is_read_or_refused(text):
    with contextlib.suppress(UserError):  # and no other error
        parsed(text, "it", UserError)


def test_a_document_is_of_a_kind_and_a_layout():
    whole = {"schema": 1, "rungs": []}
    assert checked(whole, "it", UserError, "a ladder", 1, {"rungs"}) is whole
    for other in ([], {"rungs": []}, {"schema": 1}):
        with pytest.raises(UserError, match=r"^it: not a ladder$"):
            checked(other, "it", UserError, "a ladder", 1, {"rungs"})
    with pytest.raises(UserError, match=r"^it: layout 2, this version reads 1; use a matching mnv1$"):
        checked(whole | {"schema": 2}, "it", UserError, "a ladder", 1)
