"""A comparison in a terminal and on the page of a CI job: golden text from known times."""

from mnv1.regression.comparison import Comparison
from mnv1.regression.report import summary, text_report, title_of
from mnv1.regression.sides import Side
from mnv1.regression.verdicts import Rules, judge, suite_effect

SAME = [0.004, -0.003, 0.002, -0.001, 0.003, -0.004, 0.001, -0.002]
SLOW = [0.052, 0.049, 0.051, 0.050, 0.048, 0.053, 0.050, 0.047]


def known():
    found = Comparison(Rules(), wall_time=221.0)
    found.first = {"layer-a": SAME, "layer-b": SLOW, "model-c": [0.1, -0.1] * 4}
    found.second = {"layer-b": SLOW}
    found.verdicts = {name: judge(first, found.second.get(name), Rules()) for name, first in found.first.items()}
    found.controls = {"gemm": SAME}
    found.suite = suite_effect(found.first, Rules())
    found.exact = {"model-c": {"peak_memory": (2**20, 2**21), "operators": (1083, 1084)}}
    found.failed = {"layer-d": "base: AttributeError: no conv_dw"}
    return found


TEXT = """\
head bbbb against base aaaa; some-machine

case     verdict    effect [95 %]              detectable    pairs    why
-------  ---------  -------------------------  ------------  -------  ------------------------------------
layer-b  SLOWER     +5.1 % [+5.0 %, +5.3 %]    +0.3 %        8        confirmed by new processes
model-c  UNDECIDED  +0.0 % [-8.5 %, +9.3 %]    +15.9 %       8        no difference found, and no equality shown
layer-a  SAME       +0.0 % [-0.2 %, +0.2 %]    +0.4 %        8        90 % interval within ±5 %

model-c: MORE MEMORY, peak memory 1.00 MiB → 2.00 MiB (exact)
model-c: operators 1,083 → 1,084 (exact)
layer-d: not compared, base: AttributeError: no conv_dw
all cases together: +1.7 % [-1.4 %, +4.8 %]
control gemm: +0.0 % [-0.2 %, +0.2 %]
result: a confirmed regression (1 SLOWER, 1 SAME, 1 UNDECIDED; 3:41 min)"""


def words(text):
    """Columns are as wide as what is in them: compare what is said, line by line."""
    return [line.split() for line in text.splitlines() if set(line) - set("- ")]


def test_what_a_terminal_shows():
    assert words(text_report(known(), "head bbbb against base aaaa; some-machine")) == words(TEXT)


def test_a_summary_begins_with_the_result_and_stays_short():
    text = summary(known(), "head bbbb against base aaaa", limit=1)
    assert text.startswith("## A confirmed regression\n\nhead bbbb against base aaaa\n")
    assert "| layer-b | SLOWER" in text
    assert "| layer-a" not in text
    assert "and 2 more, SAME" in text
    assert "- result: a confirmed regression (" in text


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
