"""Where the time of a call goes, by type of operator, from torch's profiler."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import profile, record_function

from mnv1.base.facts import Facts
from mnv1.base.statistics import grouped_mean
from mnv1.cases.devices import Device
from mnv1.cases.devices.clock import Call

PROFILED_TIME = 0.3
"""Seconds of profiled calls, as far as the numbers below allow. Reading a profile takes longer than making it."""
MIN_CALLS, MAX_CALLS = 3, 4
LONG_CALL = 0.1
"""Seconds of a call in which it does not matter that the profiler is cold in its first one."""

_CALL = "mnv1 call"
_BY_NAME = {
    "aten::linear": "linear",
    "aten::addmm": "linear",
    "aten::batch_norm": "batch_norm",
    "aten::relu": "activation",
    "aten::relu_": "activation",
    "aten::relu6": "activation",
    "aten::hardtanh": "activation",
    "aten::hardtanh_": "activation",
}
_CASTS = {"aten::to", "aten::_to_copy"}


def operator_times(call: Call, device: Device, seconds: float) -> list[Facts]:
    """Seconds by type of operator of a call that takes about `seconds`, each with its 95 % interval over some calls.

    A convolution's type follows from its weight's shape. What autocast casts inside of another operator counts as
    `cast`. `between` is the time outside of operators: Python, and the dispatch of the next operator. On CUDA the times
    are those of the kernels, so there is no `between`.
    """
    number = min(MAX_CALLS, max(MIN_CALLS, round(PROFILED_TIME / seconds)))
    cold = 0 if seconds > LONG_CALL else 1
    with profile(activities=device.activities(), record_shapes=True) as profiler:
        for _ in range(cold + number):
            with record_function(_CALL):
                call()
        device.wait()
    events = profiler.events() or []
    calls = [event for event in events if event.name == _CALL and event.cpu_children]
    return summarise([times_of(event, device) for event in calls[cold:]])


def times_of(call: FunctionEvent, device: Device) -> dict[str, tuple[float, int]]:
    """Seconds and number of operators by type, of one profiled call."""
    found: dict[str, tuple[float, int]] = {}

    def add(operator: str, seconds: float, number: int) -> None:
        before = found.get(operator, (0.0, 0))
        found[operator] = (before[0] + seconds, before[1] + number)

    for event in call.cpu_children:
        casts = [] if event.name in _CASTS else list(_casts_within(event))
        in_casts = sum(device.seconds_of(cast) for cast in casts)
        add("cast" if event.name in _CASTS else operator_type(event), device.seconds_of(event) - in_casts, 1)
        if casts:
            add("cast", in_casts, len(casts))
    if device.tells_gaps():
        add("between", device.seconds_of(call) - sum(device.seconds_of(event) for event in call.cpu_children), 0)
    return found


def operator_type(event: FunctionEvent) -> str:
    """What type of operator an event is, by its name and the shapes of its inputs."""
    if event.name in ("aten::conv2d", "aten::convolution"):
        shapes: list[list[int]] = event.input_shapes  # type: ignore[assignment]  # torch types it as one shape
        weight = shapes[1]
        if weight[2:] == [1, 1]:
            return "pointwise"
        return "depthwise" if weight[1] == 1 else "standard"
    return _BY_NAME.get(event.name, "other")


def summarise(calls: Sequence[dict[str, tuple[float, int]]]) -> list[Facts]:
    """Mean seconds of each type of operator over some calls, with their interval."""
    facts: list[Facts] = []
    for operator in dict.fromkeys(name for call in calls for name in call):
        seconds = [call.get(operator, (0.0, 0))[0] for call in calls]
        mean, low, high = grouped_mean([[one] for one in seconds])
        count = max(call.get(operator, (0.0, 0))[1] for call in calls)
        about = {"operator": operator, "seconds": mean, "low": max(0.0, low), "high": high}
        facts.append({**about, "count": count, "calls": len(calls)})
    return facts


def _casts_within(event: FunctionEvent) -> Iterable[FunctionEvent]:
    """Outermost casts below an event."""
    for child in event.cpu_children:
        if child.name in _CASTS:
            yield child
        else:
            yield from _casts_within(child)
