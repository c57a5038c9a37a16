"""What ceilings leave of a speedup, and where the rest of the time goes."""

import pytest

from mnv1.report.attribution import CAUSES
from mnv1.report.why import excess_of, limiting_factor, with_ideals, with_limits
from mnv1.store.runs import frame
from tests.conftest import ceiling, latency_facts, profiled, results_of, speedup_facts

CEILINGS = {"peak_rate": 1e11, "copy_rate": 1e10}  # 20 FLOPs a byte


def test_ideals_are_those_of_the_roofline():
    rows = with_ideals(frame([speedup_facts(**CEILINGS), speedup_facts(**CEILINGS, precision="amp", batch_size=32)]))
    assert rows["ideal_folded"].tolist() == [pytest.approx(5.94, abs=0.01), pytest.approx(7.46, abs=0.01)]
    assert rows["ideal_eager"].tolist() == [pytest.approx(3.31, abs=0.01), pytest.approx(4.85, abs=0.01)]


def test_a_block_has_ideals_too():
    (row,) = with_ideals(frame([speedup_facts(subject="layer", shape="64x128-s2-d112", **CEILINGS)])).to_dict("records")
    assert 1 < row["ideal_eager"] < row["ideal_folded"] < 8.5


def test_a_cache_that_holds_the_data_makes_the_ideal_higher():
    cache = {"cache_rate": 1e12, "cache_size": 2**28}
    bare, cached = with_ideals(frame([speedup_facts(**CEILINGS), speedup_facts(**CEILINGS, **cache)])).to_dict(
        "records"
    )
    assert bare["ideal_folded"] < cached["ideal_folded"] < cached["macs_ratio"]
    assert bare["ideal_eager"] < cached["ideal_eager"]


def test_without_ceilings_there_is_nothing_to_say():
    rows = with_ideals(frame([speedup_facts()]))
    assert rows.empty
    assert {"ideal_folded", "ideal_eager"} <= set(rows.columns)


RATIO = 8.0
ENDLESS = [ceiling("gemm", 1e18, precision="fp32"), ceiling("copy beyond cache", 1e18)]
"""Ceilings so high that compute and memory take no time."""


def measured(standard, separable, speedup=2.0, time=0.010, **more):
    """Results of one pair: `standard` and `separable` are the facts of the sides beside their times."""
    sides = (("standard", time * speedup, standard), ("separable", time, separable))
    facts = [latency_facts(kind=kind, latency=seconds, **(side | more)) for kind, seconds, side in sides]
    pair = speedup_facts(speedup=speedup, latency=time, macs_ratio=RATIO, **more)
    results = results_of([*facts, pair], ceilings=ENDLESS)
    return results.cases.iloc[2], results


def test_excess_adds_up_and_names_the_cause():
    pair, results = measured(
        {"operators": profiled(standard=0.9, between=0.1), "system_time": 0.0},
        {"operators": profiled(pointwise=0.3, depthwise=0.2, between=0.5), "system_time": 0.0},
    )
    excess = excess_of(pair, results)
    beyond = 0.010 - 0.020 / RATIO
    assert excess.total == pytest.approx(beyond)
    assert sum(excess.operators.values()) == pytest.approx(beyond)
    assert excess.causes["dispatch"] == pytest.approx(0.5 * 0.010 - 0.1 * 0.020 / RATIO)
    # The twin's 3x3 convolutions are what the 1x1 convolutions are there for.
    assert excess.operators["convolution"] == pytest.approx(0.3 * 0.010 - 0.9 * 0.020 / RATIO)
    assert excess.operators["depthwise"] == pytest.approx(0.2 * 0.010)
    assert limiting_factor(pair, excess) == "dispatch"
    (row,) = with_limits(results.cases.iloc[[2]], results).to_dict("records")
    assert row["limited_by"] == "dispatch"
    assert sum(row.get(f"cause_{name}", 0) for name in CAUSES) == pytest.approx(1)


