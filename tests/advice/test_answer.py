"""From fixed figures to an answer, and the answer as text, Markdown and page."""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnv1.advice import report
from mnv1.advice.answer import (
    CANNOT_TELL,
    KEEP,
    REPLACE,
    Layer,
    gaining,
    in_state,
    is_right,
    layer_of,
    predicted,
    scaled,
    weights_time,
)
from mnv1.net.roofline import WITHIN_CACHE
from tests.conftest import ROOT


def layer(name="a", speedup=2.0, half=0.05, standard=4e-3, calls=1, **more):
    facts = {"shape": "8x8-s1-d16-between", "macs_ratio": 8.0, "visits": 6, "rounds": 12, "stopped": "precise"} | more
    return Layer(
        name=name,
        calls=calls,
        standard_time=standard,
        separable_time=standard / speedup,
        speedup=speedup,
        low=speedup * (1 - half),
        high=speedup * (1 + half),
        **facts,
    )


@pytest.mark.parametrize(
    ("speedup", "half", "verdict"),
    [(2.0, 0.05, REPLACE), (0.6, 0.05, KEEP), (1.03, 0.05, CANNOT_TELL), (0.98, 0.05, CANNOT_TELL)],
)
def test_verdicts(speedup, half, verdict):
    assert layer(speedup=speedup, half=half).verdict == verdict


def test_what_gains_is_chosen_and_what_cannot_be_told_stays():
    layers = [layer("a"), layer("b", 0.6), layer("c", 1.01), layer("d", 3.0), layer("d", 1.01)]
    assert gaining(layers) == ("a", "d")
    assert gaining([layer("a", 2.0), layer("a", 0.6)]) == (), "one of its calls loses"
    assert gaining([]) == ()


def test_predictions_add_up_what_layers_save():
    layers = [layer("a", 2.0, standard=4e-3), layer("b", 0.5, standard=1e-3)]
    assert predicted(10e-3, layers, ["a"]) == pytest.approx(8e-3)
    assert predicted(10e-3, layers, ["a", "b"]) == pytest.approx(9e-3)
    assert predicted(10e-3, layers, []) == 10e-3


@given(st.lists(st.tuples(st.floats(0.2, 8), st.floats(1e-6, 1e-2)), min_size=1))
def test_the_chosen_twin_is_never_predicted_to_be_slower_than_the_full_one(figures):
    layers = [layer(str(number), speedup, 1e-6, time) for number, (speedup, time) in enumerate(figures)]
    time = sum(one.standard_time for one in layers)
    chosen, full = (predicted(time, layers, names) for names in (gaining(layers), [one.name for one in layers]))
    assert chosen <= full + 1e-9
    assert chosen <= time + 1e-9


def test_right_and_wrong():
    assert is_right(1.09, 1.0)
    assert not is_right(1.11, 1.0)
    assert not is_right(0.89, 1.0)


def test_weights_come_from_memory_unless_all_of_them_fit_the_cache():
    """Layers alone keep theirs in the cache: 12 M in fp32 are 48 MB, 2 M are 8."""
    ceilings = [
        {"ceiling": "copy beyond cache", "size": 2**28, "value": 4.8e10},
        {"ceiling": "copy within cache", "size": 2**25 * WITHIN_CACHE, "value": 2e11},
    ]
    assert weights_time(12_000_000, 4, ceilings) == pytest.approx(1e-3)
    assert weights_time(2_000_000, 4, ceilings) == 0.0
    assert weights_time(12_000_000, 2, ceilings) == 0.0
    assert weights_time(12_000_000, 4, []) == 0.0
    assert predicted(0.1, [layer(standard=40e-3)], ["a"], 1e-3) == pytest.approx(0.079)


def test_a_twin_takes_as_long_as_its_layers_take_alone():
    layers = [layer("a", standard=40e-3), layer("b", 0.5, standard=5e-3)]
    assert predicted(0.03, layers, ["a"]) == pytest.approx(0.025), "20 ms separable, and 5 ms that stay"
    assert predicted(0.03, layers, ["a", "b"]) == pytest.approx(0.030), "10 ms of b"


def test_a_twin_saves_its_layers_part_of_what_the_full_twin_saves():
    # Alone, layers promised 6 ms of 10 for the full twin, which saved 3; and 4 ms for this one.
    assert scaled(6e-3, 10e-3, 6e-3, 3e-3) == pytest.approx(8e-3)
    assert scaled(6e-3, 10e-3, 6e-3, 6e-3) == pytest.approx(6e-3), "the full twin was predicted rightly"
    assert scaled(6e-3, 10e-3, 0.0, 1e-3) == scaled(6e-3, 10e-3, 1e-3, -1e-3) == 6e-3, "there is no part of nothing"


def figures(speedup, **more):
    ends = {"speedup_low": 0.97 * speedup, "speedup_high": 1.03 * speedup}
    times = {"standard_latency_p50": 2e-3, "latency_p50": 2e-3 / speedup}
    return {"speedup": speedup, **ends, **times, "visits": 6, "rounds": 12} | more


