"""Change points in stored runs. Series are drawn from known distributions with fixed seeds: no clock."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnv1.measure.states import APART, MIXED, SHARED
from mnv1.regression.history import changes
from mnv1.regression.history.changes import Rules, Step, exact_steps, find_steps, nominate, split_p_value
from mnv1.regression.history.nominations import boundaries, case_pattern
from mnv1.regression.history.report import picture, text
from mnv1.regression.history.series import TOGETHER, noise, series_of
from mnv1.store.runs import load
from scripts.track_history import main
from tests.conftest import ROOT, everything, latency_facts, results_of, speedup_facts

pytest.importorskip("otava", reason="needs Apache Otava: pip install --no-deps -c constraints.txt apache-otava")

RULES = Rules()
FEW = Rules(orderings=1999)


def commit(number):
    """A revision of twelve hexadecimal digits."""
    return f"{number:012x}"


def table(latencies, speedups=None, environment="machine test-cpu", commits=None, exact=None, states=None):
    """The loader's table of runs on successive days: `latencies` and `speedups` by case id, one value a run."""
    rows = []
    for case, values in {**latencies, **(speedups or {})}.items():
        for day, value in enumerate(values):
            pair = case.startswith("speedup")
            rows.append(
                {
                    "run": f"{day + 1:04d}_a",
                    "time": pd.Timestamp("2026-01-01", tz="UTC") + pd.Timedelta(days=day),
                    "machine": "test-cpu",
                    "environment": environment,
                    "commit": commits[day] if commits else commit(day + 1),
                    "id": case,
                    "measures": "speedup" if pair else "latency",
                    "device": "cpu",
                    "stopped": "precise",
                    "state": states[day] if states else None,
                    "latency_p50": value if not pair else 0.01,
                    "speedup": value if pair else None,
                    "peak_memory": (exact or {}).get(case, [1024] * (day + 1))[day] if not pair else None,
                    "macs": 1000,
                    "params": 100,
                }
            )
    return pd.DataFrame(rows)


def model(number=0, kind="separable"):
    return f"model-{kind}-a1.00-r{128 + number}-b1-cpu-fp32"


def drawn(seed, runs=20, noise_=0.02):
    return 0.01 * np.exp(noise_ * np.random.default_rng(seed).standard_normal(runs))


def test_a_step_of_ten_per_cent_is_found_at_the_right_revision():
    right = 0
    for seed in range(100):
        values = drawn(seed)
        values[12:] *= 1.1
        nominated = nominate(series_of(table({model(): values})), FEW)
        right += [change.first_after.commit for change in nominated] == [commit(13)]
        assert len(nominated) <= 2
        assert any(change.worse for change in nominated) == bool(nominated)
    assert right >= 95


@pytest.mark.parametrize("runs", [12, pytest.param(20, marks=pytest.mark.slow), 60])
@pytest.mark.parametrize(
    "draw",
    [
        lambda random, runs: 0.03 * random.standard_normal(runs),
        lambda random, runs: 0.05 * random.standard_t(3, runs),
        lambda random, runs: np.where(random.random(runs) < 0.3, 0.15, 0) + 0.01 * random.standard_normal(runs),
    ],
    ids=["normal", "long tails", "two modes"],
)
def test_noise_without_a_step_nominates_nothing(draw, runs):
    random = np.random.default_rng(runs)
    nominated = sum(
        bool(nominate(series_of(table({model(): 0.01 * np.exp(draw(random, runs))})), FEW)) for _ in range(100)
    )
    assert nominated <= 5


def test_noise_of_many_cases_together_nominates_nothing_either():
    nominated = 0
    for seed in range(20):
        cases = {model(number): drawn(1000 * seed + number, 20, 0.03) for number in range(40)}
        nominated += bool(nominate(series_of(table(cases)), RULES))
    assert nominated <= 2


