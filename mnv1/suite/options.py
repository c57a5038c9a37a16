"""The options of `pytest benchmarks`, what they select, and which of them an interrupted sweep keeps."""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import pytest

from mnv1.base.run_to_run import USUAL, RunToRun, run_to_run_of
from mnv1.cases import DEVICES, KINDS, MODES, PRECISIONS
from mnv1.cases.grids import CaseError, Overrides
from mnv1.cases.workloads import Workload
from mnv1.cases.workloads.convolutions import GRAMMAR, parsed
from mnv1.cases.workloads.marked import marked_in
from mnv1.measure.state import STATES
from mnv1.suite.journal import Journal
from mnv1.suite.profiles import PROFILES, Cases, select
from mnv1.suite.values import (
    parse_alphas,
    parse_batch_sizes,
    parse_devices,
    parse_kinds,
    parse_modes,
    parse_precisions,
    parse_resolutions,
    parse_shard,
)

Number = TypeVar("Number", int, float)

AXES: dict[str, tuple[Callable[[str], Any], str]] = {
    "devices": (parse_devices, ",".join(DEVICES)),
    "precisions": (parse_precisions, ",".join(PRECISIONS)),
    "alphas": (parse_alphas, "width multipliers such as 1,0.75"),
    "resolutions": (parse_resolutions, "input sides in pixels such as 224,160"),
    "batch_sizes": (parse_batch_sizes, "images per call such as 1,8"),
    "kinds": (parse_kinds, ",".join(KINDS)),
    "modes": (parse_modes, ",".join(MODES) + " (default: eager)"),
}

KEPT_OPTIONS: dict[str, object] = {
    "profile": "default",
    **dict.fromkeys(AXES),
    "layers": None,
    "workloads": None,
    "machine_state": "controlled",
    "threads": None,
    "cache": "warm",
    "half_width": "2",
    "run_to_run": str(USUAL),
    "shard": None,
    "keyword": "",
    "markexpr": "",
    "benchmark_autosave": False,
    "benchmark_save": None,
}
"""Options that an interrupted sweep goes on with, and their defaults."""

NO_STORAGE = "file://./.benchmarks"
"""pytest-benchmark's own default, which stands for `results/` here."""


OWN_SAMPLING = "the suite decides itself how often it samples: use --half-width, or another --profile"
OWN_CLOCK = "another process times the cases, with a clock for each device and without the garbage collector"
OWN_PROFILER = "the cases run in another process; the report shows where the time of its networks goes"

REFUSED = {
    **dict.fromkeys(("min-rounds", "min-time", "max-time", "precision", "confidence"), OWN_SAMPLING),
    **dict.fromkeys(("calibration-precision", "warmup", "warmup-iterations"), OWN_SAMPLING),
    **dict.fromkeys(("timer", "disable-gc"), OWN_CLOCK),
    **dict.fromkeys(("cprofile", "cprofile-loops", "cprofile-top", "cprofile-dump"), OWN_PROFILER),
}
"""Options of pytest-benchmark that mean nothing to replayed rounds (`--benchmark-…`), and what does the same here."""


def why_refused(config: pytest.Config) -> str | None:
    """What to say of the first option of pytest-benchmark that would have no effect, or None."""
    if config.option.benchmark_histogram and not find_spec("pygal"):
        return "--benchmark-histogram: pygal is not installed: pip install 'pytest-benchmark[histogram]'"
    given = [*config.getini("addopts"), *shlex.split(os.environ.get("PYTEST_ADDOPTS", ""))]
    for argument in (*given, *config.invocation_params.args):
        option = str(argument).partition("=")[0]
        instead = REFUSED.get(option.removeprefix("--benchmark-"))
        if instead and option.startswith("--"):
            return f"{option}: {instead}; leave this option out"
    return None


