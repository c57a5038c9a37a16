"""Speedups on an accelerator by mode, from fixed facts."""

from mnv1.report.cells import cells_of
from mnv1.report.views import BY_NAME
from tests.conftest import latency_facts, results_of, speedup_facts, traced

VIEW = BY_NAME["on_accelerators"]


def facts(device="cuda", modes=("eager", "graph")):
    found = []
    for mode in modes:
        for batch_size, speedup in ((1, 0.7), (256, 3.0)):
            about = {"device": device, "batch_size": batch_size, "mode": mode}
            gain = 1.5 if mode == "graph" else 1.0
            pair = speedup_facts(speedup=speedup * gain, **about)
            found.append(pair | {"id": f"{pair['id']}-{mode}"})
            if mode == "eager":
                found += [
                    latency_facts(kind=kind, energy=joules * batch_size, device_busy=busy, **about)
                    | traced(0.01, pointwise=0.004, images=0.002)
                    for kind, joules, busy in (("standard", 0.06, 0.008), ("separable", 0.02, 0.002))
                ]
    return found


def test_it_says_from_which_batch_on_separable_wins_and_how():
    rows = VIEW.select(results_of(facts()))
    assert list(rows["mode"]) == ["eager", "eager", "graph", "graph"]
    assert VIEW.finding(rows) == (
        "Separable against standard: α 1 224 px wins from batch 1 on, by up to 4.50× (graph, fp32, batch 256)."
    )
    assert rows["ran_separable"].dropna().unique().tolist() == ["jit_pointwise, copies 20 %"]
    shown, lines = cells_of(rows, VIEW.columns, VIEW.every_cell)
    first = shown.index("standard kernels")
    eager = ("8.00 ms", "2.00 ms", "4.00×", "60.0", "20.0")
    assert [line[first : first + 5] for line in lines] == [eager] * 2 + [("",) * 5] * 2
    slow = VIEW.select(
        results_of(
            [one for one in facts() if one["batch_size"] == 1 and one["mode"] == "eager"] + facts(modes=("folded",))
        )
    )
    assert "wins from batch 256 on" in VIEW.finding(slow)


def test_the_host_and_a_single_mode_have_other_views():
    assert VIEW.select(results_of(facts(device="cpu"))).empty
    assert VIEW.select(results_of(facts(modes=("eager",)))).empty


def test_it_is_drawn():
    figure = VIEW.draw(VIEW.select(results_of(facts())))
    (axes,) = (one for one in figure.axes if one.get_visible() and one.has_data())
    assert {text.get_text() for text in figure.legends[0].get_texts()} == {"eager", "graph"}
    assert axes.get_title(loc="left") == "α 1 224 px, fp32"
