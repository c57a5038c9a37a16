"""Which rounds of a ladder count, by made-up messages between CPUs: no process, no clock."""

import json
import math
from itertools import count

import pytest

from mnv1.ladder.climb import FEWEST_ROUNDS, PRECISE_ROUNDS, climb
from mnv1.ladder.counted import Around, counted
from mnv1.ladder.report import findings_markdown, markdown, state_line
from mnv1.ladder.rows import rows_of
from mnv1.ladder.stored import document, from_document
from mnv1.measure.states import APART, MIXED, SHARED
from tests.ladder.test_find_fastest import findings_ladder
from tests.ladder.test_ladder import SECONDS, Process, climbed, ladder_of, some_rungs

OWN = 80e-9
NEAR, DISTANT, CHANGE = (110e-9, 112e-9), (290e-9, 295e-9), (110e-9, 295e-9)


def around_of(*rounds):
    """What was read around rounds, as the shortest and the longest message of each."""
    readings = iter([seconds for ends in rounds for seconds in ends])
    around = Around(lambda: next(readings), OWN)
    for ends in rounds:
        for _ in ends:
            around.look()
        around.end_round()
    return around


def counted_of(*rounds):
    around = around_of(*rounds)
    return counted(len(rounds), around.rounds, around.states)


def test_rounds_of_the_nearest_state_that_has_enough_count():
    found = counted_of(*[DISTANT] * 20, *[NEAR] * FEWEST_ROUNDS)
    assert (found.state, found.places, found.of) == (SHARED, tuple(range(20, 28)), 28)
    found = counted_of(*[NEAR] * (FEWEST_ROUNDS - 1), *[DISTANT] * 20)
    assert (found.state, found.places) == (APART, tuple(range(7, 27)))


def test_rounds_on_a_change_do_not_count():
    found = counted_of(*[NEAR, CHANGE] * FEWEST_ROUNDS, *[DISTANT] * 3)
    assert (found.state, found.places) == (SHARED, tuple(range(0, 16, 2)))


def test_all_rounds_count_where_no_state_has_enough():
    found = counted_of(*[NEAR, CHANGE, DISTANT] * 5)
    assert (found.state, found.places) == (MIXED, tuple(range(15)))


def test_all_rounds_count_where_no_message_was_read():
    assert counted_of(*[(math.nan,)] * 10).state == ""
    assert counted(10, [], []).places == tuple(range(10))


def test_a_round_without_a_reading_is_in_no_state():
    found = counted_of(*[NEAR] * 9, (math.nan,), (math.nan, *NEAR))
    assert found.places == (*range(9), 10)


def test_many_readings_a_round_are_one_state_though_the_shortest_and_the_longest_lie_apart():
    spread = [100e-9 * 1.03**step for step in range(15)]
    assert counted_of(*[spread] * 10).places == tuple(range(10))


class Turning(Process):
    """A rung's process that takes longer where CPUs are apart, unlike others."""

    def __init__(self, seconds, machine):
        super().__init__(seconds)
        self.machine = machine

    def block(self):
        return super().block() * (1.5 if self.machine["apart"] else 1.0)


def turning(turns):
    """A ladder of two rungs on a machine that changes its state before each of so many rounds; and what was read."""
    machine, rounds = {"apart": False}, count()

    def look():
        return 290e-9 if machine["apart"] else 110e-9

    class Watched(Around):
        def end_round(self):
            super().end_round()
            machine["apart"] = next(rounds) < turns and not machine["apart"]

    around, clock = Watched(look, OWN), count(0.0, 0.001)
    processes = iter([Process(0.001), Turning(0.001, machine)])
    rungs = climb(some_rungs(2), lambda _: next(processes), lambda: next(clock), lambda _: None, 1e6, around=around)
    return rungs, around


def test_a_ladder_is_precise_by_the_rounds_that_it_reports():
    rungs, around = turning(turns=10)
    assert len(rungs[0].seconds) == PRECISE_ROUNDS + 5, "five rounds with CPUs apart do not count"
    ladder = ladder_of(rungs, around=around)
    assert ladder.counted.state == SHARED
    assert len(ladder.measured[0].seconds) == len(ladder.counted.places) == PRECISE_ROUNDS
    assert set(ladder.measured[1].seconds) == {0.001}


def test_all_rounds_stay_in_the_file_and_figures_are_of_those_that_count():
    around = around_of(*[NEAR] * 8, DISTANT, DISTANT)
    rungs = climbed(SECONDS)
    for one in rungs[1:]:
        one.seconds[8:] = [5 * seconds for seconds in one.seconds[8:]]
    content = json.loads(json.dumps(document(rungs, {"machine": "test"}, {}, [], "2026-01-02", around=around)))
    assert [len(one["seconds"]) for one in content["rungs"]] == [10] * len(rungs)
    assert content["messages"]["rounds"][7:9] == [list(NEAR), list(DISTANT)]
    assert [state["name"] for state in content["messages"]["states"]] == [SHARED, APART]
    rows = rows_of(from_document(content, "b1"))
    assert set(rows["rounds"]) == {8}
    assert rows.set_index("label").loc["separable, bf16, folded+channels_last", "speedup"] == pytest.approx(2, rel=0.02)


@pytest.mark.parametrize(
    ("rounds", "line"),
    [
        ([NEAR] * 10, f"State of the machine: {SHARED}, in 10 of 10 rounds."),
        (
            [*[DISTANT] * 8, CHANGE, CHANGE],
            f"State of the machine: {APART}, in 8 of 10 rounds; the others met another state or a change, and do not "
            "count.",
        ),
        ([NEAR, DISTANT] * 5, "State of the machine: states mixed; none was met in 8 of 10 rounds, so all count."),
    ],
)
def test_a_report_says_which_state_its_figures_are_of(rounds, line):
    ladder = ladder_of(climbed(SECONDS), around=around_of(*rounds))
    assert state_line(ladder) == line
    text = markdown(ladder, {})
    assert f"\n\n{line}\n\n" in text
    assert "Measured in 10 rounds" in text


def test_a_ladder_without_messages_is_stored_and_told_as_ever():
    plain = document(climbed(SECONDS), {"machine": "test"}, {}, [], "2026-01-02")
    assert "messages" not in plain
    assert document(climbed(SECONDS), {"machine": "test"}, {}, [], "2026-01-02", around=around_of((math.nan,))) == plain
    for text in (markdown(ladder_of(climbed(SECONDS)), {}), findings_markdown(findings_ladder())):
        assert "State of the machine" not in text
