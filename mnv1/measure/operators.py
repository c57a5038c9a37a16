"""Where the time of a call goes, by type of operator, from torch's profiler."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import profile, record_function

from mnv1.base.facts import Facts
from mnv1.base.statistics import grouped_mean
from mnv1.cases.devices import Device
from mnv1.cases.devices.clock import Call
from mnv1.cases.devices.kernels import Kernel
from mnv1.cases.devices.profiled import CALL, CASTS, operator_type
from mnv1.measure.memory import page_faults

LAYERS = ("pointwise", "depthwise", "standard", "linear")
"""Operators with weights: the library runs copies and casts within these."""
BESIDE_LAYERS = ("batch_norm", "activation")
"""Kernels of the library that are within other operators."""


@dataclass(frozen=True)
class Profiled:
    """What was found of one profiled call."""

    operators: dict[str, tuple[float, int]]
    """Seconds and number by type.

    A convolution's type follows from its weight's shape. What autocast casts inside of another operator counts as
    `cast`. `between` is the time outside of operators: Python, and the dispatch of the next operator. On CUDA the times
    are those of the kernels, so there is no `between`.
    """
    kernels: Sequence[Kernel] = field(default_factory=list)
    """On the host: what the library said meanwhile, if it says anything."""
    mapped: int = 0
    """On the host: pages that the kernel mapped meanwhile."""

    @property
    def seconds(self) -> float:
        """Of the whole call."""
        return sum(seconds for seconds, _ in self.operators.values())

    @property
    def within(self) -> float | None:
        """Seconds that convolutions take beside their kernels: dispatch, and what the library does before it runs one.

        None where it does not tell of each of them: another library may run some.
        """
        ran = Counter(kernel.kernel for kernel in self.kernels if kernel.kernel in LAYERS)
        called = {name: self.operators.get(name, (0.0, 0)) for name in ran}
        if not ran or any(ran[name] != number for name, (_, number) in called.items()):
            return None
        kernels = sum(kernel.seconds for kernel in self.kernels if kernel.kernel not in BESIDE_LAYERS)
        return sum(seconds for seconds, _ in called.values()) - kernels


def profiled_calls(call: Call, device: Device, calls: int, cold: int = 1) -> list[Profiled]:
    """What each of some calls does, by torch's profiler; on the host the library tells of the same calls.

    `cold` calls go before, in which the profiler is slow.
    """
    mapped: list[int] = []

    def recorded() -> None:
        before = page_faults()
        with record_function(CALL):
            call()
        mapped.append(page_faults() - before if device.is_host else 0)

    with profile(activities=device.activities(), record_shapes=True) as profiler:
        # Of other devices the kernels come from this very profiler.
        traced = device.kernels(recorded, cold + calls) if device.is_host else []
        if not traced:
            for _ in range(cold + calls):
                recorded()
        device.wait()
    events = [event for event in profiler.events() or [] if event.name == CALL]
    found = zip(events, traced or [[]] * len(events), mapped, strict=True)
    return [Profiled(times_of(event, device), ran, new) for event, ran, new in found if event.cpu_children][cold:]


def times_of(call: FunctionEvent, device: Device) -> dict[str, tuple[float, int]]:
    """Seconds and number of operators by type, of one profiled call."""
    found: dict[str, tuple[float, int]] = {}

    def add(operator: str, seconds: float, number: int) -> None:
        before = found.get(operator, (0.0, 0))
        found[operator] = (before[0] + seconds, before[1] + number)

    for event in call.cpu_children:
        casts = [] if event.name in CASTS else list(_casts_within(event))
        in_casts = sum(device.seconds_of(cast) for cast in casts)
        add(operator_type(event), device.seconds_of(event) - in_casts, 1)
        if casts:
            add("cast", in_casts, len(casts))
    if device.tells_gaps():
        add("between", device.seconds_of(call) - sum(device.seconds_of(event) for event in call.cpu_children), 0)
    return found


def summarise(calls: Sequence[dict[str, tuple[float, int]]]) -> list[Facts]:
    """Mean seconds of each type of operator over some calls, with their interval."""
    facts: list[Facts] = []
    for operator in dict.fromkeys(name for call in calls for name in call):
        seconds = [call.get(operator, (0.0, 0))[0] for call in calls]
        mean, low, high = grouped_mean([[one] for one in seconds]) if len(seconds) > 1 else (seconds[0],) * 3
        count = max(call.get(operator, (0.0, 0))[1] for call in calls)
        about = {"operator": operator, "seconds": mean, "low": max(0.0, low), "high": high}
        facts.append({**about, "count": count, "calls": len(calls)})
    return facts


def _casts_within(event: FunctionEvent) -> Iterable[FunctionEvent]:
    """Outermost casts below an event."""
    for child in event.cpu_children:
        if child.name in CASTS:
            yield child
        else:
            yield from _casts_within(child)
