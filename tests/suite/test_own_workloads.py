"""Somebody's own layers and workloads through the whole suite, with made-up figures; and once with real ones."""

import pytest

from mnv1.store.runs import find_runs, load
from tests.conftest import MADE_UP, sweep

FILE = """
import torch
from mnv1 import workload


@workload
def dense():
    return torch.nn.Conv2d(8, 8, 3), torch.randn(1, 8, 12, 12)


@workload(twin=dense)
def grouped():
    return torch.nn.Conv2d(8, 8, 3, groups=4), torch.randn(1, 8, 12, 12)
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(FILE)
    return path


def stored(folder):
    return load(find_runs(folder)).set_index("id")


def kept_in(folder):
    return "--profile=smoke", "--benchmark-autosave", f"--benchmark-storage=file://{folder}"


def test_layers_are_measured_instead_of_the_profile(tmp_path):
    shapes = "--layers=96x200-k5-d28"
    done = sweep(*MADE_UP, *kept_in(tmp_path), shapes, "--devices=cpu", "--precisions=fp32", "--batch-sizes=2")
    assert done.returncode == 0, done.stdout
    cases = stored(tmp_path)
    assert len(cases) == 5
    row = cases.loc["speedup-layer-96x200-k5-s1-d28-b2-cpu-fp32"]
    assert row["speedup"] == pytest.approx(4, rel=0.01)
    assert row["macs_ratio"] == pytest.approx(25 * 200 / (25 + 200))
    assert "96x200-k5-s1-d28" in done.stdout


@pytest.mark.slow
def test_a_files_workloads_are_measured_instead_of_the_profile(tmp_path, file):
    done = sweep(*kept_in(tmp_path / "runs"), f"--workloads={file}", "--devices=cpu", "--half-width=60")
    assert done.returncode == 0, done.stdout
    cases = stored(tmp_path / "runs")
    assert set(cases.index) == {
        *(f"own-mine-{name}-b1-cpu-fp32" for name in ("dense", "grouped")),
        "speedup-own-mine-grouped-b1-cpu-fp32",
    }
    assert cases.loc["speedup-own-mine-grouped-b1-cpu-fp32", "macs_ratio"] == pytest.approx(4)
    assert cases.loc["own-mine-dense-b1-cpu-fp32", "peak_memory"] > 0
    assert "How much faster are your workloads than their twins?" in done.stdout


@pytest.mark.parametrize(
    ("option", "why"),
    [
        ("--layers=64-d5", "'64-d5' is no shape: INxOUT"),
        ("--workloads=nowhere.py", "nowhere.py: there is no such file"),
    ],
)
def test_bad_input_is_a_line(option, why):
    done = sweep(*MADE_UP, option)
    assert done.returncode == 4
    assert why in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
