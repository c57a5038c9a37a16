"""Is one revision slower than another? The command: `python -m mnv1.regression BASE [HEAD] --suite FILE.py`

Exit status: 0 no regression, 1 a regression, 2 usage or harness error, 3 inconclusive, 4 nothing could be compared,
head cannot run a case, outputs differ, or a side is not what it claims. Needs numpy and scipy; torch where the suite
does.
"""

from __future__ import annotations

import argparse
import fnmatch
import os
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mnv1.base.errors import UserError
from mnv1.measure.lock import machine_lock
from mnv1.measure.look import looking
from mnv1.measure.machine import capability, cpu_model, has_bf16_instructions, name_of
from mnv1.measure.quota import Quotas, ThrottleMeter, facts, verdict, warnings
from mnv1.measure.state import CPUS
from mnv1.regression import verdicts
from mnv1.regression.blocks import Blocks
from mnv1.regression.comparison import Comparison
from mnv1.regression.measuring import compare
from mnv1.regression.pairs import TIMEOUT, Pairs, WrongCodeError
from mnv1.regression.plan import QUICK_PLAN, Plan
from mnv1.regression.report import summary, text_report, title_of
from mnv1.regression.sides import Harness, Side, make_harness, make_side, merge_base, top_of
from mnv1.regression.stored import StoredError, append_line, document, read, to_confirm, write

STATUSES = (
    "exit status: 0 no regression, 1 a regression, 2 usage or harness error, 3 inconclusive, 4 nothing could be "
    "compared, head cannot run a case, outputs differ, or a side is not what it claims"
)

Case = Mapping[str, Any]


class UsageError(UserError):
    """The command line asks for what cannot be."""


def make_parser(suite: Path | None = None) -> argparse.ArgumentParser:
    """The command line; a suite that is given is the default one."""
    parser = argparse.ArgumentParser(
        prog=None if suite else "python -m mnv1.regression",
        description="Compare the speed of two revisions of a git repository, or of two interpreters.",
        epilog=STATUSES,
    )
    parser.add_argument("base", nargs="?", help="revision (default: where the history left main)")
    parser.add_argument("head", nargs="?", help="revision (default: the working tree)")
    parser.add_argument(
        "--suite",
        metavar="FILE",
        type=Path,
        default=suite,
        required=suite is None,
        help="Python file with what is timed: functions marked by mnv1.workload"
        + (f" (default: {suite.parent.name}/{suite.name})" if suite else ""),
    )
    parser.add_argument("--base-python", metavar="PYTHON", help="interpreter of the base (default: this one)")
    parser.add_argument("--head-python", metavar="PYTHON", help="interpreter of the head (default: this one)")
    parser.add_argument(
        "--installed",
        action="store_true",
        help="test the code that each interpreter has installed (compiled packages), and not a revision's files",
    )
    parser.add_argument("--self-test", action="store_true", help="compare base with itself, through the whole pipeline")
    parser.add_argument(
        "--inject", metavar="PATTERN:FACTOR", help="slow down matching cases of head, such as 'model-*:1.05'"
    )
    parser.add_argument("--candidates", metavar="FILE", type=Path, help="confirm what an earlier run's --json found")
    parser.add_argument(
        "--cases", default="*", metavar="PATTERN", help="only cases whose id matches, such as 'model-*'"
    )
    parser.add_argument(
        "--device", default="cpu", help="only cases whose parameter `device` is this, or that have none (default: cpu)"
    )
    parser.add_argument(
        "--precisions",
        help="only cases whose parameter `precision` is one of these, comma-separated (default: all, but amp only "
        "where the CPU has bf16)",
    )
    parser.add_argument("--threads", type=int, default=1, help="threads of each side (default: 1, the steadiest)")
    parser.add_argument("--quick", action="store_true", help="three minutes at most: finds larger changes only")
    parser.add_argument(
        "--whole",
        action="store_true",
        help="measure all cases to the last look, whatever is decided: to study the design",
    )
    parser.add_argument(
        "--timeout", type=float, default=TIMEOUT, help=f"seconds that a case may take to answer (default: {TIMEOUT:g})"
    )
    parser.add_argument("--json", metavar="FILE", type=Path, help="write everything, raw samples included")
    parser.add_argument("--summary", metavar="FILE", type=Path, help="append a summary in Markdown")
    parser.add_argument("--ledger", metavar="FILE", type=Path, help="append everything as one line of JSON")
    return parser


def main(argv: Sequence[str] | None = None, repository: Path | None = None, suite: Path | None = None) -> int:
    """Command line; `repository` is the current folder's, and `suite` must be named, unless they are given."""
    args = make_parser(suite).parse_args(argv)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a cancelled CI job leaves nothing behind either
    try:
        with machine_lock(_tell), tempfile.TemporaryDirectory(prefix="mnv1-compare-") as folder:
            return _run(args, repository or top_of(Path.cwd()), Path(folder))
    except KeyboardInterrupt:
        print("interrupted: nothing is left behind", file=sys.stderr)
        return 130
    except WrongCodeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 4


