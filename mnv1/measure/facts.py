"""From the visits to a case to what is stored of it: when sampling is over, and the figures with their intervals.

Needs no torch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import cast

from mnv1.base.facts import Facts
from mnv1.base.statistics import MIN_SAMPLES, grouped_mean, median_interval, percentiles
from mnv1.cases import PRECISIONS, Case, Conditions, Pair, Workload
from mnv1.measure.quiet import Reading, quietness
from mnv1.measure.timing import Policy, Stopped, Visit, is_stalled

LAUNCH_BOUND = 1.25
"""A call that takes this many times as long as its kernels is bound by launching them, not by the device."""

MAX_VISITS = 3
"""A latency whose rounds were disturbed is visited again, but not for ever."""


@dataclass(frozen=True)
class Record:
    """What is stored of one case: raw samples in seconds per call, and facts in SI units."""

    samples: tuple[float, ...]
    calls_per_round: int
    facts: Facts


def conclude(
    case: Case | Pair, visits: Sequence[Visit], policy: Policy, hurry: bool = False, usual: Reading = ()
) -> Stopped | None:
    """Why sampling of a case is over after these visits, or None when it should be visited again.

    In a `hurry` a case gets no more visits than it needs for a figure. `usual` is what controls take on the undisturbed
    machine, as far as that is known.
    """
    if isinstance(case, Pair):
        return _conclude_pair(visits, policy, hurry, usual)
    return _conclude_latency(visits, policy, hurry)


def record(case: Case | Pair, visits: Sequence[Visit], stopped: Stopped, usual: Reading = ()) -> Record:
    """The facts of a case that was visited for the last time; `usual` is as in `conclude`."""
    if isinstance(case, Pair):
        return _record_pair(case, visits, stopped, usual)
    return _record_latency(case, visits, stopped)


def estimated(visits: Sequence[Visit], usual: Reading) -> Facts:
    """The speedup that visits to a pair give, and both sides' times, each with its 95 % interval over visits.

    All are geometric means over all rounds, of which each counts as much as the machine was undisturbed in it
    (`mnv1.measure.quiet.quietness`): leaving rounds out beyond a threshold would make the figure depend on how often
    the machine is just above it. `effective_rounds` is how many undisturbed rounds would tell as much (Kish 1965).
    """
    weights = _weights(visits, usual)

    def mean(values: Sequence[Sequence[float]]) -> list[float]:
        return [math.exp(value) for value in grouped_mean(values, weights)]

    speedup, standard, separable = (
        mean(values)
        for values in (
            [_log_ratios(visit) for visit in visits],
            *([_log_times(v, side) for v in visits] for side in (0, 1)),
        )
    )
    every = [weight for one in weights for weight in one]
    return {
        "latency_p50": separable[0],
        "latency_low": separable[1],
        "latency_high": separable[2],
        "standard_latency_p50": standard[0],
        "speedup": speedup[0],
        "speedup_low": speedup[1],
        "speedup_high": speedup[2],
        "effective_rounds": sum(every) ** 2 / sum(weight**2 for weight in every),
    }


def _weights(visits: Sequence[Visit], usual: Reading) -> list[list[float]]:
    """How much each round of each visit to a pair counts.

    A round in which the kernel stopped the process does not count at all: that is no matter of degree. Unless that
    leaves fewer than two visits with a round, of which no interval can be made: then all rounds count as controls say.
    """
    weights = [quietness(visit.controls, len(visit.disturbed), usual) for visit in visits]
    free = [
        [0.0 if stopped else weight for weight, stopped in zip(one, visit.throttled, strict=True)]
        if visit.throttled
        else one
        for one, visit in zip(weights, visits, strict=True)
    ]
    return free if sum(map(any, free)) >= 2 else weights


def better_of(some: Sequence[Facts], others: Sequence[Facts]) -> list[Facts]:
    """Of ceilings that were measured twice the higher ones."""
    best: dict[tuple[object, ...], Facts] = {}
    for one in (*some, *others):
        key = one["ceiling"], one["device"], one["precision"]
        best[key] = max(best.get(key, one), one, key=lambda fact: float(str(fact["value"])))
    return list(best.values())


def _conclude_latency(visits: Sequence[Visit], policy: Policy, hurry: bool) -> Stopped | None:
    last = visits[-1].stopped
    if last != "disturbed":
        return last
    if sum(not one for visit in visits for one in visit.disturbed) >= MIN_SAMPLES:
        return "time budget"
    over = hurry or len(visits) >= MAX_VISITS or _spent(visits) >= policy.max_time
    return "disturbed" if over else None


def _conclude_pair(visits: Sequence[Visit], policy: Policy, hurry: bool, usual: Reading) -> Stopped | None:
    if len(visits) < policy.min_visits:
        return None
    disturbed = [bad for visit in visits for bad in visit.disturbed]
    undisturbed = 2 * sum(disturbed) <= len(disturbed)

    def width(some: Sequence[Visit]) -> float:
        return _log_half_width(some, usual)

    if undisturbed and width(visits) <= math.log1p(policy.precision):
        return "precise"
    if undisturbed and is_stalled(visits, width, 5):
        return "no longer improving"
    if hurry or _spent(visits) >= policy.max_time:
        return "time budget" if undisturbed else "disturbed"
    return None


def _record_latency(case: Case, visits: Sequence[Visit], stopped: Stopped) -> Record:
    rounds = [(value, bad) for visit in visits for value, bad in zip(visit.sides[0], visit.disturbed, strict=True)]
    samples = tuple(value for value, bad in rounds if stopped == "disturbed" or not bad)
    p50, p90, p99 = percentiles(samples)
    low, high = median_interval(samples)
    counted = _counted(case, visits[0].extras)
    facts = {
        **_identity(case.id, case.workload.measures, case.workload, case.conditions),
        **counted,
        "latency_p50": p50,
        "latency_p90": p90,
        "latency_p99": p99,
        "latency_low": low,
        "latency_high": high,
        "throughput": case.conditions.batch_size / p50,
        "macs_per_second": counted["macs"] / p50,
        **_sampling(visits, len(samples), sum(bad for _, bad in rounds), stopped),
        "calls_per_round": visits[0].calls[0],
    }
    device = [seconds for visit in visits for seconds in visit.device]
    if device:
        facts["device_latency_p50"] = median(device)
    busy = facts.get("device_busy")
    if isinstance(busy, float):
        facts["launch_bound"] = p50 > LAUNCH_BOUND * busy
    return Record(_stored(samples), visits[0].calls[0], facts)


def _record_pair(pair: Pair, visits: Sequence[Visit], stopped: Stopped, usual: Reading) -> Record:
    standard_samples, separable_samples = (
        tuple(seconds for visit in visits for seconds in visit.sides[side]) for side in (0, 1)
    )
    _, p90, p99 = percentiles(separable_samples)
    counted = _counted(pair.separable)
    counted.pop("memory_floor", None)  # of the latency
    standard_macs = _counted(pair.standard)["macs"]
    facts = {
        **_identity(pair.id, pair.workload.pair_measures, pair.workload, pair.conditions),
        **counted,
        **estimated(visits, usual),
        "latency_p90": p90,
        "latency_p99": p99,
        "standard_macs": standard_macs,
        "macs_ratio": standard_macs / counted["macs"],
        **_sampling(visits, len(separable_samples), sum(bad for visit in visits for bad in visit.disturbed), stopped),
        "calls_per_round": visits[0].calls[1],
        "standard_calls_per_round": visits[0].calls[0],
        "standard_samples": _stored(standard_samples),
        "visit_rounds": [_as_stored(visit) for visit in visits],
    }
    return Record(_stored(separable_samples), visits[0].calls[1], facts)


def _as_stored(visit: Visit) -> Facts:
    """Every round of a visit to a speedup, those that do not count included, and seconds of controls meanwhile."""
    return {
        "standard": _stored(visit.sides[0]),
        "separable": _stored(visit.sides[1]),
        "disturbed": visit.disturbed,
        **({"throttled": visit.throttled} if visit.throttled else {}),
        "controls": [_stored(reading) for reading in visit.controls],
    }


def _sampling(visits: Sequence[Visit], rounds: int, disturbed: int, stopped: Stopped) -> Facts:
    """How the case was sampled, and what was found beside: of several visits the first one's, but any throttling."""
    extras: Facts = {}
    for visit in reversed(visits):
        extras |= {name: value for name, value in visit.extras.items() if value or name not in extras}
    return extras | {
        "visits": len(visits),
        "rounds": rounds,
        "disturbed_rounds": disturbed,
        "call_time": _spent(visits),
        "stopped": stopped,
    }


def _spent(visits: Sequence[Visit]) -> float:
    return sum(visit.call_time for visit in visits)


def _log_ratios(visit: Visit) -> list[float]:
    """ln(standard time / separable time), one a round.

    Their noise is close to normal, so that their mean tells most: a median would throw a third of it away.
    """
    return [math.log(standard / separable) for standard, separable in visit.rounds]


def _log_times(visit: Visit, side: int) -> list[float]:
    return [math.log(seconds) for seconds in visit.sides[side]]


def _log_half_width(visits: Sequence[Visit], usual: Reading) -> float:
    """Of the speedup that visits to a pair give."""
    _, low, high = grouped_mean(list(map(_log_ratios, visits)), _weights(visits, usual))
    return (high - low) / 2


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
