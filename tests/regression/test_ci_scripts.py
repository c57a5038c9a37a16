"""What CI runs in somebody else's repository, step by step: the clock is counted, and no internet is needed."""

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.regression.scratch import SUITE, commit, git, repository

USES_PACKAGE = (
    SUITE
    + """

@workload
def more():
    import needed

    return lambda: needed.VALUE
"""
)

INSTALL = 'cp packages/*.py "$VIRTUAL_ENV"/lib/python*/site-packages/'
"""What pip would do, without an index: what a checkout lists is put into the environment."""


def compare(root, tmp_path, *options, **variables):
    """`.ci/compare` of the last two revisions; the status that it hands on, and what it printed."""
    output = tmp_path / "output"
    output.unlink(missing_ok=True)
    done = subprocess.run(
        [ROOT / ".ci" / "compare", "benchmarks/speed.py", "HEAD^1", *options],
        cwd=root,
        env=os.environ | {"GITHUB_OUTPUT": str(output), "PYTHON": sys.executable, **variables},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    (line,) = output.read_text().splitlines()
    assert git(root, "worktree", "list").count("\n") == 0, "nothing is left behind"
    return line.removeprefix("status="), done.stdout + done.stderr


def verdict(*statuses):
    done = subprocess.run([ROOT / ".ci" / "verdict", "pull-request", *statuses], capture_output=True, text=True)
    return done.returncode, done.stdout


@pytest.fixture
def theirs(tmp_path):
    return repository(tmp_path / "theirs")


def test_a_planted_slowdown_is_found_and_confirmed_and_the_job_is_red(theirs, tmp_path):
    commit(theirs, {"mine.py": "COST = 1.04\n"})
    found = tmp_path / "comparison.json"
    status, printed = compare(theirs, tmp_path, "--json", str(found), "--summary", str(tmp_path / "page.md"))
    assert (status, "result: a regression" in printed) == ("1", True)
    assert "| work-2 | SLOWER |" in (tmp_path / "page.md").read_text()
    confirmed, printed = compare(theirs, tmp_path, "--candidates", str(found))
    assert confirmed == "1", printed
    assert verdict(status, confirmed)[0] == 1


def test_a_change_that_costs_nothing_is_green(theirs, tmp_path):
    commit(theirs, {"mine.py": "COST = 1.0  # as before\n"})
    status, printed = compare(theirs, tmp_path)
    assert status == "0", printed
    assert verdict(status, "")[0] == 0


def test_where_nothing_that_matters_has_changed_nothing_is_compared(theirs, tmp_path):
    commit(theirs, {"README.md": "words\n"})
    assert compare(theirs, tmp_path, CHANGED="mine.py benchmarks")[0] == "unchanged"
    assert verdict("unchanged", "")[0] == 0


@pytest.mark.parametrize(
    ("suite", "status", "said"),
    [
        (SUITE + "raise RuntimeError('no')", "2", "speed.py cannot be run with head's code: RuntimeError: no"),
        (
            SUITE.replace("return 100 *", "__import__('mine.no')\n        return"),
            "4",
            "ModuleNotFoundError: No module named 'mine.no'",
        ),
        (
            SUITE.replace("return 100 *", "__import__('time').sleep(9)\n        return"),
            "2",
            "no answer within 1 s to: prepare",
        ),
        (SUITE.replace("100 * size", "now()"), "4", "is not deterministic: two calls gave different outputs"),
    ],
)
def test_a_suite_that_does_not_work_turns_the_job_red(theirs, tmp_path, suite, status, said):
    commit(theirs, {"benchmarks/speed.py": suite})
    found, printed = compare(theirs, tmp_path, "--timeout", "1" if "sleep" in suite else "60")
    assert found == status, printed
    assert said in printed
    assert "Traceback" not in printed
    assert verdict(found, "")[0] == 1


def test_a_package_that_head_adds_is_installed_for_head_alone(theirs, tmp_path):
    commit(theirs, {"packages/other.py": ""})
    commit(theirs, {"packages/needed.py": "VALUE = 3\n", "setup.cfg": "[needs]\n", "benchmarks/speed.py": USES_PACKAGE})
    status, printed = compare(theirs, tmp_path, INSTALL=INSTALL)
    assert status == "0", printed
    assert "more: not compared, base: ModuleNotFoundError: No module named 'needed'" in printed
    assert "2 SAME" in printed
