"""Is one revision slower than another? `python scripts/compare_revisions.py BASE [HEAD]`

Exit status: 0 no confirmed regression, 1 a confirmed one, 2 usage or harness error, 3 inconclusive, 4 nothing could be
compared or a side is not what it claims.
"""

from __future__ import annotations

import argparse
import fnmatch
import signal
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mnv1.base import console
from mnv1.base.errors import UserError
from mnv1.cases import DEVICES, device_named
from mnv1.measure.lock import machine_lock
from mnv1.measure.look import looking
from mnv1.measure.quota import Quotas, ThrottleMeter, facts, verdict, warnings
from mnv1.measure.state import CPUS
from mnv1.measure.supervisor import Supervisor
from mnv1.regression.blocks import Blocks
from mnv1.regression.comparison import Comparison, compare
from mnv1.regression.pairs import Pairs, WrongCodeError
from mnv1.regression.plan import QUICK, Plan, described, regression_cases
from mnv1.regression.report import summary, text_report, title_of
from mnv1.regression.sides import Side, make_side, merge_base
from mnv1.regression.stored import StoredError, append_line, document, read, to_confirm, write
from mnv1.regression.verdicts import Rules

ROOT = Path(__file__).resolve().parent.parent
PRECISIONS = ("fp32", "amp")
KNOWN = tuple(name for name, device in DEVICES.items() if device.by_default)
"""Devices that a process under test can wait for."""


class UsageError(UserError):
    """The command line asks for what cannot be."""


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        description="Compare the speed of two revisions, or of two interpreters.",
        epilog="exit status: 0 no confirmed regression, 1 a confirmed one, 2 usage or harness error, 3 inconclusive, "
        "4 nothing could be compared or a side is not what it claims",
    )
    parser.add_argument("base", nargs="?", help="revision (default: where the history left main)")
    parser.add_argument("head", nargs="?", help="revision (default: the working tree)")
    parser.add_argument("--base-python", metavar="PYTHON", help="interpreter of the base (default: this one)")
    parser.add_argument("--head-python", metavar="PYTHON", help="interpreter of the head (default: this one)")
    parser.add_argument("--self-test", action="store_true", help="compare base with itself, through the whole pipeline")
    parser.add_argument(
        "--inject", metavar="PATTERN:FACTOR", help="slow down matching cases of head, such as 'model-*:1.05'"
    )
    parser.add_argument("--candidates", metavar="FILE", type=Path, help="confirm what an earlier run's --json found")
    parser.add_argument(
        "--cases", default="*", metavar="PATTERN", help="only cases whose id matches, such as 'model-*'"
    )
    parser.add_argument("--device", choices=KNOWN, default="cpu", help="where the cases run (default: cpu)")
    parser.add_argument("--precisions", help="comma-separated: fp32, amp (default: both where the CPU has bf16)")
    parser.add_argument("--threads", type=int, default=1, help="threads of each side (default: 1, the steadiest)")
    parser.add_argument("--quick", action="store_true", help="fewer pairs of processes: finds larger changes only")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write everything, raw samples included")
    parser.add_argument("--summary", metavar="FILE", type=Path, help="append a summary in Markdown")
    parser.add_argument("--ledger", metavar="FILE", type=Path, help="append everything as one line of JSON")
    return parser


@console.command(failed=2)
def main(argv: list[str] | None = None) -> int:
    """Command line."""
    args = make_parser().parse_args(argv)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a cancelled CI job leaves nothing behind either
    try:
        with machine_lock(_tell), tempfile.TemporaryDirectory(prefix="mnv1-compare-") as folder:
            return _run(args, Path(folder))
    except KeyboardInterrupt:
        print("interrupted: nothing is left behind", file=sys.stderr)
        return 130
    except WrongCodeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 4


def _run(args: argparse.Namespace, folder: Path) -> int:
    environment = _environment(args)
    cases = {case.id: described(case) for case in _cases(args, environment)}
    extra = _injected(args.inject, list(cases))
    earlier = None
    if args.candidates:
        earlier = to_confirm(read(args.candidates))
        cases = {name: about for name, about in cases.items() if name in earlier}
        if not cases:
            print(f"{args.candidates}: nothing to confirm")
            return 0
    sides = _sides(args, folder)
    pairs = Pairs(sides, args.threads)
    plan = QUICK if args.quick else Plan()
    started = datetime.now(UTC)
    quotas = Quotas()
    counted = quotas.counts()
    with looking(args.threads, device_named(args.device).is_host) as (look, described_messages):
        watched = Blocks(ThrottleMeter(quotas).throttled, look, described_messages.get("message_own_time") or 0.0)
        found = compare(cases, pairs, plan, Rules(), extra, earlier, _tell, watched=watched)
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
        "plan": vars(plan),
        "quick": args.quick,
        "threads": args.threads,
        "self_test": args.self_test,
        "injected": extra,
        "environment": environment,
    }
    _store(args, found, document(found, sides, pairs.proofs, about), title)
    return found.exit_status


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _environment(args: argparse.Namespace) -> dict[str, Any]:
    """What is known of this machine. Raises `UsageError` where it cannot run what is asked for."""
    if args.threads < 1:
        raise UsageError(f"--threads: must be at least 1, got {args.threads}")
    supervisor = Supervisor("controlled", args.threads, case_timeout=60.0)
    try:
        answer = supervisor.describe()
    finally:
        supervisor.close()
    environment: dict[str, Any] = answer.environment
    for one in environment.get("left_out", ()):
        _tell(f"warning: controlled leaves out {one}")
    for warning in warnings(len(CPUS), Quotas().cpus, args.threads):
        _tell(f"warning: {warning}")
    missing = device_named(args.device).why_not_here(environment)
    if missing:
        raise UsageError(f"--device {args.device}: {missing}; use --device cpu")
    return environment


def _cases(args: argparse.Namespace, environment: dict[str, Any]) -> list[Any]:
    if args.precisions is None:
        slow = args.device == "cpu" and not environment["bf16_instructions"]
        if slow:
            _tell("amp is left out: this CPU has no bf16 instructions (name it in --precisions to compare it)")
        precisions = PRECISIONS[:1] if slow else PRECISIONS
    else:
        asked = args.precisions.split(",")
        unknown = set(asked) - set(PRECISIONS)
        if unknown:
            raise UsageError(f"--precisions: unknown value {min(unknown)!r}; valid values: {', '.join(PRECISIONS)}")
        precisions = tuple(one for one in PRECISIONS if one in asked)
    every = regression_cases(args.device, precisions)
    chosen = [case for case in every if fnmatch.fnmatch(case.id, args.cases)]
    if not chosen:
        raise UsageError(f"--cases: no case matches {args.cases!r}; one is {every[0].id}")
    return chosen


def _sides(args: argparse.Namespace, folder: Path) -> tuple[Side, Side]:
    """Both sides, ready to run: two interpreters without revisions both run the working tree."""
    interpreters = args.base_python or args.head_python
    if args.self_test and args.head:
        raise UsageError("--self-test compares BASE with itself: leave out HEAD")
    base, head = args.base, args.head
    if base is None and not interpreters:
        base = merge_base(ROOT)
    if args.self_test:
        head = base
    return (
        make_side("base", base, ROOT, folder, args.base_python or sys.executable),
        make_side("head", head, ROOT, folder, args.head_python or sys.executable),
    )


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


if __name__ == "__main__":
    console.run(main)
