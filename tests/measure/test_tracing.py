"""What runs in a call: summaries of fixed kernels, fakes of a device, and a real network."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from mnv1.cases import Case, Conditions, Gain, Network
from mnv1.cases.devices.clock import Elapsed
from mnv1.cases.devices.kernels import Kernel
from mnv1.cases.devices.profiled import kernels_of
from mnv1.measure import tracing
from mnv1.measure.operators import Profiled
from mnv1.measure.tracing import (
    BLOCK_TIME,
    BLOCKS,
    FEWEST_BLOCKS,
    Tracer,
    _centred,
    _Traced,
    _turns,
    facts_of,
    summarise,
)
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
    found = _Traced(plain=[7.0, 6.0, 6.2, 90.0], kernels=[*calls, *disturbed])
    assert found.call == pytest.approx(6.1)
    assert found.in_kernels == 6.0
    pointwise, images = _centred(summarise(found.kernels), summarise(found.usual_kernels))
    assert (pointwise["seconds"], images["seconds"]) == (5.0, 1.0)
    assert pointwise["high"] > 10, "how much calls differ is told all the same"


def profiled(batch_norm, pointwise=1.5, in_kernel=1.0):
    return Profiled(
        {"batch_norm": (batch_norm, 1), "pointwise": (pointwise, 1)},
        [kernel("pointwise", in_kernel)] if in_kernel else [],
    )


def test_of_profiled_calls_the_faster_ones_count():
    """The others got new memory, which the profiler has taken from them."""
    found = _Traced(profiled=[profiled(seconds) for seconds in (0.1, 0.7, 0.12, 0.8)])
    assert [one.operators["batch_norm"][0] for one in found.usual_profiled] == [0.1, 0.12]
    assert _Traced().usual_profiled == []


def test_profiled_calls_that_got_new_memory_do_not_count():
    found = [replace(profiled(seconds), mapped=pages) for seconds, pages in ((0.5, 90), (0.4, 3), (0.6, 0), (0.7, 0))]
    assert [one.operators["batch_norm"][0] for one in _Traced(profiled=found).usual_profiled] == [0.6]
    handed_back = [replace(profiled(seconds), mapped=pages) for seconds, pages in ((0.5, 20_100), (0.4, 20_000))]
    assert [one.mapped for one in _Traced(profiled=handed_back).usual_profiled] == [20_000]


class Handing:
    """A device whose profiled calls get new memory in the first profiles."""

    def __init__(self, monkeypatch, new):
        self.is_host, self.profiles, self.new = True, 0, new
        monkeypatch.setattr(tracing, "profiled_calls", self.profile)

    def clock(self):
        return self

    def time(self, _call, calls):
        return Elapsed(0.1 * calls)

    def kernels(self, _call, calls):
        return [[]] * calls

    def profile(self, _call, _device, calls, cold):
        assert cold == 1
        self.profiles += 1
        return [replace(profiled(0.1), mapped=90 if self.profiles <= self.new else 0)] * calls


@pytest.mark.parametrize(("new", "profiles"), [(0, 1), (1, 2), (9, 3)])
def test_a_block_is_profiled_again_where_every_call_got_new_memory(monkeypatch, new, profiles):
    monkeypatch.setattr(tracing, "page_faults", lambda: 0)
    device, found = Handing(monkeypatch, new), _Traced()
    tracing._look_at(lambda: None, found, device, 0.06, 2)
    assert device.profiles == profiles
    assert len(found.profiled) == 2 * profiles


def test_time_within_convolutions_is_of_calls_whose_kernels_are_all_known():
    found = [profiled(0.1), profiled(0.1, pointwise=1.7), profiled(9.0, pointwise=9.0)]
    assert _Traced(profiled=found).within == pytest.approx(0.6)
    assert _Traced(profiled=[profiled(0.1, in_kernel=0), profiled(0.2)]).within is None
    assert _Traced().within is None


EMPTY = _Traced([3.0, 9.0], [[kernel("pointwise", 1.0)]], [profiled(0.25, pointwise=1.25)])


def test_dispatch_is_measured_on_next_to_nothing_and_within_convolutions():
    of_case = _Traced([12.0], [[kernel("pointwise", 8.0)]], [profiled(1.0, pointwise=10.0, in_kernel=8.0)])
    found = facts_of(of_case, EMPTY)
    assert found["dispatch_time"] == 2.0
    assert found["dispatch_within"] == 1.75
    norm = next(one for one in found["operators"] if one["operator"] == "batch_norm")
    assert (norm["seconds"], norm["empty"]) == (1.0, 0.25)


def test_profiled_calls_are_brought_to_the_moments_of_traced_ones():
    slow = profiled(2.0, pointwise=20.0, in_kernel=16.0)
    found = facts_of(_Traced([12.0], [[kernel("pointwise", 8.0)]], [slow]), EMPTY)
    assert {one["operator"]: one["seconds"] for one in found["operators"]} == {"batch_norm": 1.0, "pointwise": 10.0}
    assert found["dispatch_within"] == 1.75
    assert all(one["low"] <= one["seconds"] <= one["high"] for one in found["operators"])


def test_where_another_library_runs_convolutions_only_the_empty_network_tells_of_dispatch():
    of_case = _Traced([12.0], [[kernel("pointwise", 8.0)]], [profiled(1.0, in_kernel=0)])
    found = facts_of(of_case, EMPTY)
    assert found["dispatch_time"] == 2.0
    assert "dispatch_within" not in found


def test_each_block_looks_at_the_empty_network_too_and_the_first_profile_of_a_process_is_thrown_away(monkeypatch):
    profiles, looked_at = [], []
    monkeypatch.setattr(tracing, "profiled_calls", lambda *_: profiles.append(1))
    monkeypatch.setattr(tracing, "_look_at", lambda _call, found, *_: looked_at.append(found))
    tracer, case = Tracer(NoWatch()), Case(Network("separable", 0.25, 32), Conditions(1, "cpu", "fp32"))
    tracer.trace(case)
    assert len(looked_at) >= 2 * FEWEST_BLOCKS
    assert all(found is looked_at[number % 2] for number, found in enumerate(looked_at))
    assert looked_at[0] is not looked_at[1]
    tracer.trace(case)
    assert len(profiles) == 1


def test_a_block_has_untraced_and_traced_calls_and_long_ones_have_few():
    assert _turns(1e-4, BLOCK_TIME["layer"]) == (5, 20)
    assert _turns(0.010, BLOCK_TIME["model"]) == (3, 1)
    assert _turns(1.5, BLOCK_TIME["model"]) == (2, 1)


class Watching(NoWatch):
    def __init__(self):
        self.looks = iter(range(1000))

    def look(self):
        return next(self.looks) * 1e-9


def test_a_real_network():
    case = Case(Network("separable", 0.25, 64), Conditions(2, "cpu", "fp32"))
    found = Tracer(Watching()).trace(case)
    assert FEWEST_BLOCKS <= len(found["traced_messages"]) <= BLOCKS["model"]
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
    assert found["dispatch_within"] >= 0


def test_a_folded_network_has_no_batch_norm():
    case = Case(Network("separable", 0.25, 64), Conditions(1, "cpu", "fp32", "folded"))
    assert "batch_norm" not in {one["operator"] for one in Tracer(NoWatch()).trace(case)["operators"]}


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