def test_guards_drop_most_of_what_otava_alone_would_say():
    """Heavy tails, 400 series: what the guards are for."""
    random = np.random.default_rng(7)
    series = [np.exp(0.05 * random.standard_t(3, 40)) for _ in range(400)]
    alone = sum(bool(changes._proposed(values, RULES)) for values in series)
    guarded = sum(any(step.p <= RULES.p_value for step in find_steps(values, FEW)) for values in series)
    assert alone > 10
    assert guarded < alone / 5


def test_one_odd_run_is_no_step():
    values = drawn(3, 30)
    values[15] *= 2
    assert find_steps(values, RULES) == []


def test_two_steps_and_the_runs_between_them():
    values = drawn(5, 60, 0.01)
    values[20:] *= 1.2
    values[40:] /= 1.1
    assert [(step.start, step.index, step.end) for step in find_steps(values, RULES)] == [(0, 20, 40), (20, 40, 60)]


def test_fewer_runs_than_it_takes_and_constant_series_have_no_steps():
    assert find_steps(np.array([1.0] * 5 + [2.0] * 6), RULES) == []
    assert find_steps(np.ones(30), RULES) == []


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(0.5, 2.0), min_size=8, max_size=20), st.integers(4, 16))
def test_p_is_a_share_and_does_not_depend_on_the_unit(values, place):
    values = np.array(values)
    place = min(place, len(values) - 4)
    rules = Rules(orderings=200)
    p = split_p_value(values, place, rules)
    assert 1 / 201 <= p <= 1
    assert split_p_value(1024 * values, place, rules) == pytest.approx(p, abs=0.03)  # a unit that rounds nothing


def test_p_allows_for_the_search():
    """Of series without a step, the clearest split has p below 5 % in about 5 % of them."""
    rules = Rules(orderings=199)
    below = 0
    for seed in range(400):
        values = drawn(seed, 16)
        logs = np.log(values) - np.log(values).mean()
        left = np.arange(1, 16)
        squares = np.cumsum(logs)[:-1] ** 2 / (left * (16 - left))
        place = 4 + int(np.argmax(squares[3:12]))
        below += split_p_value(values, place, rules) <= 0.05
    assert 0.02 <= below / 400 <= 0.09


def test_exact_measures_need_no_statistics():
    assert exact_steps(np.array([5.0, 5.0, 6.0, 5.0])) == [Step(2, 0, 3), Step(3, 2, 4)]
    memory = {model(): [1024, 1024, 2048]}
    (change,) = nominate(series_of(table({model(): drawn(1, 3)}, exact=memory)), RULES)
    assert (change.series.measure, change.before, change.after, change.worse) == ("peak_memory", 1024, 2048, True)
    assert change.first_after.commit == commit(3)


def test_noise_is_estimated_whatever_steps_there_are():
    values = np.exp(0.02 * np.random.default_rng(2).standard_normal(2000))
    values[700:] *= 3
    assert noise(values) == pytest.approx(0.02, rel=0.1)


def test_what_a_whole_run_has_in_common_is_divided_out_and_watched_by_itself():
    drift = np.exp(0.15 * np.random.default_rng(1).standard_normal(24))
    cases = {model(number): drawn(number, 24) * drift for number in range(20)}
    cases[model(0)][12:] *= 1.1
    series = series_of(table(cases))
    assert all(one.normalised for one in series if one.measure == "latency")
    assert next(one for one in series if one.id == TOGETHER).values == pytest.approx(drift / np.median(drift), rel=0.06)
    (change,) = nominate(series, RULES)
    assert (change.series.id, change.normalised, change.step.index) == (model(0), True, 12)
    assert change.effect == pytest.approx(0.1, abs=0.03)


def test_a_change_that_all_cases_share_is_not_divided_away():
    cases = {model(number): drawn(number, 24) for number in range(20)}
    for number in range(17):
        cases[model(number)][12:] *= 1.2
    nominated = {change.series.id: change for change in nominate(series_of(table(cases)), RULES)}
    assert set(nominated) == {TOGETHER, *(model(number) for number in range(17))}
    assert not any(change.normalised for change in nominated.values())
    assert nominated[model(3)].effect == pytest.approx(0.2, abs=0.03)


