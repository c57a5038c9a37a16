"""What runs in a call: summaries of fixed kernels, fakes of a device, and a real network."""

from types import SimpleNamespace

import pytest

from mnv1.cases import Case, Conditions, Gain, Network
from mnv1.cases.devices.kernels import Kernel
from mnv1.cases.devices.profiled import kernels_of
from mnv1.measure.tracing import BLOCKS, Tracer, _centred, _Traced, summarise
from mnv1.measure.watch import NoWatch
from mnv1.suite.profiles import PROFILES, select


def kernel(name, seconds, implementation="jit", layouts="abcd"):
    return Kernel(name, implementation, layouts, "8x8", seconds)


def test_kernels_of_a_kind_are_added_up_in_each_call():
    calls = [
        [kernel("images", 1.0), kernel("pointwise", 5.0), kernel("images", 2.0)],
        [kernel("images", 2.0), kernel("pointwise", 5.0), kernel("images", 3.0)],
    ]
    pointwise, images = summarise(calls)
    assert (images["kernel"], images["count"], images["calls"], images["seconds"]) == ("images", 2, 2, 4.0)
    assert images["low"] == 0.0  # two calls tell little, and a time is not negative
    assert (pointwise["seconds"], pointwise["low"], pointwise["high"]) == (5.0, 5.0, 5.0)


def test_other_implementations_and_layouts_are_rows_of_their_own():
    calls = [[kernel("images", 1.0), kernel("images", 2.0, layouts="acdb"), kernel("images", 3.0, "simple")]]
    assert [one["seconds"] for one in summarise(calls)] == [3.0, 2.0, 1.0]
    assert summarise([]) == []


def test_what_met_something_else_does_not_count_and_parts_add_up():
    calls = [[kernel("images", 1.0), kernel("pointwise", 5.0)] for _ in range(6)]
    disturbed = [[kernel("images", 9.0), kernel("pointwise", 5.0)], [kernel("images", 1.0), kernel("pointwise", 50.0)]]
    found = _Traced(plain=[7.0, 6.0, 6.0, 90.0], kernels=[*calls, *disturbed])
    assert found.call == 6.5
    pointwise, images = _centred(summarise(found.kernels), summarise(found.usual_kernels))
    assert (pointwise["seconds"], images["seconds"]) == (5.0, 1.0)
    assert pointwise["high"] > 10, "how much calls differ is told all the same"


def test_of_profiled_calls_the_fastest_count():
    """The others got new memory, which the profiler has taken from them."""
    profiled = [{"batch_norm": (seconds, 13), "pointwise": (1.0, 13)} for seconds in (0.1, 0.7, 0.12, 0.8, 0.5)]
    found = _Traced(operators=profiled)
    assert [one["batch_norm"][0] for one in found.usual_operators] == [0.1, 0.12]
    assert _Traced().usual_operators == []


def test_an_emptied_network_is_traced_once_in_each_state(monkeypatch):
    class Reading(NoWatch):
        message = 100e-9

        def look(self):
            return self.message

    watch, traced = Reading(), []
    tracer = Tracer(watch)

    def found(case, profiled):
        assert profiled
        traced.append(case.id)
        kernels = [[kernel("pointwise", 1e-3)]]
        return _Traced([2e-3], kernels, [{"linear": (1e-3, 1)}] * 2, [(watch.message, watch.message)])

    monkeypatch.setattr(tracer, "_traced", found)
    cases = [Case(Network("separable", 1.0, 224), Conditions(batch, "cpu", "fp32")) for batch in (1, 8)]
    for message in (100e-9, 110e-9, 300e-9):
        watch.message = message
        for case in cases:
            assert tracer.trace(case, profiled=True)["dispatch_time"] == pytest.approx(1e-3)
    assert len(traced) == 6 + 2, "six cases, and the emptied one while CPUs are near and while they are apart"


class Watching(NoWatch):
    def __init__(self):
        self.looks = iter(range(1000))

    def look(self):
        return next(self.looks) * 1e-9