def add_options(parser: pytest.Parser) -> None:
    """Declare the options."""
    group = parser.getgroup("mnv1", "what the sweep measures")
    group.addoption("--profile", default="default", help=f"which cases: {', '.join(PROFILES)} (default: default)")
    for name, (_, values) in AXES.items():
        group.addoption(f"--{name.replace('_', '-')}", metavar="LIST", help=f"replace this axis: {values}")
    group.addoption(
        "--layers", metavar="SHAPES", help=f"measure these layers instead of the profile's cases: {GRAMMAR}"
    )
    group.addoption(
        "--workloads",
        metavar="FILE",
        help="measure functions of this Python file, marked by @mnv1.workload, instead of the profile's cases",
    )
    group.addoption(
        "--machine-state",
        default="controlled",
        choices=STATES,
        help="controlled keeps freed memory in huge pages, flushes denormals and binds threads; as-is keeps every "
        "default (default: controlled)",
    )
    group.addoption(
        "--cache",
        default="warm",
        choices=("warm", "cold"),
        help="cold empties the caches before every call, so that each finds its weights and inputs in memory (default: "
        "warm)",
    )
    group.addoption("--threads", metavar="N", help="number of threads (default: torch's own choice)")
    group.addoption(
        "--half-width",
        metavar="PERCENT",
        default="2",
        help="stop sampling when the 95 %% interval is within plus or minus this many per cent (default: 2)",
    )
    group.addoption(
        "--run-to-run",
        metavar="PERCENT",
        default=KEPT_OPTIONS["run_to_run"],
        help="how much figures differ between runs of this machine beyond what visits let expect, a standard deviation "
        "as scripts/method/coverage.py finds it, of all figures or by kind; intervals have it as a component "
        "(default: %(default)s)",
    )
    group.addoption("--shard", metavar="I/N", help="measure the I-th of N parts of about the same expected cost")
    group.addoption("--resume", action="store_true", help="continue the interrupted sweep that was begun last")
    group.addoption(
        "--case-timeout",
        metavar="SECONDS",
        default="300",
        help="give up a case that does not answer for this long (default: 300)",
    )


def selected(options: argparse.Namespace) -> Cases:
    """The cases that the options choose. Raises `UserError` for a value that does not exist."""
    texts = {name: getattr(options, name) for name in AXES}
    given = {name: AXES[name][0](text) for name, text in texts.items() if text is not None}
    shapes = tuple(options.layers.split(",")) if options.layers is not None else ()
    own: tuple[Workload, ...] = tuple(map(parsed, shapes))
    if options.workloads is not None:
        own += marked_in(options.workloads)
    return select(options.profile, Overrides(**given), own)


def chosen_shard(options: argparse.Namespace) -> tuple[int, int] | None:
    """The shard to measure, or None for everything. Raises `CaseError`."""
    return parse_shard(options.shard) if options.shard else None


def positive(option: str, text: str | None, number: Callable[[str], Number]) -> Number | None:
    """A positive number, or None where the option was not given. Raises `CaseError`."""
    try:
        value = None if text is None else number(text)
        if value is not None and not 0 < value < float("inf"):
            raise ValueError
    except ValueError:
        raise CaseError(f"{option}: {text!r} is not valid; valid values: positive numbers") from None
    return value


def components(options: argparse.Namespace) -> RunToRun:
    """What figures differ by between runs. Raises `CaseError`."""
    try:
        return run_to_run_of(options.run_to_run)
    except ValueError as error:
        raise CaseError(f"--run-to-run: {error}") from None


def storage_folder(options: argparse.Namespace, results: Path, machine: str = "") -> Path:
    """Where runs are kept: in a machine's folder below `results` unless the options say otherwise."""
    named = options.benchmark_storage
    return results / machine if named in (NO_STORAGE, f"file://{results}") else Path(named.removeprefix("file://"))


def changed_options(options: argparse.Namespace) -> dict[str, object]:
    """What decides what is measured, and how, where it is not the default: by the option's name."""
    given = {name: getattr(options, name) for name in KEPT_OPTIONS if not name.startswith("benchmark_")}
    return {name: value for name, value in given.items() if value != KEPT_OPTIONS[name]}


def resume(options: argparse.Namespace, results: Path) -> Journal:
    """The journal of the interrupted sweep below `results`, whose options replace those of this command.

    Raises `mnv1.suite.journal.JournalError` when there is none, `CaseError` for an option that would change the sweep.
    """
    journal = Journal.resume(storage_folder(options, results))
    stored = journal.header["options"]
    for name, default in KEPT_OPTIONS.items():
        given, kept = getattr(options, name), stored.get(name, default)
        if given not in (default, kept) and name != "benchmark_autosave":
            option = {"keyword": "-k", "markexpr": "-m"}.get(name, f"--{name.replace('_', '-')}")
            raise CaseError(f"{option}: --resume goes on with what the sweep was begun with; leave this option out")
        setattr(options, name, kept)
    return journal
