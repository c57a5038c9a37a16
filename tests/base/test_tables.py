"""Tables of text: alignment, padding, and that nothing in them is read as a number."""

from pathlib import Path

import mnv1
from mnv1.base import tables

HEADER = ("case", "seconds", "note")
ROWS = [("a", "1.50", "1e3"), ("bcd", 12, "")]
LEFT = ("case", "note")


def test_markdown_with_padding_and_without():
    assert tables.markdown(HEADER, ROWS, LEFT).splitlines() == [
        "| case   |   seconds | note   |",
        "|:-------|----------:|:-------|",
        "| a      |      1.50 | 1e3    |",
        "| bcd    |        12 |        |",
    ]
    assert tables.markdown(HEADER, ROWS, LEFT, padded=False).splitlines() == [
        "| case | seconds | note |",
        "|:--|--:|:--|",
        "| a | 1.50 | 1e3 |",
        "| bcd | 12 |  |",
    ]


def test_terminal_with_padding_and_without():
    padded = tables.terminal(HEADER, ROWS, LEFT).splitlines()
    assert padded[0] == "case      seconds  note"
    assert padded[2] == "a            1.50  1e3"
    assert tables.terminal(HEADER, ROWS, LEFT, padded=False).splitlines() == [
        "case  seconds  note",
        "----  -------  ----",
        "a        1.50  1e3",
        "bcd        12",
    ]


def test_latex():
    table = tables.latex(HEADER, ROWS, LEFT)
    assert r"\begin{tabular}{lrl}" in table
    assert r"\toprule" in table


def test_one_module_sets_tables():
    package = Path(mnv1.__file__).parent
    found = [path for path in package.rglob("*.py") if "import tabulate" in path.read_text(encoding="utf8")]
    assert found == [package / "base" / "tables.py"]