def test_system_time_is_the_allocators():
    pair, results = measured(
        {"operators": profiled(standard=1.0), "system_time": 0.0},
        {"operators": profiled(pointwise=1.0), "system_time": 0.012, "page_faults": 3000.0},
    )
    excess = excess_of(pair, results)
    assert excess.causes["allocator"] == pytest.approx(0.006)  # of two threads
    assert limiting_factor(pair, excess) == "allocator"


def test_gaps_between_kernels_are_launches():
    cuda = {"device": "cuda"}
    standard, separable = ({"operators": profiled(pointwise=1.0), "device_busy": busy} for busy in (0.020, 0.002))
    facts = [
        latency_facts(kind=kind, latency=time, **side, **cuda)
        for kind, time, side in (("standard", 0.020, standard), ("separable", 0.010, separable))
    ]
    pair = speedup_facts(speedup=2.0, latency=0.010, macs_ratio=RATIO, **cuda)
    ceilings = [one | cuda for one in ENDLESS]
    results = results_of([*facts, pair], ceilings=ceilings)
    excess = excess_of(results.cases.iloc[2], results)
    assert excess.causes["launch"] == pytest.approx(0.008)
    # They go by the number of kernels, not by the kernels' time: a part of their own.
    assert excess.operators["launch"] == pytest.approx(0.008)
    assert excess.operators["convolution"] == pytest.approx(0.002 - 0.020 / RATIO)
    assert limiting_factor(results.cases.iloc[2], excess) == "launch"
    assert "dispatch" not in excess.causes


def test_traffic_is_memory_bandwidth_and_the_rest_is_kernels():
    sides = ({"operators": profiled(standard=1.0)}, {"operators": profiled(pointwise=1.0)})
    slow_memory = [ceiling("gemm", 1e18, precision="fp32"), ceiling("copy beyond cache", 1e10)]
    pair, results = measured(*sides, time=0.030)
    assert limiting_factor(pair, excess_of(pair, results)) == "kernels"
    with_traffic = results_of(
        [
            latency_facts(kind="standard", latency=0.060, **sides[0]),
            latency_facts(kind="separable", latency=0.030, **sides[1]),
            speedup_facts(speedup=2.0, latency=0.030, macs_ratio=RATIO),
        ],
        ceilings=slow_memory,
    )
    excess = excess_of(with_traffic.cases.iloc[2], with_traffic)
    assert limiting_factor(pair, excess) == "memory bandwidth"
    assert excess.total == pytest.approx(0.030 - 0.060 / RATIO)


def test_a_speedup_near_theory_is_limited_by_compute_alone():
    pair, results = measured(
        {"operators": profiled(standard=1.0)}, {"operators": profiled(pointwise=1.0)}, speedup=0.95 * RATIO
    )
    assert limiting_factor(pair, excess_of(pair, results)) == "compute"


def test_a_speedup_beyond_theory_has_no_excess_to_share_out():
    pair, results = measured(
        {"operators": profiled(standard=1.0)}, {"operators": profiled(pointwise=1.0)}, speedup=1.2 * RATIO
    )
    (row,) = with_limits(pair.to_frame().T, results).to_dict("records")
    assert row["limited_by"] == "compute"
    assert row["excess"] < 0
    assert not any(name.startswith("cause_") for name in row)


@pytest.mark.parametrize("missing", ["profile", "side", "ceilings"])
def test_without_all_facts_no_cause_is_named(missing):
    sides = [{"operators": profiled(standard=1.0)}, {"operators": profiled(pointwise=1.0)}]
    if missing == "profile":
        sides[1] = {}
    pair, results = measured(*sides)
    if missing == "side":
        results = results_of([speedup_facts(), latency_facts()], ceilings=ENDLESS)
    if missing == "ceilings":
        results = results_of(
            [latency_facts(kind="standard", **sides[0]), latency_facts(**sides[1]), speedup_facts()], ceilings=[]
        )
    assert excess_of(pair, results) is None
    (row,) = with_limits(pair.to_frame().T, results).to_dict("records")
    assert row["limited_by"] is None
