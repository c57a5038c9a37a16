"""Seconds of a call by cause, from kernels that ran; what follows for a mode; and what is advised."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnv1.report.attribution import (
    CAUSES,
    CONVERSIONS,
    DENSE,
    DEPTHWISE,
    PASSES,
    UNEXPLAINED,
    causes_of,
    predicted_time,
    ran_in,
)
from mnv1.report.gains import gains_of
from mnv1.report.views import BY_NAME
from mnv1.report.views.why import steps
from mnv1.report.why import excess_of
from scripts.method import causes
from tests.conftest import (
    ceiling,
    everything,
    gain_facts,
    latency_facts,
    profiled,
    results_of,
    speedup_facts,
    traced,
)

ENDLESS = [ceiling("gemm", 1e18, precision="fp32"), ceiling("copy beyond cache", 1e18)]

KERNELS = {"pointwise": 2e-3, "depthwise": 1e-3, "images": 1.5e-3, "weights": 0.5e-3}
OPERATORS = profiled(pointwise=1e-3, batch_norm=2e-3, activation=1e-3, linear=0.5e-3, other=0.5e-3)


def ran(ceilings=ENDLESS, kernels=KERNELS, operators=OPERATORS, empty=0.0, **more):
    """What ran in a call of 10 ms."""
    operators = [one | {"empty": empty} for one in operators]
    facts = latency_facts(operators=operators, **({"dispatch_time": 1e-3} | traced(0.010, **kernels) | more))
    results = results_of([facts], ceilings=ceilings)
    return ran_in(results.cases.iloc[0], results)


def test_every_cause_has_what_ran_for_it():
    found = causes_of(ran(), 0.010)
    assert found[DENSE] == pytest.approx(2.5e-3)  # with the fully connected layer
    assert found[DEPTHWISE] == pytest.approx(1e-3)
    assert found[CONVERSIONS] == pytest.approx(2e-3)
    assert found[PASSES] == pytest.approx(3.5e-3)
    assert found["dispatch"] == pytest.approx(1e-3)
    assert found[UNEXPLAINED] == pytest.approx(0, abs=1e-9)
    assert set(found) <= set(CAUSES)


def test_casts_of_the_library_and_of_torch_are_two():
    cast = profiled(cast=1e-3)
    assert ran(kernels=KERNELS | {"cast": 2e-3}, operators=cast).busy("cast") == pytest.approx(3e-3)
    assert ran(kernels=KERNELS, operators=cast).busy("cast") == pytest.approx(1e-3)
    linear = profiled(linear=1e-3)  # one and the same, by both
    assert ran(kernels=KERNELS | {"linear": 2e-3}, operators=linear).busy("linear") == pytest.approx(2e-3)


def test_dispatch_is_no_part_of_a_pass():
    found = causes_of(ran(empty=0.25e-3), 0.010)
    assert found[PASSES] == pytest.approx(3.5e-3 - 3 * 0.25e-3)


def test_dispatch_within_convolutions_is_dispatch_but_not_of_a_pass():
    within = ran(empty=0.25e-3, dispatch_within=0.5e-3)
    found = causes_of(within, 0.010)
    assert found["dispatch"] == pytest.approx(1.5e-3)
    assert sum(found.values()) == pytest.approx(0.010)
    assert within.dispatch_of("batch_norm") == pytest.approx(1e-3 / 5)
    assert ran(empty=0.25e-3).dispatch == pytest.approx(1e-3), "of runs of earlier revisions it is not known"


def test_shares_are_of_the_call_beside_the_trace():
    usual, twice = causes_of(ran(), 0.010), causes_of(ran(), 0.020)
    assert {name: 2 * seconds for name, seconds in usual.items()} == pytest.approx(twice, abs=1e-8)


def test_roofs_are_apart_from_what_kernels_take_beyond_them():
    found = causes_of(ran([ceiling("gemm", 568.7e9, precision="fp32"), ceiling("copy beyond cache", 1e18)]), 0.010)
    assert found["compute"] == pytest.approx(1e-3, rel=0.01)  # 569 M multiply-accumulates
    assert found["compute"] + found[DENSE] + found[DEPTHWISE] == pytest.approx(3.5e-3)


def test_kernels_above_a_roof_are_at_the_roof():
    found = causes_of(ran([ceiling("gemm", 1e9, precision="fp32"), ceiling("copy beyond cache", 1e18)]), 0.010)
    assert found["compute"] == pytest.approx(3.5e-3)
    assert found[DENSE] == pytest.approx(0, abs=1e-12)


def test_mapping_memory_is_within_kernels():
    found = causes_of(ran(system_time=0.002), 0.010)  # of two threads
    assert found["allocator"] == pytest.approx(1e-3)
    assert sum(found[name] for name in (DENSE, DEPTHWISE, CONVERSIONS, PASSES)) == pytest.approx(8e-3)


@given(
    st.dictionaries(
        st.sampled_from(["pointwise", "depthwise", "images", "weights", "cast"]), st.floats(0, 1), min_size=1
    ),
    st.floats(1e-6, 10),
    st.floats(0, 1),
)
def test_causes_add_up(kernels, time, dispatch):
    found = causes_of(
        ran(
            [ceiling("gemm", 1e11, precision="fp32"), ceiling("copy beyond cache", 1e10)],
            kernels,
            dispatch_time=dispatch,
        ),
        time,
    )
    assert sum(found.values()) == pytest.approx(time, abs=1e-9)


def test_without_a_trace_operators_have_to_do():
    facts = latency_facts(operators=profiled(pointwise=0.9, between=0.1))
    results = results_of([facts], ceilings=ENDLESS)
    found = causes_of(ran_in(results.cases.iloc[0], results), 0.010)
    assert found["dispatch"] == pytest.approx(1e-3)
    assert found["kernels"] == pytest.approx(9e-3)
    assert UNEXPLAINED not in found


def pair_of(standard, separable):
    facts = [
        latency_facts(kind="standard", latency=0.020, operators=profiled(standard=0.016, linear=5e-4), **standard),
        latency_facts(latency=0.010, operators=OPERATORS, **separable),
        speedup_facts(speedup=2.0, latency=0.010, macs_ratio=8.0),
    ]
    results = results_of(facts, ceilings=ENDLESS)
    return results.cases.iloc[2], results


def test_excess_and_waterfall_are_by_what_ran():
    pair, results = pair_of(traced(0.020, standard=18e-3, weights=2e-3), traced(0.010, **KERNELS))
    excess = excess_of(pair, results)
    assert excess.total == pytest.approx(0.010 - 0.020 / 8)
    assert excess.causes[CONVERSIONS] == pytest.approx(2e-3 - 2e-3 / 8)
    assert excess.causes[DENSE] == pytest.approx(2e-3 - 18e-3 / 8 + 0.5e-3 - 0.5e-3 / 8)
    (row,) = BY_NAME["why"].select(results).to_dict("records")
    found = steps(pd.Series(row))
    assert found[0] == ("MAC ratio", 8.0)
    assert found[-1][1] == pytest.approx(2.0)
    assert CONVERSIONS in dict(found)


def test_a_trace_of_one_side_alone_tells_nothing():
    pair, results = pair_of({}, traced(0.010, **KERNELS))
    assert excess_of(pair, results) is None


# What modes gain.


def test_the_views_shares_are_those_of_the_causes():
    ceilings = [ceiling("gemm", 1e12, precision="fp32"), ceiling("copy beyond cache", 1e18)]
    facts = latency_facts(operators=OPERATORS, dispatch_time=1e-3, **traced(0.010, **KERNELS))
    results = results_of([facts], ceilings=ceilings)
    (row,) = BY_NAME["causes"].select(results).to_dict("records")
    found = causes_of(ran_in(results.cases.iloc[0], results), 0.010)
    assert row["share_compute"] == pytest.approx(found["compute"] / 0.010)
    assert row["share_compute"] > 0.03  # half a millisecond of ten
    assert sum(row[f"share_{name}"] for name in found) == pytest.approx(1)


def test_what_a_mode_should_take():
    plain = ran(empty=0.0)
    assert predicted_time(plain, plain, 0.010, folds=False) == pytest.approx(0.010)
    assert predicted_time(plain, plain, 0.010, folds=True) == pytest.approx(0.008)
    fewer = {"pointwise": 1e-3, "depthwise": 1e-3, "weights": 0.5e-3}
    assert predicted_time(plain, ran(kernels=fewer), 0.010, folds=False) == pytest.approx(0.0075)
    assert predicted_time(plain, ran(kernels=fewer, latency=0.020), 0.020, folds=False) == pytest.approx(0.015)
    slow = ran(kernels={name: 2 * seconds for name, seconds in fewer.items()}, traced_call=0.020)
    assert predicted_time(plain, slow, 0.010, folds=False) == pytest.approx(0.0075), "a slow moment of the machine"


def test_copies_that_go_take_their_dispatch_along():
    operators = profiled(pointwise=1e-3, batch_norm=1e-3)
    plain = ran(operators=operators, empty=0.25e-3, dispatch_within=0.5e-3)
    assert plain.dispatch_in_convolutions == pytest.approx(1e-3)  # half of what the emptied network takes, and within
    changed = ran(operators=operators, empty=0.25e-3, dispatch_time=0.6e-3, dispatch_within=0.1e-3)
    assert changed.dispatch_in_convolutions == pytest.approx(0.4e-3)
    assert predicted_time(plain, changed, 0.010, folds=False) == pytest.approx(0.010 - 0.6e-3)
    for missing in ({"dispatch_time": None}, {}):  # of earlier revisions, and where another library runs convolutions
        unknown = ran(operators=operators, empty=0.25e-3, **missing)
        assert predicted_time(plain, unknown, 0.010, folds=False) == pytest.approx(0.010), "nothing seems to go"


def gains(*more):
    plain = latency_facts(
        operators=[one | {"empty": 0.0} for one in OPERATORS], dispatch_time=1e-3, **traced(0.010, **KERNELS)
    )
    return results_of([plain, *more], ceilings=ENDLESS)


def test_predictions_stand_beside_gains():
    blocked = traced(0.010 / 1.02, pointwise=2e-3, depthwise=1e-3)
    results = gains(
        gain_facts("folded", speedup=1.25, **traced(0.008, **KERNELS)),
        gain_facts("channels_last", speedup=1.02, **blocked),
        gain_facts("compiled", speedup=2.0),
    )
    rows = gains_of(results).set_index("mode")
    assert rows["right"].to_dict() == {"channels_last": "no", "folded": "yes", "compiled": "not traced"}
    assert rows.loc["folded", "predicted"] == pytest.approx(1.25)
    assert rows.loc["channels_last", "predicted"] == pytest.approx(1.25)
    assert rows.loc["channels_last", "removed"] == pytest.approx(1.0)
    said = BY_NAME["gains"].finding(BY_NAME["gains"].select(results))
    assert said.endswith("in 1 of 2 rows. It is wrong for channels_last (fp32, batch 1).")


@pytest.mark.parametrize(
    ("there", "right"),
    [("CPUs apart", "yes"), ("CPUs far apart", "traced in unlike states"), ("", "traced in unlike states")],
)
def test_traces_of_unlike_states_judge_nothing(there, right):
    state = {"state": "CPUs apart", "traced_state": "CPUs apart"}
    facts = [one | {"empty": 0.0} for one in OPERATORS]
    plain = latency_facts(operators=facts, dispatch_time=1e-3, **traced(0.010, **KERNELS), **state)
    gain = gain_facts("folded", speedup=1.25, **traced(0.008, **KERNELS), **(state | {"traced_state": there}))
    assert gains_of(results_of([plain, gain], ceilings=ENDLESS))["right"].tolist() == [right]


def test_the_verdict_ends_with_what_helps():
    results = gains(
        latency_facts(kind="standard", latency=0.020, operators=OPERATORS, **traced(0.020, standard=18e-3)),
        speedup_facts(speedup=2.0, latency=0.010),
        gain_facts("folded", speedup=1.25, **traced(0.008, **KERNELS)),
        gain_facts("channels_last", speedup=1.15, **traced(0.009, pointwise=2e-3, depthwise=1e-3, weights=0.5e-3)),
        gain_facts("folded+channels_last", speedup=1.01),
    )
    said = BY_NAME["verdict"].finding(BY_NAME["verdict"].select(results))
    assert said.endswith(
        "At batch 1, copies between memory layouts cost 20 % of its call; channels_last removes 75 % of them and gains "
        "1.15×, folded gains 1.25×. `scripts/find_fastest.py` tries every way to run it."
    )


def test_a_layers_row_says_what_ran_in_it():
    layer = {"subject": "layer", "shape": "64x128-s2-d112"}
    results = results_of(
        [
            latency_facts(kind="standard", **layer, **traced(0.010, standard=9e-3, weights=1e-3)),
            latency_facts(**layer, **traced(0.010, pointwise=5e-3, depthwise=3e-3, images=2e-3)),
            speedup_facts(**layer),
        ],
        ceilings=ENDLESS,
    )
    view = BY_NAME["layer_speedup"]
    (row,) = (row for _, row in view.select(results).iterrows())
    assert view.every_cell["standard ran"].text(row) == "jit_standard, copies 10 %"
    assert view.every_cell["separable ran"].text(row) == "jit_pointwise + jit_depthwise, copies 20 %"


def test_layers_are_judged_by_their_kernels_where_these_were_traced():
    layer = {"subject": "layer", "shape": "64x128-s2-d112"}
    results = results_of(
        [
            latency_facts(latency=0.020, **layer, **traced(0.010, pointwise=4e-3, depthwise=3e-3, images=3e-3)),
            latency_facts(kind="standard", latency=0.040, **layer),
        ],
        ceilings=[ceiling("gemm", 1e11, precision="fp32"), ceiling("copy beyond cache", 1e10)],
    )
    roofline = BY_NAME["roofline"].select(results).set_index("kind")
    assert roofline["timed"].to_dict() == {"standard": "call", "separable": "kernels"}
    assert roofline.loc["separable", "macs_per_second"] == pytest.approx(568_740_352 / 0.014)  # 70 % of 20 ms
    assert roofline.loc["standard", "macs_per_second"] == pytest.approx(568_740_352 / 0.040)
    said = " Times are of the convolutions' kernels alone in 1 of 2 rows, and of calls elsewhere."
    for name in ("roofline", "predictors"):
        assert said in BY_NAME[name].finding(BY_NAME[name].select(results))


def test_on_an_accelerator_that_waits_for_its_host_the_roofline_is_of_the_devices_time():
    about = {"device": "cuda"}
    layer = {"subject": "layer", "shape": "64x128-s2-d112", "device_busy": 0.75e-3, **about}
    facts = latency_facts(latency=0.010, **layer, **traced(0.010, pointwise=0.5e-3, depthwise=0.25e-3))
    rates = [ceiling("gemm", 1e12, precision="fp32") | about, ceiling("copy beyond cache", 1e12) | about]
    (row,) = BY_NAME["roofline"].select(results_of([facts], ceilings=rates)).to_dict("records")
    assert row["macs_per_second"] == pytest.approx(568_740_352 / 0.75e-3)


def test_the_share_of_1x1_convolutions_is_said_by_operator_and_by_kernel():
    results = results_of([latency_facts(operators=OPERATORS, **traced(0.010, **KERNELS))], ceilings=ENDLESS)
    said = BY_NAME["operators"].finding(BY_NAME["operators"].select(results))
    assert "Their share of the time here is 20 % [18, 22] (fp32, batch 1)" in said
    assert said.endswith("Their kernels alone, without copies and dispatch, take 20 %.")


def test_the_views_of_what_ran_are_written_for_the_documents(store, tmp_path):
    out = tmp_path / "method"
    assert causes.main([str(store(everything())), "--out", str(out)]) == 0
    assert {path.name for path in out.glob("*.md")} == {
        f"{name}-cpu.md" for name in ("why", "causes", "gains", "kernels", "layer_speedup")
    }
    text = (out / "causes-cpu.md").read_text()
    assert text.startswith("Copies of images and weights from one memory layout to another take ")
    assert "| layout conversions |" in text.replace("  ", " ").replace("  ", " ")
    assert causes.main([str(store([latency_facts()])), "--out", str(out)]) == 1
