"""Units, progress, tables and plots: fixed facts in, golden text out, no clock."""

import subprocess
import sys
from dataclasses import replace
from functools import cache
from textwrap import dedent

import pandas as pd
import pytest

from mnv1.report import plots, units
from mnv1.report.cells import CELLS, csv_table, latex_table, text_table
from mnv1.report.progress import Progress, progress_line, visit_line
from mnv1.report.summary import MAX_LINES, summary, verdict_text
from mnv1.report.views import BY_NAME, VIEWS
from mnv1.store.runs import Results, frame
from tests.conftest import (
    every_view,
    everything,
    latency_facts,
    results_of,
    speedup_facts,
    training_facts,
    training_speedup_facts,
)

RESULTS = every_view()


def of(*facts):
    """Results of facts alone: no ceilings, no profiles, no history."""
    return Results(frame(facts))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (units.seconds(0.0173), "17.3 ms"),
        (units.seconds(1.4), "1.40 s"),
        (units.seconds(0.99951), "1.00 s"),
        (units.seconds(0.9994), "999 ms"),
        (units.seconds(279e-6), "279 µs"),
        (units.seconds(5e-9), "0.00500 µs"),
        (units.seconds(float("nan")), "n/a"),
        (units.bytes_(9.1875 * 2**20), "9.19 MiB"),
        (units.bytes_(0), "0 B"),
        (units.macs(568_740_352), "569 M"),
        (units.throughput(57.84), "57.8 img/s"),
        (units.throughput(13_735.6), "13736 img/s"),
        (units.significant(9.996), "10.0"),
        (units.percent(0.0113), "1.1 %"),
        (units.ratio_interval(4.806, 4.699, 4.921), "4.81× [4.70, 4.92]"),
        (units.duration(250), "4:10"),
        (units.duration(59.7), "1:00"),
    ],
)
def test_units(text, expected):
    assert text == expected


def test_progress_line_of_a_case():
    facts = latency_facts(latency=0.0173)
    line = progress_line("[ 12/118]", facts, 250)
    expected = "[ 12/118] model-separable-a1.00-r224-b1-cpu-fp32  17.3 ms ±2.0 %  57.8 img/s  9.19 MiB  eta 4:10"
    assert line == expected


def test_progress_line_of_a_pair():
    line = progress_line("[3/3]", speedup_facts(), 0)
    assert line == "[3/3] speedup-model-a1.00-r224-b1-cpu-fp32  4.00× [3.90, 4.10]  40.0 ms → 10.0 ms  eta 0:00"


def test_progress_lines_of_training_steps():
    line = progress_line("[1/2]", training_facts(latency=0.05, batch_size=8), 0)
    assert line.startswith("[1/2] training-separable-a1.00-r224-b8-cpu-fp32  50.0 ms ±2.0 %  160 img/s  73.5 MiB")
    line = progress_line("[2/2]", training_speedup_facts(), 0)
    assert line == "[2/2] training-speedup-a1.00-r224-b1-cpu-fp32  3.50× [3.41, 3.59]  35.0 ms → 10.0 ms  eta 0:00"


def test_progress_counts_and_knows_what_is_left():
    left = iter([70.0, -3.0, float("inf")])
    progress = Progress(118, lambda: next(left))
    assert (progress.counter, progress.finish(), progress.finish()) == ("[  0/118]", "[  1/118]", "[  2/118]")
    assert [progress.remaining for _ in range(3)] == [70.0, 0.0, float("inf")]  # more than expected is none left


def test_verdict_table():
    facts = [
        speedup_facts(speedup=2.3, batch_size=32, precision="amp", latency=0.3, rounds=6, stopped="time budget"),
        speedup_facts(speedup=4.8, latency=0.0178),
        speedup_facts(speedup=9, shape="a0.50-r224", alpha=0.5),
    ]
    assert verdict_text(of(*facts)) == dedent(
        """\
        How much faster is MobileNetV1 than its standard-convolution twin? (α 1 at 224
        px, cpu)

        precision  batch  standard  separable      speedup [95 %]
        ---------  -----  --------  ---------  ------------------
        fp32           1   85.4 ms    17.8 ms  4.80× [4.68, 4.92]
        amp           32    690 ms     300 ms  2.30× [2.24, 2.36]

        MobileNetV1 (α 1, 224 px) needs 8.56× fewer multiply-accumulates than its
        standard-convolution twin.
        In fp32 it is faster by 4.80× [4.68, 4.92] at batch 1.
        In amp it is faster by 2.30× [2.24, 2.36] at batch 32."""
    )


