"""What scripts read from other tools' output, and that the changes which they make still apply."""

import json
import subprocess
import sys

import pytest

from scripts.method.known_changes import CHANGES
from scripts.method.other_tools import (
    ASV,
    CASES,
    PYTEST,
    best_times,
    flagged_by_asv,
    flagged_by_pytest_benchmark,
    main,
    packages,
)
from tests.conftest import ROOT

ASV_SAYS = """\
| Change   | Before [a1] <base>   | After [b2] <slower>   |   Ratio | Benchmark (Parameter)                  |
|----------|----------------------|-----------------------|---------|----------------------------------------|
| +        | 1.00±0.01ms          | 1.20±0.01ms           |    1.2  | asv_cases.Case.time_case('layer-a')    |
| -        | 1.00±0.01ms          | 0.80±0.01ms           |    0.8  | asv_cases.Case.time_case('layer-b')    |
| +        | 9.00±0.01ms          | 9.60±0.01ms           |    1.07 | asv_cases.Case.time_case('model-c')    |

SOME BENCHMARKS HAVE CHANGED SIGNIFICANTLY.
PERFORMANCE DECREASED.
"""
PYTEST_SAYS = """\
Performance has regressed:
\ttest_cases.py::test_case[layer-a] (0001_x) - Field 'median' has failed PercentageRegressionCheck: 7.1 > 5.0
\ttest_cases.py::test_case[model-c] (0001_x) - Field 'median' has failed PercentageRegressionCheck: 9.0 > 5.0
"""


def test_slower_cases_are_counted():
    assert flagged_by_asv(ASV_SAYS) == 2
    assert flagged_by_asv("BENCHMARKS NOT SIGNIFICANTLY CHANGED.") == 0
    assert flagged_by_pytest_benchmark(PYTEST_SAYS) == 2
    assert flagged_by_pytest_benchmark("26 passed") == 0


def test_times_of_codspeed_are_of_a_single_call():
    stored = {"benchmarks": [{"name": "test_case[a]", "stats": {"min_ns": 300.0, "iter_per_round": 3}}]}
    assert best_times(json.dumps(stored)) == {"test_case[a]": 100.0}


def test_what_other_tools_run_is_python():
    for text in (CASES.format(extra=0.05, packages=[], suite="", root=""), PYTEST, ASV):
        compile(text, "cases.py", "exec")


def test_cases_find_this_package_in_an_interpreter_that_knows_no_folder(tmp_path):
    """As asv's are: it drops PYTHONPATH."""
    (tmp_path / "cases.json").write_text("{}")
    (tmp_path / "cases.py").write_text(CASES.format(extra=0.0, packages=list(packages()), suite="", root=""))
    subprocess.run([sys.executable, "-I", "-S", tmp_path / "cases.py"], check=True)


def test_unknown_tools(capsys):
    with pytest.raises(SystemExit):
        main(["--ledger", "x", "--tools", "hyperfine"])
    assert "valid values: pytest-benchmark, codspeed, asv" in capsys.readouterr().err


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.name)
def test_known_changes_apply_to_the_code_as_it_is(change):
    for edits in (change.before, change.after):
        for name, old, new in edits:
            text = (ROOT / "mnv1" / name).read_text()
            assert text.count(old) == 1
            compile(text.replace(old, new), name, "exec")