def test_cases_that_kept_their_speed_do_not_seem_faster_when_many_others_became_slower():
    cases = {model(number): drawn(number, 40, 0.05) for number in range(40)}
    for number in range(16):
        cases[model(number)][20:] *= 1.2
    nominated = nominate(series_of(table(cases)), RULES)
    assert {change.series.id for change in nominated} <= {TOGETHER, *(model(number) for number in range(16))}
    assert len(nominated) >= 14


def test_too_few_cases_in_every_run_have_nothing_in_common():
    series = series_of(table({model(number): drawn(number) for number in range(7)}))
    assert not any(one.id == TOGETHER or one.normalised for one in series)


def test_unlike_environments_are_never_mixed(store, tmp_path, capsys):
    with pytest.raises(ValueError, match="one environment"):
        series_of(pd.concat([table({model(): drawn(1)}), table({model(): drawn(1)}, environment="other")]))
    for number in range(24):
        # The other torch is 30 % slower: a step, were it one series. Stored in turn, so that both span the same time.
        new = number >= 12
        packages = {"torch": "2.16.0" if new else "2.15.0"}
        facts = [latency_facts(latency=drawn(number, 1)[0] * (1.3 if new else 1))]
        store(facts, f"{number + 1:04d}_r.json", time=f"2026-01-{number + 1:02d}T03:00:00+00:00", packages=packages)
    assert main(["--results", str(tmp_path / "results")]) == 0
    printed = capsys.readouterr().out
    assert printed.count("No change is nominated") == 2
    assert printed.count("12 runs from") == 2


def test_a_pattern_covers_its_cases():
    layer = "layer-separable-64x128-s2-d112-b1-cpu-fp32"
    assert case_pattern([layer]) == "layer-separable-*-cpu-fp32"
    assert case_pattern([layer, model()]) == "*-separable-*-cpu-fp32"
    assert case_pattern([layer, model(kind="standard").replace("fp32", "amp")]) == "*-cpu-*"
    assert case_pattern(["speedup-model-a1.00-r224-b8-cpu-amp"]) == "model-*-cpu-amp"
    assert case_pattern([TOGETHER]) == "*"
    assert case_pattern(["layer-depthwise-64x128-s2-d112-b1-cuda-tf32"]) == "layer-separable-*-cuda-*"


def test_a_pattern_matches_cases_of_the_comparison():
    pytest.importorskip("torch")
    from fnmatch import filter as matching

    from mnv1.base.marks import cases_of
    from mnv1.base.own_files import module_of

    ids = [case.id for case in cases_of(module_of(ROOT / "benchmarks/speed.py"))]
    layer = "layer-pointwise-64x128-s2-d112-b1-cpu-fp32"
    for case in (model(), model(kind="standard"), layer, "speedup-layer-512x512-s1-d14-b8-cpu-amp", TOGETHER):
        assert matching(ids, case_pattern([case])), case


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("aaa", "bbb", "python scripts/compare_revisions.py aaa bbb --cases 'model-separable-*-cpu-fp32'"),
        ("aaa", "bbb+", "--cases 'model-separable-*-cpu-fp32'  # lacks uncommitted changes in 0013_a"),
        ("aaa", "aaa", "revision aaa is on both sides, so look at the machine, and at what runs beside"),
        ("aaa+", "aaa", "what runs beside, and at uncommitted changes in 0012_a"),
        ("unknown", "aaa", "a run was stored without its revision, so there is nothing to compare"),
    ],
)
def test_what_would_confirm_a_change(before, after, expected):
    values = drawn(1)
    values[12:] *= 1.3
    nominated = nominate(series_of(table({model(): values}, commits=[before] * 12 + [after] * 8)), RULES)
    (one,) = boundaries(nominated)
    assert one.suggestion.endswith(expected)


def in_turns(slower_from=99):
    """A case, 30 % slower where CPUs are apart, which they are in every other of 40 runs; and which runs that are."""
    states = [SHARED, APART] * 20
    values = drawn(3, 40, 0.01) * np.where(np.arange(40) % 2, 1.3, 1.0)
    values[slower_from:] *= 1.1
    return values, states