def test_the_verdict_fits_a_terminal():
    widest = {"speedup": 10.88, "latency": 0.123, "batch_size": 256}
    layer = {"subject": "layer", "shape": "1024x1024-s1-d112"}
    for facts in (everything(), [speedup_facts(**widest), training_speedup_facts(**widest)], [speedup_facts(**layer)]):
        assert max(map(len, verdict_text(results_of(facts)).splitlines())) <= 80


def test_plots_of_speedups_over_any_span_of_time():
    """Warnings are errors here: no interval between ticks suits some spans, such as four hours."""
    view = BY_NAME["history"]
    rows = view.select(RESULTS)
    earlier = rows["time"] < rows["time"].max()
    for span in ("0s", "3s", "100s", "4h", "5h", "28h", "4D", "61D", "130D", "170D", "700D", "4000D"):
        times = rows["time"].where(~earlier, rows["time"].max() - pd.Timedelta(span))
        figure = view.draw(rows.assign(time=times))
        figure.draw_without_rendering()


def test_a_line_joins_speedups_of_one_state_of_the_machine():
    view = BY_NAME["history"]
    rows = view.select(RESULTS)
    assert set(rows["state"]) == {""}
    assert "state" not in text_table(rows, view.columns, {**CELLS, **view.cells}).splitlines()[0]
    labels = view.draw(rows).axes[0].get_legend_handles_labels()[1]
    apart = rows.assign(state="CPUs apart")
    both = view.draw(pd.concat([rows, apart], ignore_index=True)).axes[0].get_legend_handles_labels()[1]
    assert sorted(both) == sorted([*labels, *(f"{label}, CPUs apart" for label in labels)])
    assert "| state " in text_table(apart, view.columns, {**CELLS, **view.cells}).splitlines()[0]


def test_verdict_falls_back_to_layers_and_says_when_there_is_nothing():
    layer = speedup_facts(subject="layer", shape="64x128-s2-d112")
    assert "64x128-s2-d112" in verdict_text(of(layer))
    assert verdict_text(of(latency_facts())).startswith("No standard/separable pair was measured")


def test_verdict_ends_with_training_where_it_was_measured():
    both = verdict_text(of(speedup_facts(speedup=4.8), training_speedup_facts()))
    assert both.index("How much faster is MobileNetV1") < both.index("How much faster is a training step?")
    alone = verdict_text(of(training_speedup_facts(latency=0.1), training_speedup_facts(alpha=0.5, shape="a0.50-r224")))
    title, _, header, _, first, second, _, *finding = alone.splitlines()
    assert title == "How much faster is a training step? (cpu)"
    assert header.split("  ")[-1].strip() == "speedup [95 %]"
    assert " ".join(first.split()) == "1 224 fp32 1 350 ms 100 ms 3.50× [3.41, 3.59]"
    assert second.split()[:3] == ["0.5", "224", "fp32"]
    assert " ".join(finding) == BY_NAME["training_speedup"].finding(
        BY_NAME["training_speedup"].select(of(training_speedup_facts(latency=0.1)))
    )


def test_views_of_inference_are_the_same_with_training_steps_and_without():
    without = results_of(
        [one for one in everything() if "training" not in one["measures"]],
        ("2026-05-01", 2, [one for one in everything() if "training" not in one["measures"]]),
        ("2026-05-03", 1, [one for one in everything() if "training" not in one["measures"]]),
    )
    views = [view for view in VIEWS if not view.name.startswith("training")]
    assert len(views) == len(VIEWS) - 3
    for view in views:
        pd.testing.assert_frame_equal(view.select(RESULTS), view.select(without), check_dtype=False)
    # Nor the other way round.
    alone = results_of([one for one in everything() if "training" in one["measures"]])
    assert all(view.select(alone).empty for view in views)
    for name in ("training_speedup", "training_steps", "training_memory"):
        assert len(BY_NAME[name].select(alone)) == len(BY_NAME[name].select(RESULTS)) > 0


def test_verdict_has_a_table_for_each_device():
    text = verdict_text(of(speedup_facts(), speedup_facts(device="cuda")))
    assert "cpu)" in text
    assert "cuda)" in text