def _run(args: argparse.Namespace, repository: Path, folder: Path) -> int:
    if args.threads < 1:
        raise UsageError(f"--threads: must be at least 1, got {args.threads}")
    confirmed = to_confirm(read(args.candidates)) if args.candidates else None
    sides, harness = _sides(args, repository, folder)
    pairs = Pairs(sides, harness, args.threads, args.timeout)
    cases = _chosen(args, pairs.cases())
    if confirmed is not None:
        cases = [case for case in cases if case["id"] in confirmed]
        if not cases:
            print(f"{args.candidates}: nothing to confirm")
            return 0
    names = [case["id"] for case in cases]
    extra = _injected(args.inject, names)
    environment = _environment(args.threads)
    started, quotas = datetime.now(UTC), Quotas()
    counted = quotas.counts()
    plan, rules = (QUICK_PLAN, verdicts.QUICK) if args.quick else (Plan(), verdicts.Rules())
    with looking(args.threads, args.device == "cpu") as (look, described_messages):
        watched = Blocks(
            ThrottleMeter(quotas).throttled, look, float(str(described_messages.get("message_own_time") or 0.0))
        )
        tolerances = {case["id"]: case["tolerance"] for case in cases}
        found = compare(tolerances, pairs, plan, rules, extra, _tell, watched=watched, whole=args.whole)
    environment |= described_messages
    throttling = quotas.since(counted)
    environment |= facts(throttling)
    machine = f"{environment['machine']}, {args.threads} thread{'s' if args.threads > 1 else ''} a side"
    title = title_of(sides, pairs.proofs, machine)
    print(text_report(found, title))
    if throttled := verdict(throttling, args.threads):
        print(f"warning: {throttled}")
    about = {
        "started": started.isoformat(timespec="seconds"),
        "suite": args.suite.name,
        "quick": args.quick,
        "whole": args.whole,
        "threads": args.threads,
        "self_test": args.self_test,
        "installed": args.installed,
        "injected": extra,
        "plan": vars(plan),
        "rules": vars(rules),
        "environment": environment,
    }
    _store(args, found, document(found, sides, pairs.proofs, about), title)
    return found.exit_status


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _environment(threads: int) -> dict[str, Any]:
    """What is known of this machine without torch; warnings are told."""
    for warning in warnings(len(CPUS), Quotas().cpus, threads):
        _tell(f"warning: {warning}")
    return {
        "machine": name_of(cpu_model(), capability(), f"{len(CPUS)}cpu"),
        "cpu": cpu_model(),
        "cpus": len(CPUS),
        "bf16_instructions": has_bf16_instructions(),
        "load": list(os.getloadavg()) if hasattr(os, "getloadavg") else "not reported",
    }


def _chosen(args: argparse.Namespace, every: Sequence[Case]) -> list[Case]:
    """The suite's cases that the command line asks for."""
    here = [case for case in every if case["parameters"].get("device", args.device) == args.device]
    if not here:
        known = sorted({str(case["parameters"]["device"]) for case in every})
        raise UsageError(f"--device {args.device}: the suite has no case on it here; use --device {' or '.join(known)}")
    precisions = {str(case["parameters"]["precision"]): None for case in here if "precision" in case["parameters"]}
    if args.precisions is None:
        asked = set(precisions)
        if "amp" in asked and args.device == "cpu" and not has_bf16_instructions():
            _tell("amp is left out: this CPU has no bf16 instructions (name it in --precisions to compare it)")
            asked.remove("amp")
    else:
        asked = set(args.precisions.split(","))
        unknown = asked - set(precisions)
        if unknown:
            valid = ", ".join(precisions) or "none, for its cases have no parameter `precision`"
            raise UsageError(f"--precisions: unknown value {min(unknown)!r}; valid values: {valid}")
    here = [case for case in here if case["parameters"].get("precision") in {None, *asked}]
    chosen = [case for case in here if fnmatch.fnmatch(case["id"], args.cases)]
    if not chosen:
        raise UsageError(f"--cases: no case matches {args.cases!r}; one is {every[0]['id']}")
    return chosen


def _sides(args: argparse.Namespace, repository: Path, folder: Path) -> tuple[tuple[Side, Side], Harness]:
    """Both sides, ready to run, and what they run: two interpreters without revisions both run the working tree."""
    interpreters = args.base_python or args.head_python
    if args.self_test and args.head:
        raise UsageError("--self-test compares BASE with itself: leave out HEAD")
    if args.installed and args.base_python == args.head_python:
        raise UsageError("--installed compares what two interpreters have: name both, --base-python and --head-python")
    base, head = args.base, args.head
    if base is None and not interpreters:
        base = merge_base(repository)
    if args.self_test:
        head = base
    sides = (
        make_side("base", base, repository, folder, args.base_python or sys.executable),
        make_side("head", head, repository, folder, args.head_python or sys.executable),
    )
    return sides, make_harness(args.suite, repository, sides, folder, args.installed)


def _injected(text: str | None, cases: list[str]) -> dict[str, float]:
    if text is None:
        return {}
    pattern, _, factor = text.rpartition(":")
    try:
        share = float(factor) - 1
    except ValueError:
        raise UsageError(f"--inject: {text!r} is not PATTERN:FACTOR, such as 'model-*:1.05'") from None
    chosen = fnmatch.filter(cases, pattern)
    if not 0 < share < 100 or not chosen:
        raise UsageError(f"--inject: {text!r}: the factor must be above 1 (and below 100), and a case must match")
    return dict.fromkeys(chosen, share)


def _store(args: argparse.Namespace, found: Comparison, content: dict[str, Any], title: str) -> None:
    if args.json:
        write(args.json, content)
    if args.ledger:
        append_line(args.ledger, content)
    if args.summary:
        try:
            with args.summary.open("a", encoding="utf8") as file:
                file.write(summary(found, title))
        except OSError as error:
            raise StoredError(f"{args.summary}: cannot be written: {error.strerror}") from None