def test_figures_are_of_the_state_of_the_network():
    near, apart = figures(3.0, state="CPUs share a cache"), figures(2.0, state="CPUs apart", visits=5)
    facts = near | {"states": [near, apart], "macs_ratio": 8.0, "stopped": "precise"}
    assert in_state(facts, "CPUs apart") is apart
    assert in_state(facts, "CPUs far apart") is facts
    made = layer_of("a", "8x8-s1-d16", 2, facts, "CPUs apart")
    assert (made.speedup, made.visits) == (2.0, 5)
    assert made.standard_time == pytest.approx(4e-3)
    assert made.separable_time == pytest.approx(2e-3)


def side(time, macs, params, speedup=None, predicted_time=None, replaced=()):
    known = {"time": time, "macs": macs, "params": params, "peak_memory": 2**23}
    if speedup is None:
        return known
    known |= figures(speedup, stopped="time budget", replaced=list(replaced), measured_time=time)
    return known | {"predicted_time": predicted_time}


DOCUMENT = {
    "schema": 1,
    "network": "torchvision.models:vgg16",
    "input": [3, 224, 224],
    "between": "bn-relu",
    "batch_size": 1,
    "device": "cpu",
    "precision": "fp32",
    "mode": "eager",
    "state": "CPUs apart",
    "environment": {"machine": "test-cpu", "cpu": "Test CPU", "packages": {"torch": "2.15.0"}},
    "layers": [
        vars(one) | {"verdict": one.verdict}
        for one in (layer("features.0", 0.67, standard=5e-3), layer("features.2", 4.0, standard=50e-3, calls=2))
    ],
    "kept": {"up": "transposed"},
    "original": side(0.1, 15_000_000_000, 138_000_000),
    "full": side(0.037, 1_850_000_000, 125_000_000, 2.7, 0.0375, ["features.0", "features.2"]),
    "chosen": side(0.035, 1_900_000_000, 125_100_000, 2.86, 0.05, ["features.2"]),
}


def test_the_answer_as_text():
    assert f"{report.text(DOCUMENT)}\n" == (ROOT / "tests" / "baseline" / "advice.txt").read_text()


def changed(**more):
    return copy.deepcopy(DOCUMENT) | more


def test_where_all_gain_or_none_does():
    said = report.sentences(changed(chosen=DOCUMENT["full"]))
    assert "Every convolution gains, so the chosen twin is the full one." in said
    assert report.code(changed(chosen=DOCUMENT["full"])).endswith("twin = mnv1.separable_twin(network)")
    nothing = changed(chosen={})
    assert "No convolution gains beyond its interval, so none should be replaced." in report.sentences(nothing)
    assert report.code(nothing) == ""
    assert len(report.side_rows(nothing)) == 2
    assert "between='none'" in report.code(changed(between="none"))


def test_the_code_of_a_file_imports_it():
    assert report.code(changed(network="own/nets.py:make")).startswith("from own.nets import make\n")


def test_of_a_network_that_was_passed_the_caller_knows_the_name():
    document = changed(network="VGG")
    assert report.code(document) == "import mnv1\n\ntwin = mnv1.separable_twin(network, names=['features.2'])"
    assert report.training(document) == ""


def test_the_commands_that_train_the_twin():
    lines = report.training(changed(files=["answers/vgg.json", "answers/vgg.html"])).splitlines()
    assert lines[0].endswith("--network torchvision.models:vgg16 --resolution 224 --out runs/original")
    assert "--replace answers/vgg.json \\" in lines[1]
    assert "--between none" in report.training(changed(between="none"))
    for untold in (changed(input=[1, 28, 28]), changed(input=[3, 16, 224, 224]), changed(chosen={})):
        assert report.training(untold) == ""
    assert "--teacher runs/original" in report.page(DOCUMENT)


def test_the_page_and_markdown_have_it_all_and_escape_names():
    document = changed(network="<script>:x")
    page = report.page(document)
    assert "<script>" not in page
    for part in ("features.0", "2.70× [2.62, 2.78]", "separable_twin", "must be trained", "up: transposed"):
        assert part in page
    text = report.markdown(DOCUMENT)
    for part in (
        "## torchvision.models:vgg16, input 3×224×224, batch 1, cpu, fp32, eager",
        "| up | transposed |",
        "```python",
    ):
        assert part in text


def test_several_answers_beside_each_other(tmp_path):
    import json

    from scripts.method import advice

    paths = []
    for name, document in (("vgg", DOCUMENT), ("none", changed(network="own.py:net", chosen={}))):
        paths.append(tmp_path / f"{name}.json")
        paths[-1].write_text(json.dumps(document))
    assert advice.main([*map(str, paths), "--out", str(tmp_path)]) == 0
    lines = (tmp_path / "advice.md").read_text().splitlines()
    assert lines[2] == (
        "| vgg16 | fp32 | 1 | 8.11× | 2.70× [2.62, 2.78] | 37.5 ms (+1 %) | 1 of 2 | 2.86× [2.77, 2.95] "
        "| 50.0 ms (+43 %) |"
    )
    assert lines[3].endswith("| 0 of 2 |  |  |")
    assert (tmp_path / "advice.svg").read_text().startswith("<?xml")
    (tmp_path / "other.json").write_text("{}")
    assert advice.main([str(tmp_path / "other.json"), "--out", str(tmp_path)]) == 1