def test_markdown_table_of_a_sweep():
    view = BY_NAME["alpha_sweep"]
    facts = [
        latency_facts(latency=0.010),
        latency_facts(latency=0.006, alpha=0.5, shape="a0.50-r224", macs=149_497_088),
        latency_facts(latency=0.5, batch_size=64),  # a batch size with one width makes no curve
    ]
    table = text_table(view.select(of(*facts)), view.columns, view.every_cell)
    assert [
        [cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if ":" not in line
    ] == [
        ["kind", "α", "px", "precision", "batch", "MACs", "latency", "p90", "p99", "images/s", "rounds", "stopped"],
        ["separable", "1", "224", "fp32", "1", "569 M", "10.0 ms ±2.0 %", "11.0 ms", "", "100", "50", "precise"],
        ["separable", "0.5", "224", "fp32", "1", "149 M", "6.00 ms ±2.0 %", "6.60 ms", "", "167", "50", "precise"],
    ]


def test_percentiles_are_shown_only_where_the_rounds_carry_them():
    view = BY_NAME["layer_times"]
    layer = {"subject": "layer", "shape": "64x128-s2-d112"}
    facts = [latency_facts(**layer, rounds=rounds, batch_size=rounds) for rounds in (9, 10, 100)]
    table = text_table(view.select(of(*facts)), view.columns, view.every_cell)
    cells = [line.split("|") for line in table.splitlines()[2:]]
    assert [(row[7].strip(), row[8].strip()) for row in cells] == [("", ""), ("11.0 ms", ""), ("11.0 ms", "13.0 ms")]


def test_csv_is_in_si_units_and_has_no_empty_columns():
    view = BY_NAME["verdict"]
    lines = csv_table(view.select(of(speedup_facts()))).splitlines()
    row = dict(zip(lines[0].split(","), lines[1].split(","), strict=True))
    assert row["latency_p50"] == "0.01"
    assert row["speedup_low"] == "3.9"
    assert "throughput" not in row


@cache
def figure_of(name):
    """The plot of a view, drawn: once, because it takes long."""
    figure = plots.plot(BY_NAME[name], BY_NAME[name].select(RESULTS))
    figure.draw_without_rendering()
    return figure


def test_rows_are_selected_once_and_no_view_changes_those_of_another():
    part = RESULTS.of_device("cpu")
    assert RESULTS.of_device("cpu") is part
    rows = BY_NAME["verdict"].select(part)
    before = rows.copy(deep=True)
    for view in VIEWS:
        selected = view.select(part)
        view.finding(selected)
        text_table(view.table(selected), view.columns, view.every_cell)
    assert BY_NAME["verdict"].select(part) is rows
    pd.testing.assert_frame_equal(rows, before)


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_every_view_has_rows_a_table_and_a_plot(view):
    rows = view.select(RESULTS)
    assert not rows.empty
    table = view.table(rows)
    assert len(text_table(table, view.columns, view.every_cell).splitlines()) == len(table) + 2
    figure = figure_of(view.name)
    for axes in figure.axes:
        assert axes.has_data()
    assert any(axes.get_ylabel().strip() for axes in figure.axes)
    for legend in (*figure.legends, *(axes.get_legend() for axes in figure.axes if axes.get_legend())):
        labels = [text.get_text() for text in legend.get_texts()]
        assert len(set(labels)) == len(labels)


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_every_view_of_a_run_that_lacks_it_is_empty(view):
    assert view.select(of(latency_facts(kind="shallow", subject="none", rounds=5))).empty


def _shown(axis):
    """Labels of the ticks that are within the view."""
    low, high = sorted(axis.get_view_interval())
    return [tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_text_in_plots_does_not_overlap_or_leave_the_picture(view):
    figure = figure_of(view.name)
    page = figure.bbox
    for axes in figure.axes:
        texts = (*_shown(axes.xaxis), *_shown(axes.yaxis), *axes.texts)
        boxes = [t.get_window_extent() for t in texts if t.get_text() and t.get_visible()]
        for number, box in enumerate(boxes):
            assert page.x0 <= box.x0
            assert box.x1 <= page.x1
            assert not any(box.overlaps(other) for other in boxes[number + 1 :]), axes.get_title("left")


def test_plots_show_the_figures_of_their_rows():
    figure = plots.plot(BY_NAME["verdict"], BY_NAME["verdict"].select(of(speedup_facts(speedup=4.81))))
    (axes,) = figure.axes
    (bar,) = axes.patches
    assert bar.get_height() == 4.81
    assert "4.81×" in [text.get_text() for text in axes.texts]
    assert figure.legends[0].get_texts()[0].get_text() in ("fp32", "ratio of MACs")


def test_rendering_never_imports_torch():
    script = "import sys; import mnv1.report.render, mnv1.store.runs; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_frame_of_nothing_has_all_columns():
    assert isinstance(frame([]), pd.DataFrame)
    assert frame([]).empty


def test_blocks_are_in_the_networks_order_whatever_was_measured_first():
    shapes = [(512, 512, 1, 14), (64, 128, 2, 112), (3, 32, 2, 224), (32, 64, 1, 112), (128, 256, 2, 56)]
    facts = [
        latency_facts(subject="layer", shape=f"{i}x{o}-s{s}-d{d}", in_channels=i, out_channels=o, stride=s, side=d)
        for i, o, s, d in shapes
    ]
    rows = BY_NAME["layer_times"].select(of(*facts))
    expected = ["3x32-s2-d224", "32x64-s1-d112", "64x128-s2-d112", "128x256-s2-d56", "512x512-s1-d14"]
    assert list(rows["shape"]) == expected


def test_bars_of_a_disturbed_machine_are_marked():
    def marks(stopped):
        rows = BY_NAME["verdict"].select(of(speedup_facts(stopped=stopped), speedup_facts(batch_size=8)))
        figure = plots.plot(BY_NAME["verdict"], rows)
        legend = [text.get_text() for text in figure.legends[0].get_texts()]
        return [bar.get_hatch() or "" for bar in figure.axes[0].patches], "on a disturbed machine" in legend

    assert marks("disturbed") == (["///", ""], True)
    assert marks("precise") == (["", ""], False)


def test_first_visit_line():
    assert visit_line("[ 0/13]", "speedup-x", 61) == "[ 0/13] speedup-x  first of its visits  eta 1:01"
    assert visit_line("[ 0/13]", "speedup-x", float("inf")) == "[ 0/13] speedup-x  first of its visits"


def test_progress_line_says_that_a_gpu_was_throttled():
    line = progress_line("[1/1]", latency_facts(throttled="power cap"), 0)
    assert line.endswith("9.19 MiB  throttled: power cap  eta 0:00")


def test_optional_columns_are_shown_where_a_row_has_them():
    columns = ("kind", "process", "reserved", "floor", "visits", "note")
    plain = text_table(frame([latency_facts()]), columns)
    assert plain.splitlines()[0].split("|")[1:-1] == [" kind      "]
    full = latency_facts(
        device="cuda",
        peak_reserved=2**21,
        memory_floor=2**20,
        visits=3,
        launch_bound=True,
        throttled="power cap",
    )
    table = text_table(frame([latency_facts(launch_bound=False, throttled=""), full]), columns).splitlines()
    assert [cell.strip() for cell in table[0].split("|")[1:-1]] == ["kind", "reserved", "floor", "visits", "note"]
    assert [cell.strip() for cell in table[2].split("|")[1:-1]] == ["separable", "", "", "", ""]
    assert [cell.strip() for cell in table[3].split("|")[1:-1]] == [
        "separable",
        "2.00 MiB",
        "1.00 MiB",
        "3",
        "launch-bound, throttled: power cap",
    ]


def test_mostly_disturbed_machines_get_a_sentence_instead_of_marks():
    facts = [speedup_facts(stopped="disturbed"), speedup_facts(batch_size=8, stopped="disturbed")]
    figure = plots.plot(BY_NAME["verdict"], BY_NAME["verdict"].select(of(*facts)))
    assert not any(bar.get_hatch() for bar in figure.axes[0].patches)
    assert "disturbed during most of this run" in summary(results_of(facts), "provenance")
    assert "disturbed during most of this run" not in summary(results_of([speedup_facts()]), "provenance")


def test_a_run_under_a_quota_says_how_often_it_was_throttled():
    run = results_of([speedup_facts()])
    line = "throttled in 294 of 341 periods: the container's CPU quota of 1.5 CPUs cut rounds short; give it whole CPUs"
    told, not_told = (
        summary(replace(run, environment=dict(run.environment) | facts), "provenance")
        for facts in ({"throttling": line}, {})
    )
    assert "Throttled in 294 of 341 periods: the container's CPU quota of 1.5 CPUs cut rounds short; give it" in told
    assert "hrottled" not in not_told


def test_summary_is_markdown_of_under_sixty_lines():
    both = [
        fact | {"device": device, "id": fact["id"].replace("cpu", device)}
        for fact in everything()
        for device in ("cpu", "cuda")
    ]
    text = summary(results_of(both), "Measured by `run`.")
    assert len(text.splitlines()) < MAX_LINES
    assert "### cpu" in text
    assert "### cuda" in text
    assert "| precision" in text


def test_latex_table():
    rows = BY_NAME["verdict"].select(of(speedup_facts(speedup=4.806, visits=48)))
    table = latex_table(rows, ("precision", "batch", "measured speedup [95 %]", "visits"))
    assert [" ".join(line.split()) for line in table.splitlines()] == [
        r"\begin{tabular}{lrrr}",
        r"\toprule",
        r"precision & batch & measured speedup [95 \%] & visits \\",
        r"\midrule",
        r"fp32 & 1 & 4.81$\times$ [4.69, 4.93] & 48 \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_latex_tables_are_plain_ascii(view):
    table = latex_table(view.table(view.select(RESULTS)), view.columns, view.every_cell)
    assert table.isascii()
    assert len({line.count("&") for line in table.splitlines() if line.endswith(r"\\")}) == 1
