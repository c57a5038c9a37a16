"""From the visits to a case to what is stored of it: the figures with their intervals, and how they were sampled.

Needs no torch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import median
from typing import cast

from mnv1.base.facts import LATENCY, Facts
from mnv1.base.run_to_run import RunToRun
from mnv1.base.statistics import percentiles, widened
from mnv1.cases import PRECISIONS, Case, Conditions, Pair, Workload
from mnv1.measure.by_state import FIRST, LAST, SPEEDUP, InState, by_state, headline
from mnv1.measure.states import State
from mnv1.measure.timing import Policy, Stopped, Visit

LAUNCH_BOUND = 1.25
"""A call that takes this many times as long as its kernels is bound by launching them, not by the device."""


BETWEEN_KERNELS = 1e-6
"""Seconds that a device itself takes from one kernel to the next, however fast they are launched."""


@dataclass(frozen=True)
class Record:
    """What is stored of one case: raw samples in seconds per call, and facts in SI units."""

    samples: tuple[float, ...]
    calls_per_round: int
    facts: Facts


def record(
    case: Case | Pair, visits: Sequence[Visit], stopped: Stopped, policy: Policy, states: Sequence[State] = ()
) -> Record:
    """The facts of a case that was visited for the last time, at least twice."""
    chosen = headline(visits, policy, states)
    samples = tuple(times[-1] for times in chosen.rounds)
    _, p90, p99 = percentiles(samples)
    facts = {
        **figures_of(case, chosen, policy.run_to_run),
        "latency_p90": p90,
        "latency_p99": p99,
        **_sampling(visits, chosen, stopped),
        "states": _states(case, visits, policy, states),
        "calls_per_round": visits[0].calls[-1],
        "visit_rounds": [_as_stored(visit) for visit in visits],
    }
    facts |= _of_pair(case, visits) if isinstance(case, Pair) else _of_latency(case, visits, facts)
    return Record(tuple(round(sample, 10) for sample in samples), visits[0].calls[-1], facts)


def _of_latency(case: Case, visits: Sequence[Visit], known: Facts) -> Facts:
    counted, p50 = _counted(case, visits[0].extras), cast(float, known["latency_p50"])
    facts: Facts = {
        **_identity(case.id, case.workload.measures, case.workload, case.conditions),
        **counted,
        "throughput": case.conditions.batch_size / p50,
        "macs_per_second": counted["macs"] / p50,
    }
    device = [seconds for visit in visits for seconds in visit.device]
    if device:
        facts["device_latency_p50"] = median(device)
    return facts


def launching(facts: Facts) -> Facts:
    """Whether a latency is bound by launching its kernels (`launch_bound`), where these are known."""
    busy, kernels = facts.get("device_busy"), facts.get("device_kernels", 0.0)
    if not isinstance(busy, float):
        return {}
    on_device = busy + BETWEEN_KERNELS * cast(float, kernels)
    return {"launch_bound": cast(float, facts["latency_p50"]) > LAUNCH_BOUND * on_device}


def _of_pair(pair: Pair, visits: Sequence[Visit]) -> Facts:
    found = visits[0].extras
    counted = _counted(pair.separable, found)
    standard_macs = _counted(pair.standard, {"macs": found.get("standard_macs"), "params": 0})["macs"]
    counted.pop("memory_floor", None)  # of the latency
    return {
        **_identity(pair.id, pair.measures, pair.workload, pair.conditions),
        **counted,
        "standard_macs": standard_macs,
        "macs_ratio": standard_macs / counted["macs"] if counted["macs"] else 1.0,
        "standard_calls_per_round": visits[0].calls[0],
    }


def figures_of(case: Case | Pair, found: InState, run_to_run: RunToRun) -> Facts:
    """The figures that rounds give, with 95 % intervals that should hold for the next run too."""
    of_latency = run_to_run.of(LATENCY, found.name)
    facts = _interval("latency_p50", "latency", found.mean(LAST), of_latency)
    if not isinstance(case, Pair):
        return facts | {"run_to_run": of_latency}
    here = run_to_run.of(case.measures, found.name)
    return {
        **facts,
        "standard_latency_p50": math.exp(found.mean(FIRST)[0]),
        **_interval("speedup", "speedup", found.mean(SPEEDUP), here),
        "run_to_run": here,
        "latency_run_to_run": of_latency,
    }


def _interval(name: str, figure: str, logs: tuple[float, float, float], run_to_run: float) -> Facts:
    value, low, high = map(math.exp, widened(logs, run_to_run))
    return {name: value, f"{figure}_low": low, f"{figure}_high": high}


def _states(case: Case | Pair, visits: Sequence[Visit], policy: Policy, states: Sequence[State]) -> list[Facts]:
    """Of each state that carries a figure its rounds and figures, and which share of the case's rounds it has."""
    whole = sum(len(visit.sides[0]) for visit in visits)
    return [
        {
            "state": one.name,
            "message": round(one.state.message, 9) if one.state else None,
            "visits": len(one.visits),
            "rounds": len(one.rounds),
            "share": round(len(one.rounds) / whole, 4),
            **figures_of(case, one, policy.run_to_run),
        }
        for one in by_state(visits, states)
        if one.carries(policy)
    ]


def better_of(some: Sequence[Facts], others: Sequence[Facts]) -> list[Facts]:
    """Of ceilings that were measured twice the higher ones."""
    best: dict[tuple[object, ...], Facts] = {}
    for one in (*some, *others):
        key = one["ceiling"], one["device"], one["precision"]
        best[key] = max(best.get(key, one), one, key=lambda fact: float(str(fact["value"])))
    return list(best.values())


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
