"""Cases that meet a disturbed machine are put off once and measured in the end: the real hooks, a made-up watch."""

import os
import re
import subprocess
import sys

import pytest

from mnv1.results import load
from tests.conftest import ROOT

PLUGIN = """
import pytest
from mnv1.measure import quiet

class Watch:
    # Disturbed for the first {disturbed} looks that a case takes before it starts, and quiet from then on.
    def __init__(self, controls, allowance):
        self.waits = 0
        self.waited = 0
    def learn(self):
        pass
    def quiet(self):
        return True
    def wait(self):
        self.waits += 1
        return self.waits > {disturbed}

quiet.ControlWatch = Watch
"""


def sweep(tmp_path, disturbed):
    (tmp_path / "watch.py").write_text(PLUGIN.format(disturbed=disturbed))
    command = [sys.executable, "-m", "pytest", "benchmarks", "-p", "watch", "-p", "no:cacheprovider", "-k", "model"]
    command += ["--profile", "smoke", "--alphas", "0.25", "--resolutions", "32", "--precisions", "fp32"]
    command += ["--devices", "cpu", "--benchmark-json", str(tmp_path / "run.json")]
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("disturbed", "order"),
    [
        (0, ["speedup-model", "model-standard", "model-separable"]),
        (1, ["model-standard", "model-separable", "speedup-model"]),
        (99, ["speedup-model", "model-standard", "model-separable"]),
    ],
)
def test_a_case_is_put_off_once_and_none_is_lost(tmp_path, disturbed, order):
    process = sweep(tmp_path, disturbed)
    assert process.returncode == 0, process.stdout
    assert re.findall(r"^\[\d/3\] (\w+-\w+)-", process.stdout, re.MULTILINE) == order
    assert "3 passed" in process.stdout
    assert "skipped" not in process.stdout
    assert "warning" not in process.stdout.lower()
    assert len(load([tmp_path / "run.json"])) == 3