def test_figures_of_unlike_states_are_never_one_series():
    values, states = in_turns()
    of_one = {(one.measure, one.state): one for one in series_of(table({model(): values}, states=states))}
    assert list(of_one["latency", SHARED].values) == list(values[::2])
    assert list(of_one["latency", APART].values) == list(values[1::2])
    assert ("latency", "") not in of_one
    halves = table({model(): np.concatenate([values[::2], values[1::2]])}, states=[*states[::2], *states[1::2]])
    assert nominate(series_of(halves), RULES) == [], "CPUs that came to lie apart are no change of the code"


def test_a_change_is_found_in_each_state_and_told_with_it():
    values, states = in_turns(slower_from=24)
    series = series_of(table({model(): values}, states=states))
    nominated = nominate(series, RULES)
    assert [(change.series.state, change.step.index) for change in nominated] == [(APART, 12), (SHARED, 12)]
    written = text("machine test-cpu", series, nominated, False, RULES)
    assert f"latency, {APART}" in written
    assert f"latency, {SHARED}" in written
    titles = {axes.get_title(loc="left") for axes in picture("History", series, nominated).axes}
    assert titles == {f"{model()}: latency, {APART}", f"{model()}: latency, {SHARED}"}


def test_what_runs_have_in_common_is_of_one_state_too():
    states = [SHARED, APART] * 12
    cases = {model(number): drawn(number, 24) * np.where(np.arange(24) % 2, 1.3, 1.0) for number in range(20)}
    together = [one for one in series_of(table(cases, states=states)) if one.id == TOGETHER]
    assert [one.state for one in together] == [APART, SHARED]
    assert all(one.values == pytest.approx(1, abs=0.05) for one in together)


def test_runs_before_states_were_read_are_a_state_of_their_own():
    values = drawn(3, 24, 0.01)
    values[12:] *= 1.3
    series = series_of(table({model(): values}, states=[None] * 12 + [SHARED] * 12))
    assert {(one.state, len(one.runs)) for one in series if one.measure == "latency"} == {("", 12), (SHARED, 12)}
    assert nominate(series, RULES) == []


def test_a_figure_of_mixed_states_is_in_no_series():
    series = series_of(table({model(): drawn(3, 24)}, states=[SHARED, MIXED] * 12))
    assert {(one.state, len(one.runs)) for one in series if one.measure == "latency"} == {(SHARED, 12)}


def test_exact_measures_are_compared_across_states():
    memory = {model(): [1024] * 10 + [2048] * 10}
    nominated = nominate(series_of(table({model(): drawn(1)}, exact=memory, states=[SHARED, APART] * 10)), RULES)
    assert [(one.series.measure, one.step.index) for one in nominated] == [("peak_memory", 10)]


def golden_series():
    pair = "speedup-model-a1.00-r128-b1-cpu-fp32"
    wave = np.array([0.99, 1.01] * 10)
    latency = 0.01 * wave * np.where(np.arange(20) < 12, 1, 1.2)
    speedup = 4 * wave * np.where(np.arange(20) < 12, 1, 0.8)
    memory = {model(): [2048] * 5 + [1024] * 15}
    return series_of(table({model(): latency}, {pair: speedup}, exact=memory))


@pytest.mark.parametrize("style", ["txt", "md"])
def test_golden_text(style):
    series = golden_series()
    written = text("machine test-cpu", series, nominate(series, RULES), style == "md", RULES) + "\n"
    assert written == (ROOT / "tests" / "baseline" / f"history.{style}").read_text()


def test_a_picture_of_what_changed():
    series = golden_series()
    figure = picture("History", series, nominate(series, RULES))
    assert [axes.get_title(loc="left").split(":")[0] for axes in figure.axes] == [
        model(),
        model(),
        "speedup-model-a1.00-r128-b1-cpu-fp32",
    ]
    assert [len(axes.lines) for axes in figure.axes] == [3, 3, 3]
    assert len(picture("History", series, []).axes) == 1


