"""What kept memory gains over memory that is handed back, from fixed facts."""

import pytest

from scripts.method.allocator import CONTROLLED, HANDED_BACK, HEADER, SMALL_PAGES, main, rows_of


def side(seconds, state="CPUs apart", system_time=0.0, half=0.02):
    figure = {"latency_p50": seconds, "latency_low": seconds * (1 - half), "latency_high": seconds * (1 + half)}
    return {**figure, "state": state, "states": [figure | {"state": state}], "system_time": system_time, "threads": 2}


def cells(handed_back, **more):
    facts = {CONTROLLED: side(0.1), SMALL_PAGES: side(0.105), HANDED_BACK: handed_back} | more
    return [dict(zip(HEADER, row, strict=True)) for row in rows_of(8, facts)]


@pytest.mark.parametrize(("system_time", "right"), [(0.1, "yes"), (0.01, "no"), (0.25, "no")])
def test_the_kernels_share_of_a_call_predicts_what_keeping_memory_saves(system_time, right):
    small, back = cells(side(0.15, system_time=system_time))
    assert (small["beside"], small["gain [95 %]"], small["predicted"], small["right"]) == (
        SMALL_PAGES,
        "1.05× [1.02, 1.08]",
        "",
        "not predicted",
    )
    assert back["gain [95 %]"] == "1.50× [1.46, 1.54]"
    assert back["saving"] == "33.3 %"
    assert back["right"] == right
    if right == "yes":
        assert back["predicted"] == "1.50×", "0.1 s of the kernel in two threads are 0.05 s of a call"


def test_unlike_states_are_not_compared():
    assert [row["beside"] for row in cells(side(0.15, state="CPUs share a cache"))] == [SMALL_PAGES]


def test_where_no_state_is_read_all_rounds_count():
    unread = [side(seconds, state="") | {"states": []} for seconds in (0.1, 0.105, 0.15)]
    rows = rows_of(1, dict(zip((CONTROLLED, SMALL_PAGES, HANDED_BACK), unread, strict=True)))
    assert [row[1] for row in rows] == ["not read", "not read"]


def test_bad_batch_sizes_are_a_line(capsys):
    assert main(["--batch-sizes", "0"]) == 1
    assert capsys.readouterr().err == "error: --batch-sizes: '0' is not valid; valid values: whole numbers from 1 up\n"