def test_a_real_network():
    case = Case(Network("separable", 0.25, 64), Conditions(2, "cpu", "fp32"))
    found = Tracer(Watching()).trace(case, profiled=True)
    assert len(found["traced_messages"]) == BLOCKS["model"]
    assert all(low < high for low, high in found["traced_messages"])
    operators = {one["operator"]: one for one in found["operators"]}
    assert operators["depthwise"]["count"] == 13
    assert all(one["empty"] >= 0 for one in operators.values())
    assert found["dispatch_time"] >= 0
    assert found["traced_call"] > 0
    counts = {}
    for one in found["kernels"]:
        counts[one["kernel"]] = counts.get(one["kernel"], 0) + one["count"]
    if not counts:
        pytest.skip("torch took another library for these layers here")
    assert (counts["depthwise"], counts["pointwise"], counts["standard"]) == (13, 13, 1)


def test_a_folded_network_has_no_batch_norm():
    case = Case(Network("separable", 0.25, 64), Conditions(1, "cpu", "fp32", "folded"))
    assert "batch_norm" not in {one["operator"] for one in Tracer(NoWatch()).trace(case, profiled=True)["operators"]}


def test_what_is_explained():
    cases = select("default")
    everything = [*cases.layers, *cases.models, *cases.pairs, *cases.gains]
    found = PROFILES["default"].explained([case for case in everything if case.conditions.device == "cpu"])
    networks = {name: case for name, case in found.items() if name.startswith("model")}
    assert {case.workload.shape_id for case in networks.values()} == {"a1.00-r224"}
    assert {case.workload.kind for case in networks.values()} == {"standard", "separable"}
    assert {case.conditions.mode for name, case in found.items() if name.startswith("gain")} == {
        "channels_last",
        "folded",
        "folded+channels_last",
    }
    blocks = {case.workload.kind for name, case in found.items() if name.startswith("layer")}
    assert blocks == {"standard", "separable", "depthwise", "pointwise"}


def test_gains_have_ids_of_their_own_and_are_no_answer():
    gain = select("default").gains[0]
    assert isinstance(gain, Gain)
    assert gain.id == "gain-model-separable-a1.00-r224-b1-cpu-fp32-channels_last"
    assert gain.standard.conditions.mode == "eager"
    assert not PROFILES["default"].first([gain])


# On CUDA, kernels come from torch's profiler.


def event(name, *children, kernels=(), shapes=()):
    launched = [SimpleNamespace(name=one, duration=microseconds) for one, microseconds in kernels]
    return SimpleNamespace(name=name, cpu_children=list(children), kernels=launched, input_shapes=list(shapes))


def test_kernels_of_a_device_have_the_type_of_the_operator_that_launched_them():
    weight = [[1, 32, 8, 8], [64, 32, 1, 1], []]
    convolution = event(
        "aten::convolution",
        event("aten::to", event("aten::_to_copy", kernels=[("copy_kernel", 4.0)])),
        event(
            "aten::cudnn_convolution",
            kernels=[("void cudnn::ops::nchwToNhwcKernel", 2.0), ("sm90_xmma_fprop_implicit_gemm", 9.0)],
        ),
    )
    call = event(
        "mnv1 call",
        event("aten::conv2d", convolution, shapes=weight),
        event("aten::batch_norm", event("aten::cudnn_batch_norm", kernels=[("bn_fw_inf", 3.0)])),
        event("aten::relu_", kernels=[("clamp", 1.0)]),
    )
    assert [(one.kernel, one.implementation, round(one.seconds * 1e6, 3)) for one in kernels_of(call)] == [
        ("cast", "copy_kernel", 4.0),
        ("images", "void cudnn::ops::nchwToNhwcKernel", 2.0),
        ("pointwise", "sm90_xmma_fprop_implicit_gemm", 9.0),
        ("batch_norm", "bn_fw_inf", 3.0),
        ("activation", "clamp", 1.0),
    ]