def stored(store, count, slower_from=99, factor=1.5, **environment):
    for number in range(count):
        facts = [latency_facts(latency=drawn(number, 1)[0] * (factor if number >= slower_from else 1)), speedup_facts()]
        store(facts, f"{number + 1:04d}_r.json", time=f"2026-01-{number + 1:02d}T03:00:00+00:00", **environment)


def test_a_nomination_is_no_failure_unless_asked(store, tmp_path, capsys):
    stored(store, 20, slower_from=12)
    common = ["--results", str(tmp_path / "results")]
    summary, plots = tmp_path / "summary.md", tmp_path / "plots"
    assert main([*common, "--summary", str(summary), "--plot", str(plots)]) == 0
    printed = capsys.readouterr().out
    assert "1 change is nominated" in printed
    assert "0123456789ab is on both sides" in printed
    assert "| case" in summary.read_text()
    assert [path.name for path in plots.iterdir()] == ["test-cpu-1.svg"]
    assert main([*common, "--fail-on-change"]) == 1
    assert main([*common, "--min-change", "80"]) == 0
    assert "No change is nominated" in capsys.readouterr().out.split("1 change is nominated")[-1]


def test_too_few_runs(store, tmp_path, capsys):
    stored(store, 3)
    assert main(["--results", str(tmp_path / "results")]) == 3
    assert "Too few for steps in times: that takes 12." in capsys.readouterr().out


def test_runs_of_several_machines_are_never_mixed(store, tmp_path, capsys):
    stored(store, 12)
    store([latency_facts()], "0001_b.json", machine="other-cpu")
    common = ["--results", str(tmp_path / "results")]
    assert main(common) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "runs of 2 machines (other-cpu, test-cpu): choose one" in error
    assert main([*common, "--machine", "test-cpu"]) == 0
    assert "1 run from" not in capsys.readouterr().out
    assert main([*common, "--every-machine"]) == 0
    assert main([*common, "--machine", "none"]) == 2
    assert "no run of 'none' here" in capsys.readouterr().err


def test_a_damaged_run_is_named_in_a_line_and_the_others_are_searched(store, tmp_path, capsys):
    stored(store, 12)
    damaged = store([latency_facts()], "0099_z.json")
    damaged.write_text("{")
    assert main(["--results", str(tmp_path / "results")]) == 2
    printed = capsys.readouterr()
    assert printed.err.count("\n") == 1
    assert "0099_z.json: damaged or truncated JSON" in printed.err
    assert "12 runs from" in printed.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--results", "nowhere"], "no stored runs here"),
        (["missing.json"], "no such file"),
    ],
)
def test_nothing_to_read(arguments, words, capsys):
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


def test_otava_is_named_where_it_is_missing(store, tmp_path, capsys, monkeypatch):
    stored(store, 12)
    monkeypatch.setitem(__import__("sys").modules, "otava.analysis", None)
    assert main(["--results", str(tmp_path / "results")]) == 2
    error = capsys.readouterr().err
    assert "pip install --no-deps -c constraints.txt apache-otava" in error
    assert error.count("\n") == 1


def test_stored_runs_make_series(store):
    first = store([latency_facts(), speedup_facts()])
    second = store([latency_facts(latency=0.02)], "0002_b.json", time="2026-01-03T00:00:00+00:00")
    series = {(one.id, one.measure): one for one in series_of(load([second, first]))}
    assert list(series[model(96), "latency"].values) == [0.010, 0.020]
    assert [run.name for run in series[model(96), "latency"].runs] == ["0001_a", "0002_b"]
    assert {measure for _, measure in series} == {"latency", "speedup", "peak_memory", "macs", "params"}


def test_training_steps_are_no_part_of_the_series_of_inference():
    cases = results_of(everything()).cases
    inference = cases[~cases["measures"].str.startswith("training")]
    assert len(inference) < len(cases)
    found, expected = ([(one.id, one.measure, *one.values) for one in series_of(table)] for table in (cases, inference))
    assert found == expected
