"""What other tools say of the same cases: `python scripts/method/other_tools.py --ledger FILE [--tools asv] [--runs 4]`

In a scratch repository with three commits (a base, identical code, code slowed by real extra work) it runs, as their
documentation tells, `pytest --benchmark-autosave` and then `--benchmark-compare-fail=median:5%`, `asv continuous`
(which compares two commits itself), and `pytest --codspeed` in wall-time mode. That compares nothing without its
service: the times that it prints are compared here. Threads and allocator have their defaults. Needs `pip install asv
pytest-codspeed`.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from mnv1.base import console
from mnv1.base.errors import UserError
from mnv1.base.marks import cases_of
from mnv1.base.own_files import module_of
from mnv1.measure.lock import machine_lock
from mnv1.regression.other_tools import other_tools_table
from mnv1.regression.stored import append_line, read_ledger

ROOT = Path(__file__).resolve().parents[2]
SUITE = ROOT / "benchmarks" / "speed.py"
TOOLS = ("pytest-benchmark", "codspeed", "asv")
PACKAGES = {"asv": "asv", "codspeed": "pytest_codspeed"}

# What is timed: the same modules and inputs as in a comparison, each call slowed by a share of its own time.
CASES = """\
import json
import sys
from pathlib import Path

# asv's interpreters are bare: they find torch and this package in the folders of the one that made this file.
sys.path += [path for path in {packages} if path not in sys.path]

from mnv1.regression.worker import Side

CASES = json.loads(Path(__file__).with_name("cases.json").read_text(encoding="utf8"))
EXTRA = {extra}


def callable_of(case):
    import torch

    side = Side(torch.get_num_threads())
    side.do_load({suite!r}, {root!r}, ["."], "", ["mnv1"])
    side.do_prepare(case)
    return side.slowed(case, EXTRA)
"""
PYTEST = """\
import pytest
from .cases import CASES, callable_of


@pytest.mark.parametrize("case", CASES)
def test_case(benchmark, case):
    benchmark(callable_of(case))
"""
ASV = """\
from .cases import CASES, callable_of


class Case:
    params = CASES

    def setup(self, case):
        self.call = callable_of(case)

    def time_case(self, case):
        self.call()
