"""A comparison in a terminal and on the page of a CI job: golden text from known times."""

import pytest

from mnv1.regression.comparison import Comparison
from mnv1.regression.hints import Hint, text_of
from mnv1.regression.report import summary, text_report, title_of
from mnv1.regression.sides import Side
from mnv1.regression.verdicts import Rules, suite_effect
from tests.simulated_pairs import judge

SAME = [0.004, -0.003, 0.002, -0.001, 0.003, -0.004, 0.001, -0.002]
SLOW = [0.052, 0.049, 0.051, 0.050, 0.048, 0.053, 0.050, 0.047]


def known():
    found = Comparison(Rules(), wall_time=221.0)
    found.ratios = {"layer-a": SAME, "layer-b": SLOW, "model-c": [0.1, -0.1] * 4}
    found.verdicts = {name: judge(ratios, Rules(), 3) for name, ratios in found.ratios.items()}
    found.controls = {"gemm": SAME}
    by_pair = [dict(zip(found.ratios, one, strict=True)) for one in zip(*found.ratios.values(), strict=True)]
    found.suite = suite_effect(by_pair, Rules())
    found.exact = {"model-c": {"peak_memory": (2**20, 2**21), "operators": (1083, 1084)}}
    found.failed = {"layer-d": "base: AttributeError: no conv_dw"}
    return found


TEXT = """\
head bbbb against base aaaa; some-machine

case     verdict    effect [95 %]              detectable    pairs    why
-------  ---------  -------------------------  ------------  -------  ------------------------------------
layer-b  SLOWER     +5.1 % [+4.8 %, +5.4 %]    +0.5 %        8        beyond chance (p ≤ 2e-04) and by 1.5 % or more
model-c  UNDECIDED  +0.0 % [-13.9 %, +16.1 %]  +31.7 %       8        no difference found, and no equality shown
layer-a  SAME       +0.0 % [-0.4 %, +0.4 %]    +0.8 %        8        equal within ±3 %

model-c: MORE MEMORY, peak memory 1.00 MiB → 2.00 MiB (exact)
model-c: operators 1,083 → 1,084 (exact)
layer-d: not compared, base: AttributeError: no conv_dw
all cases together: +1.7 % [-3.4 %, +7.0 %]
control gemm: +0.0 % [-0.2 %, +0.2 %]
result: a regression (1 SLOWER, 1 SAME, 1 UNDECIDED; 3:41 min)"""


def words(text):
    """Columns are as wide as what is in them: compare what is said, line by line."""
    return [line.split() for line in text.splitlines() if set(line) - set("- ")]


def test_what_a_terminal_shows():
    assert words(text_report(known(), "head bbbb against base aaaa; some-machine")) == words(TEXT)


def test_a_summary_begins_with_the_result_and_stays_short():
    text = summary(known(), "head bbbb against base aaaa", limit=1)
    assert text.startswith("## A regression\n\nhead bbbb against base aaaa\n")
    assert "| layer-b | SLOWER" in text
    assert "| layer-a" not in text
    assert "and 2 more, SAME" in text
    assert "- result: a regression (" in text


def test_what_is_slower_is_told_in_the_last_column():
    found = known()
    found.hints = {"layer-b": Hint("aten::copy_", "operators", 0.031, 0.052, (2.0, 14.0))}
    told = "aten::copy_: +3 to +5 % of a call, 2 → 14 a call"
    lines = text_report(found, "m").splitlines()
    assert lines[2].endswith("what is slower (a hint)")
    assert lines[4].endswith(told)
    assert f"| {told} |" in summary(found, "m")


@pytest.mark.parametrize(
    ("hint", "text"),
    [
        (None, "no part stands out"),
        (Hint("parse (a.py)", "functions", 0.04, 0.1), "parse (a.py): +4 to +10 % of a call"),
        (Hint("aten::add", "operators", -0.01, 0.1, (1.0, 2.0)), "aten::add: time unclear, 1 → 2 a call"),
    ],
)
def test_hints_in_words(hint, text):
    assert text_of(hint) == text


def test_unlike_torches_are_named(tmp_path):
    sides = [Side(name, revision * 40, tmp_path, "python") for name, revision in (("base", "a"), ("head", "b"))]
    same = {"base": {"torch": "2.15"}, "head": {"torch": "2.15"}}
    assert title_of(sides, same, "m") == f"head {'b' * 12} against base {'a' * 12}; m"
    unlike = {"base": {"torch": "2.14"}, "head": {"torch": "2.15"}}
    assert title_of(sides, unlike, "m") == f"head {'b' * 12} (torch 2.15) against base {'a' * 12} (torch 2.14); m"


def test_states_of_the_machine_are_told_where_they_were_read():
    found = known()
    found.states, found.taken_again = {"CPUs apart": 0.25, "CPUs share a cache": 0.75}, 3
    line = (
        "blocks by state of the machine: 25.0 % CPUs apart, 75.0 % CPUs share a cache; 3 were taken again on a change"
    )
    assert line in text_report(found, "m").splitlines()
    assert f"- {line}" in summary(found, "m").splitlines()
