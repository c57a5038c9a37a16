"""What the views say: fixed facts in, golden sentences out."""

import pandas as pd
import pytest

from mnv1.report.views import BY_NAME, predictors
from mnv1.store.runs import Results, frame
from tests.conftest import (
    every_view,
    everything,
    latency_facts,
    profiled,
    reference_facts,
    results_of,
    speedup_facts,
    training_facts,
    training_speedup_facts,
)


def said(name, *facts, **machine):
    rows = BY_NAME[name].select(results_of(facts, **machine))
    return BY_NAME[name].finding(rows)


def test_side_by_side_ranks_networks_and_tells_where_macs_mislead():
    facts = [
        latency_facts(latency=0.010),
        reference_facts("mobilenet_v2", 300_774_272, 3_504_872, latency=0.0125),
        reference_facts("timm", 568_740_352, 4_231_976, latency=0.0102),
        reference_facts("resnet18", latency=0.020),
        reference_facts("resnet18", latency=0.080, batch_size=8),
        latency_facts(latency=0.001, resolution=128, shape="a1.00-r128"),  # nothing to stand beside there
    ]
    assert said("side_by_side", *facts) == (
        "Latency, the fastest first. fp32, batch 1: separable, α 1 (10.0 ms) ≈ timm, α 1 (10.2 ms) < mobilenet_v2 "
        "(12.5 ms) < resnet18 (20.0 ms); mobilenet_v2 takes longer than separable, α 1, although it has 1.89× fewer "
        "MACs. fp32, batch 8: resnet18 (80.0 ms)."
    )
    assert BY_NAME["side_by_side"].select(results_of([latency_facts()])).empty
    # Views of MobileNetV1 alone stay what they are.
    assert set(BY_NAME["batch_scaling"].select(every_view())["kind"]) == {"standard", "separable"}


@pytest.mark.parametrize("view", list(BY_NAME.values()), ids=lambda view: view.name)
def test_every_finding_is_a_sentence_or_nothing(view):
    text = view.finding(view.select(every_view()))
    assert not text or (text[0].isupper() and text.endswith(".") and "nan" not in text and "  " not in text)


def test_verdict_without_ceilings():
    text = said("verdict", speedup_facts(speedup=4.8), speedup_facts(speedup=2.3, batch_size=32), ceilings=[])
    assert text == (
        "MobileNetV1 (α 1, 224 px) needs 8.56× fewer multiply-accumulates than its standard-convolution twin.\n\n"
        "In fp32 it is faster by 4.80× [4.68, 4.92] at batch 1 and 2.30× [2.24, 2.36] at batch 32."
    )


def test_verdict_names_what_limits():
    text = BY_NAME["verdict"].finding(BY_NAME["verdict"].select(every_view()))
    assert "This machine's ceilings would allow " in text
    assert "Its depthwise convolutions stay below what memory allows (batch 1: 32 % of the time beyond theory)" in text
    untraced = [{k: v for k, v in one.items() if k != "kernels"} for one in everything() if one["measures"] != "gain"]
    text = BY_NAME["verdict"].finding(BY_NAME["verdict"].select(results_of(untraced)))
    assert "Its kernels run further below the machine's peak than standard kernels do (batch 1" in text
    assert text.endswith(" of the time beyond theory).")


def test_a_slower_network_is_not_called_faster():
    text = said("verdict", speedup_facts(speedup=0.8), ceilings=[])
    assert "In fp32 it is slower: 0.80× [0.78, 0.82] at batch 1." in text


def test_a_speedup_whose_interval_holds_one_is_not_called_faster():
    text = said("verdict", speedup_facts(speedup=1.01), speedup_facts(speedup=3.0, batch_size=8), ceilings=[])
    assert (
        "it is faster by 3.00× [2.92, 3.07] at batch 8, but indistinguishable from it: 1.01× [0.98, 1.04] at batch 1."
        in text
    )


def test_heat_map_counts_blocks_that_are_slower():
    layer = {"subject": "layer"}
    facts = [
        speedup_facts(speedup=0.5, shape="32x64-s1-d112", **layer),
        speedup_facts(speedup=6, shape="512x512-s1-d14", **layer),
    ]
    assert said("heat_map", *facts) == (
        "The speedup runs from 0.50× (32x64-s1-d112, fp32, batch 1) to 6.00× (512x512-s1-d14, fp32, batch 1); in 1 of "
        "2 cases the block is slower than the standard convolution."
    )