"""
ASV_CONFIG = {
    "version": 1,
    "project": "cases",
    "repo": ".",
    "branches": ["main"],
    "environment_type": "virtualenv",
    "pythons": [f"{sys.version_info.major}.{sys.version_info.minor}"],
    "benchmark_dir": "benchmarks",
    # Nothing to build: what is timed is in the benchmarks' folder, and torch comes from this interpreter's packages.
    "build_command": [],
    "install_command": [],
    "uninstall_command": [],
    "matrix": {},
}


PYTEST_COMMAND = (
    *(sys.executable, "-m", "pytest", "-q", "-c", "/dev/null", "--rootdir", "."),
    "benchmarks/test_cases.py",
)


@dataclass(frozen=True)
class Answer:
    """What a tool said of one comparison."""

    red: bool
    flagged: int
    cases: int


class ToolError(UserError):
    """A tool did not run."""


@console.command(failed=2)
def main(argv: list[str] | None = None) -> int:
    """Command line. Returns 2 when a tool cannot be run."""
    parser = argparse.ArgumentParser(description="What other tools say about identical and about slower code.")
    parser.add_argument("--ledger", type=Path, required=True, help="append a line of JSON for each comparison")
    parser.add_argument("--tools", default=",".join(TOOLS), help=f"comma-separated (default: {','.join(TOOLS)})")
    parser.add_argument("--runs", type=int, default=1, help="comparisons of each kind, 0: only render (default: 1)")
    parser.add_argument("--self-tests", type=Path, help="ledger of this suite's own comparisons, for the table")
    parser.add_argument("--out", type=Path, help="write a table of all lines of the ledger to this file")
    parser.add_argument("--slowdown", type=float, default=0.05, help="share of extra work (default: 0.05)")
    parser.add_argument("--precisions", default="fp32,amp", help="comma-separated (default: fp32,amp)")
    args = parser.parse_args(argv)
    tools = args.tools.split(",")
    if set(tools) - set(TOOLS):
        parser.error(f"--tools: unknown value in {args.tools!r}; valid values: {', '.join(TOOLS)}")
    for tool, package in PACKAGES.items():
        if tool in tools and find_spec(package) is None:
            parser.error(f"{package} is not installed: pip install {package}, or leave it out with --tools")
    every = [case for case in cases_of(module_of(SUITE)) if case.parameters["device"] == "cpu"]
    cases = [case.id for case in every if case.parameters["precision"] in args.precisions.split(",")]
    with (
        machine_lock() if args.runs else nullcontext(),
        tempfile.TemporaryDirectory(prefix="mnv1-other-") as folder,
    ):
        scratch = Scratch(Path(folder), cases, args.slowdown)
        for tool in tools:
            for code in [code for code in ("identical", "slower") for _ in range(args.runs)]:
                start = time.monotonic()
                answer = ASKED[tool](scratch, code)
                slowdown = args.slowdown if code == "slower" else 0.0
                line = {"tool": tool, "code": code, "slowdown": slowdown, **vars(answer)}
                line["wall_time"] = round(time.monotonic() - start, 1)
                append_line(args.ledger, line)
                print(line, flush=True)
    answers = [json.loads(line) for line in args.ledger.read_text(encoding="utf8").splitlines()]
    table = other_tools_table(answers, read_ledger(args.self_tests) if args.self_tests else [])
    print(table)
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(table + "\n", encoding="utf8")
    return 0


class Scratch:
    """A repository with a commit `base`, the same code as `identical`, and `slower`."""

    def __init__(self, root: Path, cases: Sequence[str], slowdown: float) -> None:
        self.root, self.cases = root, len(cases)
        benchmarks = root / "benchmarks"
        benchmarks.mkdir()
        for name, text in (
            ("benchmarks/__init__.py", ""),
            ("benchmarks/cases.json", json.dumps(cases)),
            ("benchmarks/asv_cases.py", ASV),
            ("benchmarks/test_cases.py", PYTEST),
            ("asv.conf.json", json.dumps(ASV_CONFIG)),
            (".gitignore", ".asv/\n.benchmarks/\n.codspeed/\n__pycache__/\n"),
        ):
            (root / name).write_text(text, encoding="utf8")
        self.run("git", "init", "-q", "-b", "main")
        for code, extra in (("base", 0.0), ("identical", 0.0), ("slower", slowdown)):
            (benchmarks / "cases.py").write_text(
                f"# {code}\n" + CASES.format(extra=extra, packages=list(packages()), suite=str(SUITE), root=str(ROOT)),
                encoding="utf8",
            )
            self.run("git", "add", "-A")
            who = ("-c", "user.name=scratch", "-c", "user.email=scratch@localhost")
            self.run("git", *who, "commit", "-q", "-m", code)
            self.run("git", "tag", code)

    def run(self, *command: str, allowed: tuple[int, ...] = (0,)) -> tuple[int, str]:
        """Exit status and output of a command in the repository. Raises `ToolError` for any other exit status."""
        try:
            done = subprocess.run(command, cwd=self.root, capture_output=True, text=True, encoding="utf8")
        except FileNotFoundError:
            raise ToolError(f"{command[0]} is not installed; install it first") from None
        if done.returncode not in allowed:
            last = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["it said nothing"]
            raise ToolError(f"{' '.join(command[:4])} …: exit status {done.returncode}: {last[0]}")
        return done.returncode, done.stdout + done.stderr


def packages() -> Iterator[str]:
    """Folders of this package and of torch, for interpreters that asv makes."""
    yield str(ROOT)
    yield from (path for path in sys.path if path.endswith("site-packages"))


def flagged_by_pytest_benchmark(output: str) -> int:
    """How many cases it says are slower: a line each."""
    return len(re.findall(r"Field 'median' has failed PercentageRegressionCheck", output))


def flagged_by_asv(output: str) -> int:
    """How many cases it says are slower: rows of its table that begin with a plus."""
    return len(re.findall(r"^\|?\s*\+\s", output, re.MULTILINE))


def pytest_benchmark(scratch: Scratch, code: str) -> Answer:
    """A saved run of the base, then one of the other code that fails when a median is 5 % above it."""
    command = (*PYTEST_COMMAND, "-p", "no:codspeed", "--benchmark-autosave")
    scratch.run("git", "checkout", "-q", "base")
    scratch.run(*command)
    scratch.run("git", "checkout", "-q", code)
    status, output = scratch.run(*command, "--benchmark-compare", "--benchmark-compare-fail=median:5%", allowed=(0, 1))
    flagged = flagged_by_pytest_benchmark(output)
    if status and not flagged:
        raise ToolError("pytest-benchmark failed and named no case: run it by hand")
    return Answer(bool(status), flagged, scratch.cases)


def codspeed(scratch: Scratch, code: str) -> Answer:
    """Wall times of the base and of the other code, a session each; slower by more than 5 % is flagged."""
    best = []
    for revision in ("base", code):
        scratch.run("git", "checkout", "-q", revision)
        before = set(scratch.root.glob(".codspeed/*.json"))
        scratch.run(*PYTEST_COMMAND, "-p", "no:benchmark", "--codspeed", "--codspeed-mode", "walltime")
        (stored,) = set(scratch.root.glob(".codspeed/*.json")) - before
        best.append(best_times(stored.read_text(encoding="utf8")))
    flagged = sum(best[1][name] > 1.05 * seconds for name, seconds in best[0].items())
    return Answer(bool(flagged), flagged, scratch.cases)


def best_times(stored: str) -> dict[str, float]:
    """The time that pytest-codspeed prints of each case, in nanoseconds, from what it stores."""
    return {
        one["name"]: one["stats"]["min_ns"] / one["stats"]["iter_per_round"] for one in json.loads(stored)["benchmarks"]
    }


def asv(scratch: Scratch, code: str) -> Answer:
    """`asv continuous` of the base and the other code, at a factor of 1.05."""
    scratch.run("git", "checkout", "-q", "main")
    scratch.run(sys.executable, "-m", "asv", "machine", "--yes")
    command = (sys.executable, "-m", "asv", "continuous", "--factor", "1.05", "--show-stderr", "base", code)
    status, output = scratch.run(*command, allowed=(0, 1))
    if status and not flagged_by_asv(output):  # it exits with 1 for anything that goes wrong, too
        last = output.strip().splitlines()[-1:] or ["it said nothing"]
        raise ToolError(f"asv measured nothing: {last[0]}")
    return Answer(bool(status), flagged_by_asv(output), scratch.cases)


ASKED = {"pytest-benchmark": pytest_benchmark, "codspeed": codspeed, "asv": asv}

if __name__ == "__main__":
    console.run(main)
