"""The page about hidden states: made-up readings, golden text."""

from mnv1.report.over_time import draw, names, readings_of, table

READINGS = [
    [visit, 0.3 * visit, message, 4e-3 * (1 + 0.01 * (visit % 3)), 4e-3 / speedup, state]
    for visit in range(30)
    for message, speedup, state in (
        [(1.0e-7, 4.0, "CPUs share a cache")] * 2
        if visit < 18
        else [(2.9e-7, 2.5, "CPUs apart"), (2.8e-7, 2.5, "CPUs apart" if visit > 18 else "")]
    )
]


def test_the_states_stand_in_a_table():
    readings = readings_of({"readings": READINGS})
    assert names(readings) == ["CPUs share a cache", "CPUs apart"]
    assert table(readings).splitlines() == [
        "| state | share of the rounds | message | separable | speedup (middle half) | rounds |",
        "|:--|--:|--:|--:|--:|--:|",
        "| CPUs share a cache | 60% | 100 ns | 1.00 ms | 4.04× (4.00 to 4.08) | 36 |",
        "| CPUs apart | 38% | 290 ns | 1.60 ms | 2.52× (2.50 to 2.55) | 23 |",
    ]


def test_both_panels_show_every_reading():
    figure = draw(readings_of({"readings": READINGS}), "block")
    above, below = figure.axes
    assert sum(len(one.get_offsets()) for one in above.collections) == len(READINGS)
    assert sum(len(one.get_offsets()) for one in below.collections) == len(READINGS)
    said = [text.get_text() for text in figure.legends[0].get_texts()]
    assert said == ["CPUs share a cache", "CPUs apart", "on a change"]