def test_the_papers_share_of_time_is_tested():
    some = latency_facts(operators=profiled(pointwise=0.6, depthwise=0.4))
    text = said("operators", some)
    assert "That is their share of the MACs (94.9 %)" in text
    assert "60 % [54, 66] (fp32, batch 1)" in text
    assert text.endswith("the statement does not hold on this machine.")
    most = latency_facts(operators=profiled(pointwise=0.97, depthwise=0.03))
    assert said("operators", most).endswith("the statement holds in some of these cases.")


def test_points_above_the_memory_roof_are_explained():
    layer = {"subject": "layer", "shape": "64x128-s2-d112"}
    fast = latency_facts(**layer, latency=568_740_352 / 6e10, min_bytes=568_740_352)  # 1 MAC a byte: 22 G MACs/s
    slow = latency_facts(**layer, kind="standard", latency=568_740_352 / 6e9, min_bytes=568_740_352)
    text = said("roofline", fast, slow)
    assert "1 of 2 points lie above the memory roof" in text
    assert "in the last-level cache of 32.0 MiB" in text
    assert said("roofline", slow).endswith("No point lies above the memory roof.")


def test_pareto_counts_pairs_that_swap_places():
    sizes = {(1.0, 128): (186_400_768, 0.004), (0.75, 192): (239_273_472, 0.002), (0.5, 224): (149_497_088, 0.001)}
    facts = [
        latency_facts(alpha=alpha, resolution=pixels, shape=f"a{alpha:.2f}-r{pixels}", macs=macs, latency=latency)
        for (alpha, pixels), (macs, latency) in sizes.items()
    ]
    assert said("pareto", *facts) == (
        "Among 3 variants in fp32 at batch 1, Spearman's ρ between MACs and measured latency is 0.500. In 1 pair "
        "the variant with more MACs is the faster one, beyond the intervals; most of all, α 0.75 at 192 px with 239 M "
        "MACs is faster than α 1 at 128 px with 186 M."
    )


def test_slope_of_a_sweep_on_a_device_that_waits_for_the_host():
    sizes = ((1.0, 500_000_000, 0.010, 0.004), (0.5, 125_000_000, 0.009, 0.001))
    facts = [
        latency_facts(shape=f"a{alpha:.2f}-r224", latency=latency, device="cuda")
        | {"alpha": alpha, "macs": macs, "device_busy": busy}
        for alpha, macs, latency, busy in sizes
    ]
    assert said("alpha_sweep", *facts).endswith("(slope 0.08; of kernels alone 1.00).")
    rows = BY_NAME["alpha_sweep"].select(results_of(facts))
    figure = BY_NAME["alpha_sweep"].draw(rows)
    assert "separable, batch 1, kernels alone" in {text.get_text() for text in figure.legends[0].get_texts()}


def test_from_which_batch_on_a_device_is_full():
    facts = [
        latency_facts(batch_size=size, latency=size / rate)
        for size, rate in ((1, 100), (8, 400), (32, 950), (256, 1000))
    ]
    assert said("batch_scaling", *facts) == (
        "Highest throughput, relative to the smallest batch: separable fp32 10.00× at batch 256 (nine tenths of it "
        "from batch 32 on)."
    )


def test_slope_of_a_sweep():
    facts = [
        latency_facts(latency=0.010, macs=400_000_000),
        latency_facts(latency=0.005, macs=100_000_000, alpha=0.5, shape="a0.50-r224"),
    ]
    assert said("alpha_sweep", *facts) == (
        "From the largest to the smallest α: 4.00× fewer MACs give 2.00× less time in fp32 at batch 1 (slope 0.50)."
    )


def test_autocast_that_is_slower_is_said_to_be():
    facts = [latency_facts(latency=0.010), latency_facts(latency=0.012, precision="amp")]
    assert said("precision", *facts) == (
        "Beside fp32, network by network, amp is slower 1 time (slower: separable α 1 at 224 px batch 1). Where "
        "intervals overlap, nothing is told apart."
    )
    near = [latency_facts(latency=0.010), latency_facts(latency=0.0101, precision="amp")]
    assert "amp is indistinguishable 1 time." in said("precision", *near)


