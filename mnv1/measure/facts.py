"""From the visits to a case to what is stored of it: when sampling is over, and the figures with their intervals.

Needs no torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import median
from typing import cast

from mnv1.base.facts import Facts
from mnv1.base.statistics import grouped_midmean, percentiles
from mnv1.cases import PRECISIONS, Case, Conditions, Pair, Workload
from mnv1.measure.states import MIXED, State, state_of
from mnv1.measure.timing import Policy, Stopped, Visit

LAUNCH_BOUND = 1.25
"""A call that takes this many times as long as its kernels is bound by launching them, not by the device."""

PRECISE_VISITS = 16
"""Never stop as precise before so many visits in a state: a few may agree by chance."""

Round = tuple[float, ...]
"""Seconds a call of each side."""

Value = Callable[[Round], float]
"""What a round tells of a figure, on a logarithmic scale: times and their ratios are products of many causes."""

SPEEDUP: Value = lambda times: math.log(times[0] / times[1])  # noqa: E731
FIRST: Value = lambda times: math.log(times[0])  # noqa: E731
LAST: Value = lambda times: math.log(times[-1])  # noqa: E731


@dataclass(frozen=True)
class Record:
    """What is stored of one case: raw samples in seconds per call, and facts in SI units."""

    samples: tuple[float, ...]
    calls_per_round: int
    facts: Facts


@dataclass(frozen=True)
class InState:
    """The rounds of a case that were taken in one state of the machine, grouped by visit.

    A visit finds its tensors somewhere else in memory than the one before, so that visits are independent draws of
    where things lie, and rounds of one visit are not.
    """

    state: State | None
    """None where states were mixed, or could not be read."""
    name: str
    visits: tuple[tuple[Round, ...], ...]

    @property
    def rounds(self) -> tuple[Round, ...]:
        """All of them."""
        return tuple(one for visit in self.visits for one in visit)

    def carries(self, policy: Policy) -> bool:
        """Whether that is enough for a figure of this state."""
        return policy.is_enough(len(self.visits), len(self.rounds))

    def mean(self, value: Value) -> tuple[float, float, float]:
        """A figure and its 95 % interval over visits: of the middle half of the rounds, on a logarithmic scale."""
        return grouped_midmean([[value(times) for times in visit] for visit in self.visits])

    def half_width(self, value: Value) -> float:
        """Half the width of the interval, relative to the figure."""
        _, low, high = self.mean(value)
        return math.expm1((high - low) / 2)


def by_state(visits: Sequence[Visit], states: Sequence[State]) -> list[InState]:
    """The rounds of a case by the state that they were taken in, in the order of the states.

    Rounds on a change of state, and those in which the kernel stopped the process, are in none.
    """
    found = []
    for state in states:
        grouped = [
            tuple(
                times
                for times, around, stopped in zip(one.rounds, one.messages, _throttled(one), strict=True)
                if not stopped and state_of(states, around) is state
            )
            for one in visits
            if one.messages
        ]
        if any(grouped):
            found.append(InState(state, state.name, tuple(filter(None, grouped))))
    return found


def every_state(visits: Sequence[Visit], states: Sequence[State]) -> InState:
    """All rounds of a case, but not those in which the kernel stopped the process unless hardly any is left."""
    free = [
        tuple(times for times, stopped in zip(one.rounds, _throttled(one), strict=True) if not stopped)
        for one in visits
    ]
    grouped = free if sum(map(bool, free)) >= 2 else [one.rounds for one in visits]
    met = {state_of(states, around) for one in visits for around in one.messages}
    alone = met.pop() if len(met) == 1 else None
    return InState(alone, alone.name if alone else MIXED if states else "", tuple(filter(None, grouped)))


def headline(visits: Sequence[Visit], policy: Policy, states: Sequence[State]) -> InState:
    """The rounds that a case's figures are made of: those of the state with the nearest CPUs that carries a figure.

    Where none does, all rounds.
    """
    enough = [one for one in by_state(visits, states) if one.carries(policy)]
    return enough[0] if enough else every_state(visits, states)


def is_precise(case: Case | Pair, visits: Sequence[Visit], policy: Policy, states: Sequence[State]) -> bool:
    """Whether the figures of all these states, which the machine was in, are as precise as wanted."""
    value = SPEEDUP if isinstance(case, Pair) else FIRST
    met = by_state(visits, states) if states else [every_state(visits, ())]
    return len(met) == max(1, len(states)) and all(
        len(one.visits) >= PRECISE_VISITS and one.carries(policy) and one.half_width(value) <= policy.precision
        for one in met
    )


def record(
    case: Case | Pair, visits: Sequence[Visit], stopped: Stopped, policy: Policy, states: Sequence[State] = ()
) -> Record:
    """The facts of a case that was visited for the last time, at least twice."""
    chosen = headline(visits, policy, states)
    if isinstance(case, Pair):
        return _record_pair(case, visits, stopped, policy, states, chosen)
    return _record_latency(case, visits, stopped, policy, states, chosen)


def figures_of(pair: bool, found: InState) -> Facts:
    """The figures that rounds give, with their 95 % intervals."""
    facts = _interval("latency_p50", "latency", found.mean(LAST))
    if pair:
        facts |= {"standard_latency_p50": math.exp(found.mean(FIRST)[0])}
        facts |= _interval("speedup", "speedup", found.mean(SPEEDUP))
    return facts


def _interval(name: str, ends: str, logs: tuple[float, float, float]) -> Facts:
    value, low, high = map(math.exp, logs)
    return {name: value, f"{ends}_low": low, f"{ends}_high": high}


def _states(pair: bool, visits: Sequence[Visit], policy: Policy, states: Sequence[State]) -> list[Facts]:
    """Of each state that carries a figure its rounds and figures."""
    return [
        {
            "state": one.name,
            "message": round(one.state.message, 9) if one.state else None,
            "visits": len(one.visits),
            "rounds": len(one.rounds),
            **figures_of(pair, one),
        }
        for one in by_state(visits, states)
        if one.carries(policy)
    ]


def _throttled(visit: Visit) -> Sequence[bool]:
    return visit.throttled or (False,) * len(visit.sides[0])


def better_of(some: Sequence[Facts], others: Sequence[Facts]) -> list[Facts]:
    """Of ceilings that were measured twice the higher ones."""
    best: dict[tuple[object, ...], Facts] = {}
    for one in (*some, *others):
        key = one["ceiling"], one["device"], one["precision"]
        best[key] = max(best.get(key, one), one, key=lambda fact: float(str(fact["value"])))
    return list(best.values())


def _record_latency(
    case: Case,
    visits: Sequence[Visit],
    stopped: Stopped,
    policy: Policy,
    states: Sequence[State],
    chosen: InState,
) -> Record:
    samples = tuple(times[0] for times in chosen.rounds)
    _, p90, p99 = percentiles(samples)
    counted = _counted(case, visits[0].extras)
    figures = figures_of(False, chosen)
    p50 = cast(float, figures["latency_p50"])
    facts = {
        **_identity(case.id, case.workload.measures, case.workload, case.conditions),
        **counted,
        **figures,
        "latency_p90": p90,
        "latency_p99": p99,
        "throughput": case.conditions.batch_size / p50,
        "macs_per_second": counted["macs"] / p50,
        **_sampling(visits, chosen, stopped),
        "states": _states(False, visits, policy, states),
        "calls_per_round": visits[0].calls[0],
        "visit_rounds": [_as_stored(visit) for visit in visits],
    }
    device = [seconds for visit in visits for seconds in visit.device]
    if device:
        facts["device_latency_p50"] = median(device)
    busy = facts.get("device_busy")
    if isinstance(busy, float):
        facts["launch_bound"] = p50 > LAUNCH_BOUND * busy
    return Record(_stored(samples), visits[0].calls[0], facts)


def _record_pair(
    pair: Pair,
    visits: Sequence[Visit],
    stopped: Stopped,
    policy: Policy,
    states: Sequence[State],
    chosen: InState,
) -> Record:
    samples = tuple(times[1] for times in chosen.rounds)
    _, p90, p99 = percentiles(samples)
    counted = _counted(pair.separable)
    counted.pop("memory_floor", None)  # of the latency
    standard_macs = _counted(pair.standard)["macs"]
    facts = {
        **_identity(pair.id, pair.workload.pair_measures, pair.workload, pair.conditions),
        **counted,
        **figures_of(True, chosen),
        "latency_p90": p90,
        "latency_p99": p99,
        "standard_macs": standard_macs,
        "macs_ratio": standard_macs / counted["macs"],
        **_sampling(visits, chosen, stopped),
        "states": _states(True, visits, policy, states),
        "calls_per_round": visits[0].calls[1],
        "standard_calls_per_round": visits[0].calls[0],
        "visit_rounds": [_as_stored(visit) for visit in visits],
    }
    return Record(_stored(samples), visits[0].calls[1], facts)


def _as_stored(visit: Visit) -> Facts:
    """Every round of a visit, those that do not count included, and what was read around each, in nanoseconds.

    Five digits of a time tell more than its scatter; rounds of one group have the same readings.
    """
    stored: Facts = {"at": visit.at, "sides": [[float(f"{seconds:.5g}") for seconds in side] for side in visit.sides]}
    if visit.messages:
        grouped = [(around, len(list(alike))) for around, alike in groupby(visit.messages)]
        stored["messages"] = [[round(low * 1e9), round(high * 1e9), number] for (low, high), number in grouped]
    if visit.throttled:
        stored["throttled"] = visit.throttled
    return stored


def visit_of(stored: dict[str, object]) -> Visit:
    """The rounds of a stored visit."""
    return Visit(
        sides=tuple(map(tuple, cast(Sequence[Sequence[float]], stored["sides"]))),
        calls=(),
        call_time=0.0,
        messages=tuple(
            (low * 1e-9, high * 1e-9)
            for low, high, number in cast(Sequence[tuple[int, int, int]], stored.get("messages", ()))
            for _ in range(number)
        ),
        throttled=tuple(cast(Sequence[bool], stored.get("throttled", ()))),
        at=cast(float, stored.get("at", 0.0)),
    )


def _sampling(visits: Sequence[Visit], chosen: InState, stopped: Stopped) -> Facts:
    """How the case was sampled, and what was found beside: of several visits the first one's, but any throttling."""
    extras: Facts = {}
    for visit in reversed(visits):
        extras |= {name: value for name, value in visit.extras.items() if value or name not in extras}
    return extras | {
        "state": chosen.name,
        "visits": len(chosen.visits),
        "rounds": len(chosen.rounds),
        "other_rounds": sum(len(visit.sides[0]) for visit in visits) - len(chosen.rounds),
        "call_time": sum(visit.call_time for visit in visits),
        "stopped": stopped,
    }


def _counted(case: Case, found: Facts | None = None) -> dict[str, int]:
    """Closed forms where there are any; for others what was `found` when they were measured."""
    size = PRECISIONS[case.conditions.precision].element_size
    counts = case.workload.counts(case.conditions.batch_size, size)
    if counts is not None:
        return dict(counts)
    return {name: cast(int, (found or {})[name]) for name in ("macs", "params")}


def _identity(case_id: str, measures: str, workload: Workload, conditions: Conditions) -> Facts:
    facts: Facts = {
        "id": case_id,
        "measures": measures,
        "kind": workload.kind,
        "shape": workload.shape_id,
        "subject": workload.subject,
        **workload.columns(),
        "batch_size": conditions.batch_size,
        "device": conditions.device,
        "precision": conditions.precision,
        "mode": conditions.mode,
    }
    return facts | ({"amp_dtype": conditions.on.amp_dtype} if conditions.precision == "amp" else {})


def _stored(samples: tuple[float, ...]) -> tuple[float, ...]:
    """Samples to a tenth of a nanosecond: more digits are float noise and make the files twice as large."""
    return tuple(round(sample, 10) for sample in samples)
