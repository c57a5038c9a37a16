"""The command: bad input in one line, a whole small run with real processes, and Ctrl-C."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from mnv1.regression import plan
from mnv1.regression.pairs import WorkerError, WrongCodeError
from mnv1.regression.stored import read
from scripts import compare_revisions
from tests.conftest import ROOT, hear_interrupts

ENVIRONMENT = {"machine": "some-machine", "bf16_instructions": True}
TINY = plan.Plan(first_pairs=3, second_pairs=3, blocks=2, sample_time=0.001)
"""As few processes as carry an interval: each imports torch."""


@pytest.fixture
def quick_start(monkeypatch):
    """Describing the machine starts torch; nothing here needs that."""
    monkeypatch.setattr(compare_revisions, "_environment", lambda _: dict(ENVIRONMENT))


@pytest.fixture
def no_measuring(quick_start, monkeypatch):  # noqa: ARG001
    def unexpected(*_, **__):
        raise AssertionError("nothing should have been measured")

    monkeypatch.setattr(compare_revisions, "compare", unexpected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no-such-revision"], "error: revision 'no-such-revision' does not exist here; see `git log --all --oneline`"),
        (["HEAD", "--cases", "no-such-*"], "error: --cases: no case matches 'no-such-*'; one is layer-separable-32x64"),
        (["HEAD", "--precisions", "fp32,fp8"], "error: --precisions: unknown value 'fp8'; valid values: fp32, amp"),
        (["HEAD", "--inject", "model-*"], "error: --inject: 'model-*' is not PATTERN:FACTOR, such as 'model-*:1.05'"),
        (["HEAD", "--inject", "model-*:0.9"], "error: --inject: 'model-*:0.9': the factor must be above 1"),
        (["HEAD", "--inject", "none-*:1.1"], "error: --inject: 'none-*:1.1': the factor must be above 1"),
        (["HEAD", "HEAD", "--self-test"], "error: --self-test compares BASE with itself: leave out HEAD"),
        (["HEAD", "--head-python", "/nonexistent/python"], "error: head: /nonexistent/python does not run, or has no"),
        (["HEAD", "--candidates", "missing.json"], "error: missing.json: no such file"),
    ],
)
@pytest.mark.usefixtures("no_measuring")
def test_bad_input_is_one_line(monkeypatch, capsys, tmp_path, arguments, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("mnv1.regression.sides._NEEDED", "import json")
    assert compare_revisions.main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(message)
    assert captured.err.count("\n") == 1


@pytest.mark.usefixtures("no_measuring")
def test_unknown_options_and_devices(capsys):
    with pytest.raises(SystemExit) as ended:
        compare_revisions.main(["--device", "tpu"])
    assert ended.value.code == 2
    assert "invalid choice: 'tpu'" in capsys.readouterr().err


def test_no_cuda_and_no_threads(monkeypatch, capsys):
    class NoGpu:
        def __init__(self, *_, **__):
            self.environment = ENVIRONMENT

        def describe(self):
            return self

        def close(self):
            pass

    monkeypatch.setattr(compare_revisions, "Supervisor", NoGpu)
    assert compare_revisions.main(["HEAD", "--device", "cuda"]) == 2
    assert capsys.readouterr().err.startswith(
        "error: --device cuda: no CUDA device: torch.cuda.is_available() is false here; use"
    )
    assert compare_revisions.main(["HEAD", "--threads", "0"]) == 2
    assert capsys.readouterr().err == "error: --threads: must be at least 1, got 0\n"


@pytest.mark.parametrize(
    ("error", "status"),
    [(WorkerError("head: its process died"), 2), (WrongCodeError("head: other code"), 4), (KeyboardInterrupt(), 130)],
)
@pytest.mark.usefixtures("quick_start")
def test_statuses_of_what_goes_wrong(monkeypatch, capsys, error, status):
    def broken(*_, **__):
        raise error

    monkeypatch.setattr(compare_revisions, "compare", broken)
    monkeypatch.setattr("mnv1.regression.sides._NEEDED", "import json")
    assert compare_revisions.main(["HEAD", "HEAD"]) == status
    assert signal.getsignal(signal.SIGTERM) is signal.default_int_handler
    assert capsys.readouterr().err.count("\n") == 1


def test_amp_is_left_out_without_bf16_and_said(capsys):
    args = compare_revisions.make_parser().parse_args([])
    with_bf16 = compare_revisions._cases(args, {"bf16_instructions": True})
    assert len(with_bf16) >= 24
    without = compare_revisions._cases(args, {"bf16_instructions": False})
    assert {case.conditions.precision for case in without} == {"fp32"}
    assert "amp is left out: this CPU has no bf16 instructions" in capsys.readouterr().err


def test_two_interpreters_run_the_same_code(monkeypatch, tmp_path):
    made = []
    monkeypatch.setattr(compare_revisions, "make_side", lambda *how: made.append(how))
    args = compare_revisions.make_parser().parse_args(["--head-python", "other/python"])
    compare_revisions._sides(args, tmp_path)
    assert [(how[0], how[1], how[4]) for how in made] == [
        ("base", None, sys.executable),
        ("head", None, "other/python"),
    ]


def test_cases_are_plain_json_with_unique_ids():
    cases = plan.regression_cases("cpu", ("fp32", "amp"))
    about = {case.id: plan.described(case) for case in cases}
    assert len(about) == len(cases) >= 24
    assert json.loads(json.dumps(about)) == about


@pytest.mark.slow  # test_what_head_changes_is_seen_by_real_processes is a whole run, too
@pytest.mark.usefixtures("quick_start")
def test_a_whole_run_with_real_processes(monkeypatch, capsys, tmp_path):
    """Base against itself: how it ends depends on the machine; that facts agree and files are whole does not."""
    monkeypatch.setattr(compare_revisions, "QUICK", TINY)
    files = {name: tmp_path / name for name in ("json", "ledger", "summary")}
    options = [part for name, path in files.items() for part in (f"--{name}", str(path))]
    case = "layer-separable-512x512-s1-d14-b1-cpu-fp32"
    status = compare_revisions.main(["HEAD", "--self-test", "--quick", "--cases", case, *options])
    assert status in (0, 1, 3)
    stored = read(files["json"])
    assert stored["exit_status"] == status
    assert stored["exact"] == stored["wrong_outputs"] == stored["failed"] == {}
    assert list(stored["verdicts"]) == [case]
    assert len(stored["first"][case]) == 3
    assert {side["threads"] for side in stored["sides"].values()} == {1}
    assert len({side["torch"] for side in stored["sides"].values()}) == 1
    blocks = [one["blocks"] for one in stored["raw"] if one["case"] == case and one["stage"] == 1]
    assert [[len(block["base"]), len(block["head"])] for block in blocks[0]] == [[2, 2]] * 2
    assert json.loads(files["ledger"].read_text()) == stored
    assert case in files["summary"].read_text()
    assert case in capsys.readouterr().out


@pytest.mark.usefixtures("quick_start")
def test_what_head_changes_is_seen_by_real_processes(monkeypatch, capsys, tmp_path):
    """A separable block with one more BatchNorm, whose outputs agree, and a standard one whose outputs do not."""
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", "--no-checkout", ROOT, clone], check=True)
    subprocess.run(["git", "checkout", "-q", "HEAD", "--", "mnv1"], cwd=clone, check=True)
    blocks = clone / "mnv1/net/blocks.py"
    pointwise = "        *_conv_bn_relu(in_channels, out_channels, 1, 1),\n    )"
    more = pointwise.replace("\n    )", "\n        nn.BatchNorm2d(out_channels),\n    )")
    monkeypatch.setattr(compare_revisions, "ROOT", clone)
    monkeypatch.setattr(compare_revisions, "QUICK", TINY)
    standard = "    return conv_bn(in_channels, out_channels, stride)"
    text = blocks.read_text()
    assert pointwise in text
    assert standard in text
    other = standard.replace("return conv_bn", "return nn.Sequential(nn.Sigmoid(), conv_bn").replace(
        "stride)", "stride))"
    )
    blocks.write_text(text.replace(pointwise, more).replace(standard, other))
    cases = ["--cases", "layer-s*-512x512-s1-d14-b1-cpu-fp32"]
    assert compare_revisions.main(["HEAD", "--quick", *cases, "--json", str(tmp_path / "one.json")]) == 4
    found = read(tmp_path / "one.json")
    exact = found["exact"]["layer-separable-512x512-s1-d14-b1-cpu-fp32"]
    assert exact["params"][1] - exact["params"][0] == 1024
    assert exact["operators"][1] == exact["operators"][0] + 1
    assert list(found["wrong_outputs"]) == ["layer-standard-512x512-s1-d14-b1-cpu-fp32"]
    told = capsys.readouterr().out
    assert "params" in told
    assert "outputs differ by" in told


def workers_of(pid):
    """Processes under test that a comparison has started."""
    found = []
    for one in psutil.Process(pid).children():
        with contextlib.suppress(psutil.Error):  # it ended in this moment
            found += [one] if any("regression/worker.py" in part for part in one.cmdline()) else []
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_an_interrupt_leaves_nothing_behind(number):
    command = [sys.executable, "scripts/compare_revisions.py", "HEAD", "--self-test", "--quick", "--cases", "layer-*"]
    with tempfile.TemporaryDirectory() as folder:
        started = subprocess.Popen(
            command,
            cwd=ROOT,
            env=os.environ | {"TMPDIR": folder},
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=hear_interrupts,
        )
        deadline = time.monotonic() + 120
        while len(workers := workers_of(started.pid)) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert len(workers) == 2
        started.send_signal(number)
        _, errors = started.communicate(timeout=60)
        assert started.returncode == 130
        assert errors.splitlines()[-1] == "interrupted: nothing is left behind"
        assert not any(one.is_running() for one in workers)
        assert not list(Path(folder).iterdir())
