"""One case in, one record out: build, check, time, then measure memory."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mnv1.cases import Block, Case, Conditions, Pair, Precision, Workload
from mnv1.complexity import Counts, count
from mnv1.measure.clock import clock_for
from mnv1.measure.memory import peak_memory
from mnv1.measure.modules import AMP_DTYPES, prepare
from mnv1.measure.quiet import Watch
from mnv1.measure.statistics import median_interval, percentiles
from mnv1.measure.timing import Policy, measure, measure_pair

Facts = dict[str, object]

ELEMENT_SIZE: dict[Precision, int] = {"fp32": 4, "tf32": 4, "amp": 2}
"""Bytes per element that a precision computes on; the minimum bytes count with it."""

CUDA_ROUND_TIME = 5e-3
"""Shortest round on CUDA, in seconds: the one synchronisation a round, some 10 µs, must not matter."""


@dataclass(frozen=True)
class Record:
    """What is stored of one case: raw samples in seconds per call, and facts in SI units."""

    samples: tuple[float, ...]
    calls_per_round: int
    facts: Facts


def check(case: Case | Pair) -> None:
    """Build a case and check its output without timing anything. Raises as `run_case` does."""
    for one in (case.standard, case.separable) if isinstance(case, Pair) else (case,):
        prepare(one)


def run_case(case: Case, policy: Policy, watch: Watch | None = None) -> Record:
    """Measure latency, throughput and peak memory of one case.

    Raises `mnv1.measure.modules.WrongOutputError` when its output is wrong, and whatever torch raises.
    """
    prepared = prepare(case)
    conditions = case.conditions
    clock = clock_for(conditions.device)
    measured = measure(prepared.call, clock, _policy_on(conditions, policy), _watch_on(conditions, watch))
    counts = _counts(case)
    facts = {
        **_identity(case.id, case.workload, conditions),
        **_counted(counts),
        **_latency(measured.samples),
        "throughput": conditions.batch_size / percentiles(measured.samples)[0],
        "macs_per_second": counts.macs / percentiles(measured.samples)[0],
        "peak_memory": peak_memory(prepared.call, conditions.device),
        "first_call": measured.first_call,
        "rounds": len(measured.samples),
        "calls_per_round": measured.calls_per_round,
        "disturbed_rounds": measured.disturbed_rounds,
        "stopped": measured.stopped,
    }
    if measured.device_samples:
        facts["device_latency_p50"] = percentiles(measured.device_samples)[0]
    return Record(_stored(measured.samples), measured.calls_per_round, facts)


def run_pair(pair: Pair, policy: Policy, watch: Watch | None = None) -> Record:
    """Measure how many times faster the separable workload is than its standard twin, in alternating blocks.

    The record's samples are the separable side's. Raises as `run_case` does.
    """
    standard, separable = prepare(pair.standard), prepare(pair.separable)
    conditions = pair.conditions
    clock, policy, watch = clock_for(conditions.device), _policy_on(conditions, policy), _watch_on(conditions, watch)
    measured = measure_pair(standard.call, separable.call, clock, policy, watch)
    speedup, low, high = measured.speedup
    counts = _counts(pair.separable)
    facts = {
        **_identity(pair.id, pair.separable.workload, conditions),
        "measures": "speedup",
        **_counted(counts),
        **_latency(measured.separable_samples),
        "standard_latency_p50": percentiles(measured.standard_samples)[0],
        "standard_macs": _counts(pair.standard).macs,
        "macs_ratio": _counts(pair.standard).macs / counts.macs,
        "speedup": speedup,
        "speedup_low": low,
        "speedup_high": high,
        "rounds": len(measured.separable_samples),
        "calls_per_round": measured.calls_per_block[1],
        "standard_calls_per_round": measured.calls_per_block[0],
        "disturbed_rounds": measured.disturbed_rounds,
        "stopped": measured.stopped,
        "standard_samples": _stored(measured.standard_samples),
    }
    return Record(_stored(measured.separable_samples), measured.calls_per_block[1], facts)


def _policy_on(conditions: Conditions, policy: Policy) -> Policy:
    if conditions.device == "cuda":
        return replace(policy, round_time=max(policy.round_time, CUDA_ROUND_TIME))
    return policy


def _watch_on(conditions: Conditions, watch: Watch | None) -> Watch | None:
    """The controls load the CPU, so they say something about cases on the CPU only."""
    return watch if conditions.device == "cpu" else None


def _counts(case: Case) -> Counts:
    return count(case.workload.layers, case.conditions.batch_size, ELEMENT_SIZE[case.conditions.precision])


def _identity(case_id: str, workload: Workload, conditions: Conditions) -> Facts:
    facts: Facts = {"id": case_id, "measures": "latency", "kind": workload.kind, "shape": workload.shape_id}
    if isinstance(workload, Block):
        facts |= {
            "subject": "layer",
            "in_channels": workload.in_channels,
            "out_channels": workload.out_channels,
            "stride": workload.stride,
            "side": workload.side,
        }
    else:
        facts |= {"subject": "model", "alpha": workload.alpha, "resolution": workload.resolution}
    facts |= {
        "batch_size": conditions.batch_size,
        "device": conditions.device,
        "precision": conditions.precision,
    }
    if conditions.precision == "amp":
        facts["amp_dtype"] = str(AMP_DTYPES[conditions.device]).removeprefix("torch.")
    return facts


def _stored(samples: tuple[float, ...]) -> tuple[float, ...]:
    """Samples to a tenth of a nanosecond: more digits are float noise and make the files twice as large."""
    return tuple(round(sample, 10) for sample in samples)


def _counted(counts: Counts) -> Facts:
    return {"macs": counts.macs, "params": counts.params, "min_bytes": counts.min_bytes}


def _latency(samples: tuple[float, ...]) -> Facts:
    p50, p90, p99 = percentiles(samples)
    low, high = median_interval(samples)
    return {"latency_p50": p50, "latency_p90": p90, "latency_p99": p99, "latency_low": low, "latency_high": high}
