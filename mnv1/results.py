"""The documented import of stored runs as tables; they are read in `mnv1.store.runs`."""

from mnv1.store.runs import (
    SCHEMA,
    ResultError,
    Results,
    combine,
    environment_of,
    find_runs,
    frame,
    from_facts,
    load,
    load_ceilings,
    load_kernels,
    load_operators,
    load_results,
    load_times,
    ratio,
)

__all__ = [
    "SCHEMA",
    "ResultError",
    "Results",
    "combine",
    "environment_of",
    "find_runs",
    "frame",
    "from_facts",
    "load",
    "load_ceilings",
    "load_kernels",
    "load_operators",
    "load_results",
    "load_times",
    "ratio",
]
