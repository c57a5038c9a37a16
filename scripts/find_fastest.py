"""The fastest way to run MobileNetV1 on this machine: `python scripts/find_fastest.py --batch-size 1 --max-error 1e-2`

Measures every execution mode and precision in turns, each in a process of its own, and prints the fastest within the
limits, with the lines of Python that use it. `--findings` measures what allocator, threads and memory format do;
`--render FOLDER` renders stored runs. Run nothing else meanwhile.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mnv1.base import console
from mnv1.cases import DEVICES, Case, Conditions, Network
from mnv1.cases.grids import CaseError
from mnv1.cases.workloads import NETWORK_TYPES
from mnv1.ladder.choice import Limits, choose
from mnv1.ladder.climb import Climbed, climb
from mnv1.ladder.counted import Around
from mnv1.ladder.processes import RungProcess
from mnv1.ladder.report import (
    fastest_line,
    findings_markdown,
    not_measured,
    render,
    state_line,
    table,
    twin_lines,
)
from mnv1.ladder.rows import rows_of
from mnv1.ladder.rungs import FINDING_BATCHES, KINDS, Finding, Rung, Wanted, findings_of, rungs_of
from mnv1.ladder.snippets import ENVIRONMENT, snippet
from mnv1.ladder.stored import Ladder, document, find, from_document, load_accuracies, read, write
from mnv1.measure.lock import machine_lock
from mnv1.measure.look import looking
from mnv1.measure.quota import Quotas, ThrottleMeter, facts, verdict
from mnv1.measure.state import KEPT
from mnv1.net.architecture import MIN_SIDE
from mnv1.suite.values import parse_batch_sizes, parse_modes, parse_names, parse_precisions

ROOT = Path(__file__).resolve().parent.parent


@console.command()
def main(argv: list[str] | None = None) -> int:
    """Command line. Returns 1 when nothing is within the limits or a file cannot be used, 2 for wrong usage."""
    parser = _parser()
    args = parser.parse_args(argv)
    try:
        known = load_accuracies(sorted(args.results.rglob("accuracy*.json")))
        if args.render:
            return _render([read(path) for path in find(args.render)], args.out or args.render / "rendered", known)
        _check(args)
        with machine_lock():
            return _findings(args, known) if args.findings else _ladder(args, known)
    except CaseError as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        print("interrupted: nothing is stored", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Find the fastest way to run MobileNetV1 on this machine.")
    parser.add_argument("--batch-size", metavar="N", help="images per call (default: 1; --findings: 1,8,32)")
    parser.add_argument("--max-error", type=float, default=1e-2, help="largest error of outputs (default: 0.01)")
    parser.add_argument(
        "--max-accuracy-drop",
        type=float,
        metavar="POINTS",
        help="largest loss of accuracy; int8 must be known to stay within it",
    )
    parser.add_argument("--alpha", type=float, default=1.0, help="width multiplier (default: 1)")
    parser.add_argument("--resolution", type=int, default=224, help="input side in pixels (default: 224)")
    parser.add_argument("--device", choices=DEVICES, default="cpu", help="where to run (default: cpu)")
    parser.add_argument(
        "--kinds",
        default="separable,standard",
        help=f"the network to run, then others beside it: {', '.join(KINDS)} (default: separable,standard)",
    )
    parser.add_argument("--precisions", help="precisions (default: all, in the modes in which they may win)")
    parser.add_argument("--modes", help="modes (default: all in fp32, in other precisions the modes that may win)")
    parser.add_argument("--time-budget", type=float, default=120.0, help="seconds of rounds (default: 120)")
    parser.add_argument("--case-timeout", type=float, default=300.0, help="seconds to wait for one rung (default: 300)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="store the run here, raw rounds included")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="also render a table and a plot there")
    parser.add_argument("--findings", action="store_true", help="measure allocator, threads and memory format instead")
    parser.add_argument("--render", type=Path, metavar="FOLDER", help="only render the ladders that are stored there")
    parser.add_argument(
        "--results", type=Path, default=ROOT / "results", help="folder that is searched for accuracy*.json"
    )
    return parser


def _check(args: argparse.Namespace) -> None:
    """Raises `CaseError` for a number that is none."""
    for name in ("alpha", "time_budget", "case_timeout", "max_error"):
        if not 0 < getattr(args, name) < float("inf"):
            raise CaseError(
                f"--{name.replace('_', '-')}: {getattr(args, name):g} is not valid; valid: positive numbers"
            )
    if args.max_accuracy_drop is not None and not 0 <= args.max_accuracy_drop <= 100:
        raise CaseError(f"--max-accuracy-drop: {args.max_accuracy_drop:g} is not valid; valid: points from 0 to 100")
    if args.resolution < MIN_SIDE:
        raise CaseError(f"--resolution: {args.resolution} is not valid; valid: whole numbers from {MIN_SIDE} up")


def _ladder(args: argparse.Namespace, known: Mapping[str, Mapping[str, float]]) -> int:
    sizes = parse_batch_sizes(args.batch_size or "1", "--batch-size")
    if len(sizes) > 1:
        raise CaseError("--batch-size: a ladder has one; measure others in runs of their own")
    kinds = parse_names("--kinds", args.kinds, KINDS)
    wanted = Wanted(
        kinds,
        args.alpha,
        args.resolution,
        sizes[0],
        args.device,
        parse_precisions(args.precisions) if args.precisions else (),
        parse_modes(args.modes) if args.modes else (),
    )
    with tempfile.TemporaryDirectory(prefix="mnv1-ladder-", ignore_cleanup_errors=True) as scratch:
        environment = _describe(args, scratch)
        quotas = Quotas()
        counted = quotas.counts()
        rungs, left_out = rungs_of(wanted, environment)
        if not rungs:
            raise CaseError(f"nothing can be measured: {left_out[0][1]}")
        compiled = [rung for rung in rungs if rung.case.conditions.how.compiles]
        if compiled:
            with closing(_process(compiled[0], args, scratch)) as process:
                process.compile_something()  # what fails here fails in a rung too, and is told there
        climbed, around = _climb(rungs, args, scratch, environment)
    throttling = quotas.since(counted)
    environment |= facts(throttling)
    ladder = _keep(climbed, environment, args, left_out, (), around)
    limits = Limits(args.max_error, None if args.max_accuracy_drop is None else args.max_accuracy_drop / 100)
    choice = choose(ladder, kinds[0], limits, known)
    rows = rows_of(ladder, known)
    print("", table(rows), twin_lines(rows), sep="\n")
    for what, why in choice.refused:
        print(f"- not allowed: {what}: {why}")
    print(not_measured(ladder))
    if state := state_line(ladder):
        print(state)
    print("", fastest_line(choice, kinds[0]), sep="\n")
    if throttled := verdict(throttling, environment["threads"]):
        print(f"warning: {throttled}")
    if args.out:
        _render([ladder], args.out, known)
    if choice.fastest is None:
        return 1
    if kinds[0] in NETWORK_TYPES:
        row = choice.fastest
        sizes_of = float(row["alpha"]), int(row["resolution"]), int(row["batch_size"])
        lines = snippet(kinds[0], row["mode"], row["precision"], row["device"], *sizes_of)
        print("", *([f"# start Python with {ENVIRONMENT}"] if args.device == "cpu" else []), lines, sep="\n")
    return 0


def _findings(args: argparse.Namespace, known: Mapping[str, Mapping[str, float]]) -> int:
    batch_sizes = parse_batch_sizes(args.batch_size, "--batch-size") if args.batch_size else FINDING_BATCHES
    with tempfile.TemporaryDirectory(prefix="mnv1-ladder-", ignore_cleanup_errors=True) as scratch:
        environment = _describe(args, scratch)
        keeps = environment["allocator"] == KEPT
        found = findings_of(args.alpha, args.resolution, batch_sizes, int(environment["threads"]), keeps)
        rungs = {rung.id: rung for one in found for rung in (one.over, one.under)}
        climbed, around = _climb(list(rungs.values()), args, scratch, environment)
    ladder = _keep(climbed, environment, args, [], found, around)
    print("", findings_markdown(ladder), sep="\n")
    return _render([ladder], args.out, known) if args.out else 0


def _describe(args: argparse.Namespace, scratch: str) -> dict[str, Any]:
    """The environment, as a process in the controlled state sees it."""
    any_rung = Rung(Case(Network("separable", 1.0, MIN_SIDE), Conditions(1, "cpu", "fp32")))
    with closing(_process(any_rung, args, scratch)) as process:
        described = process.describe()
    for warning in described.warnings:
        print(f"warning: {warning}")
    return described.environment


def _climb(
    rungs: Sequence[Rung], args: argparse.Namespace, scratch: str, environment: dict[str, Any]
) -> tuple[list[Climbed], Around]:
    """The rungs as they were measured and what was read around their rounds, of which the environment is told too."""

    def tell(line: str) -> None:
        print(line, flush=True)

    def start(rung: Rung) -> RungProcess:
        return _process(rung, args, scratch)

    on_host = all(rung.case.conditions.on.is_host for rung in rungs)
    with looking(int(environment["threads"]), on_host) as (look, described):
        environment |= described
        around = Around(look, described.get("message_own_time") or 0.0)
        meter = ThrottleMeter()
        return climb(rungs, start, time.monotonic, tell, args.time_budget, meter.throttled, around), around


def _process(rung: Rung, args: argparse.Namespace, scratch: str) -> RungProcess:
    # One cache for all: what every compilation needs, such as precompiled headers, is compiled once and never before.
    return RungProcess(rung, args.case_timeout, {"TORCHINDUCTOR_CACHE_DIR": scratch})


def _keep(
    climbed: Sequence[Climbed],
    environment: Mapping[str, Any],
    args: argparse.Namespace,
    left_out: Sequence[tuple[str, str]],
    findings: Sequence[Finding],
    around: Around,
) -> Ladder:
    """What was measured, as it is stored; stored where that was asked for. Raises `LadderError`."""
    kept = ("batch_size", "alpha", "resolution", "device", "kinds", "precisions", "modes", "time_budget")
    options = {name: getattr(args, name) for name in kept}
    content = document(climbed, environment, options, left_out, datetime.now(UTC).isoformat(), findings, around)
    if args.json:
        write(args.json, content)
        print(f"wrote {args.json}")
    return from_document(content, args.json.stem if args.json else "ladder")


def _render(ladders: Sequence[Ladder], out: Path, known: Mapping[str, Mapping[str, float]]) -> int:
    for path in render(ladders, out, known):
        print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    console.run(main)
