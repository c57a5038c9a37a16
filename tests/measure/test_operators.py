"""Operators of a profiled call, by type: a profile made by hand, and a real one."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from mnv1.cases import DEVICES
from mnv1.cases.devices import onednn
from mnv1.cases.devices.cpu import Cpu
from mnv1.cases.devices.kernels import Kernel
from mnv1.measure import operators
from mnv1.measure.operators import Profiled, profiled_calls, summarise, times_of
from mnv1.net.blocks import conv_dw


def event(name, microseconds, *children, shapes=(), device=0.0):
    return SimpleNamespace(
        name=name,
        cpu_time_total=microseconds,
        device_time_total=device,
        cpu_children=list(children),
        input_shapes=list(shapes),
    )


def conv(microseconds, weight, *children, device=0.0):
    return event("aten::conv2d", microseconds, *children, shapes=[[1, 8, 4, 4], weight, []], device=device)


CALL = event(
    "mnv1 call",
    100.0,
    conv(40.0, [16, 8, 1, 1], event("aten::conv2d", 38.0, event("aten::to", 3.0)), event("aten::to", 5.0), device=7.0),
    conv(20.0, [8, 1, 3, 3], device=5.0),
    conv(10.0, [8, 8, 3, 3]),
    event("aten::batch_norm", 6.0, device=1.0),
    event("aten::relu_", 4.0),
    event("aten::linear", 3.0),
    event("aten::flatten", 1.0),
    event("aten::to", 2.0),
)


def test_types_of_operators():
    seconds = {name: (round(1e6 * time, 6), number) for name, (time, number) in times_of(CALL, DEVICES["cpu"]).items()}
    assert seconds == {
        "pointwise": (32.0, 1),
        "depthwise": (20.0, 1),
        "standard": (10.0, 1),
        "batch_norm": (6.0, 1),
        "activation": (4.0, 1),
        "linear": (3.0, 1),
        "other": (1.0, 1),
        "cast": (10.0, 3),  # two within the pointwise convolution
        "between": (14.0, 0),
    }


def test_on_cuda_the_kernels_count_and_nothing_is_between():
    times = times_of(CALL, DEVICES["cuda"])
    assert times["pointwise"][0] == pytest.approx(7e-6)
    assert times["depthwise"][0] == pytest.approx(5e-6)
    assert "between" not in times


def test_mean_over_calls_with_its_interval():
    calls = [{"pointwise": (value, 13)} for value in (1.0, 2.0, 3.0)]
    (fact,) = summarise(calls)
    assert (fact["operator"], fact["count"], fact["calls"]) == ("pointwise", 13, 3)
    assert fact["seconds"] == 2.0
    assert fact["high"] == pytest.approx(2 + 4.302653 / 3**0.5)  # Student's t for two degrees of freedom
    assert fact["low"] == 0.0  # a time is not negative


def kernel(kind, seconds):
    return Kernel(kind, "jit", "abcd", "8x8", seconds)


RAN = [kernel("images", 1.0), kernel("pointwise", 4.0), kernel("weights", 0.5), kernel("batch_norm", 9.0)]


def test_time_within_convolutions_that_no_kernel_took():
    times = {"pointwise": (8.0, 1), "batch_norm": (10.0, 1), "linear": (3.0, 1), "between": (1.0, 0)}
    assert Profiled(times, RAN).within == 2.5, "neither the pass is a convolution's, nor the layer of another library"
    assert Profiled(times | {"linear": (3.0, 1)}, [*RAN, kernel("linear", 1.0)]).within == 4.5
    assert Profiled(times).within is None
    assert Profiled(times | {"pointwise": (8.0, 2)}, RAN).within is None, "another library ran one of the two"
    assert Profiled(times, RAN).seconds == 22.0


def block_call():
    block = nn.Sequential(conv_dw(8, 16, 1)).eval()
    images = torch.randn(2, 8, 32, 32)

    def call():
        with torch.inference_mode():
            return block(images)

    call()
    return call


def test_a_real_separable_block():
    calls = profiled_calls(block_call(), DEVICES["cpu"], 3)
    found = {fact["operator"]: fact for fact in summarise([one.operators for one in calls])}
    assert {name: fact["count"] for name, fact in found.items() if name in ("depthwise", "pointwise")} == {
        "depthwise": 1,
        "pointwise": 1,
    }
    assert found["batch_norm"]["count"] == found["activation"]["count"] == 2
    assert all(fact["low"] <= fact["seconds"] <= fact["high"] for fact in found.values())
    assert sum(fact["seconds"] for fact in found.values()) > 0


@pytest.mark.skipif(not onednn.is_traceable(), reason="this torch was built without oneDNN")
def test_the_library_tells_of_the_calls_that_are_profiled():
    for one in profiled_calls(block_call(), DEVICES["cpu"], 2):
        ran = [kernel.kernel for kernel in one.kernels]
        if "depthwise" not in ran:
            pytest.skip("torch took another library for these layers here")
        assert ran.count("depthwise") == ran.count("pointwise") == 1
        assert one.within is not None


@pytest.mark.parametrize(("is_host", "mapped"), [(True, 5), (False, 0)])
def test_pages_that_are_mapped_are_counted_on_the_host_alone(monkeypatch, is_host, mapped):
    pages = iter(range(0, 1000, 5))
    monkeypatch.setattr(operators, "page_faults", lambda: next(pages))
    device = Cpu("cpu")
    device.is_host = is_host
    assert [one.mapped for one in profiled_calls(block_call(), device, 2)] == [mapped] * 2


def test_without_a_trace_there_are_operators_alone(monkeypatch):
    monkeypatch.setattr(onednn, "is_traceable", lambda: False)
    (one,) = profiled_calls(block_call(), DEVICES["cpu"], 1)
    assert (one.kernels, one.within) == ([], None)
    assert one.operators["depthwise"][1] == 1