def test_errors_of_predictors():
    rows = pd.DataFrame(
        {
            "precision": "fp32",
            "predictor": "MACs",
            "seconds": [1.0, 2.0, 8.0],
            "predicted": [2.0, 2.0, 2.0 + 1e-9],
        }
    )
    (row,) = predictors.errors(rows).to_dict("records")
    assert row["cases"] == 3
    assert row["typical"] == pytest.approx(2.0)
    assert row["largest"] == pytest.approx(4.0)


def test_predictors_scaled_to_fit_are_right_on_average():
    rows = BY_NAME["predictors"].select(every_view())
    off = (rows["latency_p50"] / rows["predicted"]).groupby([rows["precision"], rows["predictor"]]).prod()
    for precision in ("fp32", "amp"):
        assert off[precision, "MACs"] == pytest.approx(1)
        assert off[precision, "bytes"] == pytest.approx(1)


def test_roofline_shares_of_a_network_add_up():
    rows = BY_NAME["roofline"].select(every_view())
    of_standard = rows[(rows["kind"] == "standard") & (rows["precision"] == "fp32") & (rows["batch_size"] == 1)]
    assert of_standard["share"].sum() == pytest.approx(1)
    many = of_standard.set_index("shape")["share"]
    assert many["512x512-s1-d14"] == pytest.approx(5 * many["32x64-s1-d112"])  # the network has five of them


def test_training_stands_beside_inference_of_the_same_conditions():
    facts = [
        training_speedup_facts(speedup=4.0),
        training_speedup_facts(speedup=3.0, batch_size=8),
        training_speedup_facts(speedup=2.0, batch_size=8, precision="amp"),
        training_speedup_facts(speedup=9.0, alpha=0.5, shape="a0.50-r224"),
    ]
    beside = [speedup_facts(speedup=5.0, batch_size=8), speedup_facts(speedup=7.0, batch_size=32)]
    assert said("training_speedup", *facts, *beside) == (
        "A training step of MobileNetV1 (α 1, 224 px) needs 8.60× fewer multiply-accumulates than a step of its "
        "standard-convolution twin. In fp32 it is faster by 4.00× [3.90, 4.10] at batch 1 and 3.00× [2.92, 3.07] at "
        "batch 8 (a forward pass alone: faster by 5.00× [4.88, 5.12] at batch 8). In amp it is faster by 2.00× "
        "[1.95, 2.05] at batch 8."
    )
    rows = BY_NAME["training_speedup"].select(results_of([*facts, *beside]))
    assert rows["inference_speedup"].tolist()[:2] == [pytest.approx(float("nan"), nan_ok=True), 5.0]
    assert len(rows) == len(facts)


def test_shares_of_a_step():
    facts = [
        training_facts(),
        training_facts(batch_size=8, forward_time=0.004, backward_time=0.006, optimizer_time=0.0),
        training_facts(kind="standard"),
        training_facts(resolution=128, shape="a1.00-r128", forward_time=0.0),  # not the highest
    ]
    assert said("training_steps", *facts) == (
        "Shares of a step's time, over widths, precisions and batch sizes. Standard: forward 30 %, backward 60 %, "
        "optimizer 10 %; separable: forward 30 to 40 %, backward 60 %, optimizer 0 to 10 %."
    )


def test_memory_of_a_step_beside_its_twins_and_a_forward_pass():
    facts = [
        training_facts(peak_memory=3 * 2**20),
        training_facts(kind="standard", peak_memory=2**21),
        latency_facts(peak_memory=2**20),
    ]
    text = said("training_memory", *facts)
    assert text == "Peaks of the separable network and of its twin: fp32, batch 1: 3.00 MiB and 2.00 MiB."
    rows = BY_NAME["training_memory"].select(results_of(facts)).set_index("kind")
    assert rows.loc["separable", "inference_peak_memory"] == 2**20
    assert pd.isna(rows.loc["standard", "inference_peak_memory"])


def test_nothing_is_said_of_nothing():
    empty = Results(frame([]))
    assert all(view.select(empty).empty for view in BY_NAME.values())
