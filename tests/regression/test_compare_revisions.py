"""The command: bad input in one line, whole runs with real processes and a counted clock, and Ctrl-C."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from mnv1.regression import command, plan, verdicts
from mnv1.regression.pairs import Pairs, WorkerError, WrongCodeError
from mnv1.regression.sides import Harness, Side
from mnv1.regression.stored import read
from scripts import compare_revisions
from tests.conftest import ROOT, hear_interrupts
from tests.regression.scratch import SUITE, commit, repository

TINY = plan.Plan(least_case_time=0.01, pair_time=0.01, fewest_blocks=2)
LOOKS = verdicts.Rules(looks=(3,), false_alarms=0.5)
"""As few processes as carry an interval: each imports torch."""


def told(name, **parameters):
    return {"id": name, "parameters": parameters, "tolerance": 1e-4}


CASES = [
    told("layer-a-cpu-fp32", device="cpu", precision="fp32"),
    told("layer-a-cpu-amp", device="cpu", precision="amp"),
    told("layer-a-cuda-fp32", device="cuda", precision="fp32"),
    told("parse"),
]


@pytest.fixture
def quick_start(monkeypatch, tmp_path):
    """Neither copies nor processes: what the command makes of its arguments."""
    sides = [Side(name, "0" * 40, tmp_path, sys.executable) for name in ("base", "head")]
    monkeypatch.setattr(command, "make_side", lambda name, *_: sides[name == "head"])
    monkeypatch.setattr(command, "make_harness", lambda *_: Harness(tmp_path, (".",), "", frozenset({"mine"})))
    monkeypatch.setattr(Pairs, "cases", lambda _: CASES)


@pytest.fixture
def no_measuring(quick_start, monkeypatch):  # noqa: ARG001
    def unexpected(*_, **__):
        raise AssertionError("nothing should have been measured")

    monkeypatch.setattr(command, "compare", unexpected)


def test_a_revision_that_does_not_exist(capsys):
    assert compare_revisions.main(["no-such-revision"]) == 2
    expected = "error: revision 'no-such-revision' does not exist here; see `git log --all --oneline`\n"
    assert capsys.readouterr().err == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["HEAD", "--cases", "no-such-*"], "error: --cases: no case matches 'no-such-*'; one is layer-a-cpu-fp32"),
        (["HEAD", "--precisions", "fp32,fp8"], "error: --precisions: unknown value 'fp8'; valid values: fp32, amp"),
        (["HEAD", "--inject", "layer-*"], "error: --inject: 'layer-*' is not PATTERN:FACTOR, such as 'model-*:1.05'"),
        (["HEAD", "--inject", "layer-*:0.9"], "error: --inject: 'layer-*:0.9': the factor must be above 1"),
        (["HEAD", "--inject", "none-*:1.1"], "error: --inject: 'none-*:1.1': the factor must be above 1"),
        (["HEAD", "HEAD", "--self-test"], "error: --self-test compares BASE with itself: leave out HEAD"),
        (["HEAD", "--candidates", "missing.json"], "error: missing.json: no such file"),
        (["HEAD", "--threads", "0"], "error: --threads: must be at least 1, got 0"),
        (["HEAD", "--installed"], "error: --installed compares what two interpreters have: name both, --base-python"),
    ],
)
@pytest.mark.usefixtures("no_measuring")
def test_bad_input_is_one_line(monkeypatch, capsys, tmp_path, arguments, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command, "has_bf16_instructions", lambda: True)
    assert compare_revisions.main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(message)
    assert captured.err.count("\n") == 1


@pytest.mark.usefixtures("no_measuring")
def test_a_device_that_the_suite_does_not_have_here(monkeypatch, capsys):
    monkeypatch.setattr(Pairs, "cases", lambda _: CASES[:3])
    assert compare_revisions.main(["HEAD", "--device", "xpu"]) == 2
    said = "error: --device xpu: the suite has no case on it here; use --device cpu or cuda\n"
    assert capsys.readouterr().err == said


def test_a_suite_must_be_named_elsewhere(capsys):
    with pytest.raises(SystemExit) as ended:
        command.main(["HEAD"])
    assert ended.value.code == 2
    assert "the following arguments are required: --suite" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "status"),
    [(WorkerError("head: its process died"), 2), (WrongCodeError("head: other code"), 4), (KeyboardInterrupt(), 130)],
)
@pytest.mark.usefixtures("quick_start")
def test_statuses_of_what_goes_wrong(monkeypatch, capsys, error, status):
    def broken(*_, **__):
        raise error

    monkeypatch.setattr(command, "compare", broken)
    monkeypatch.setattr(command, "has_bf16_instructions", lambda: True)
    assert compare_revisions.main(["HEAD", "HEAD"]) == status
    assert signal.getsignal(signal.SIGTERM) is signal.default_int_handler
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "has_bf16", "chosen"),
    [
        ([], True, ["layer-a-cpu-fp32", "layer-a-cpu-amp", "parse"]),
        ([], False, ["layer-a-cpu-fp32", "parse"]),
        (["--precisions", "amp"], False, ["layer-a-cpu-amp", "parse"]),
        (["--device", "cuda"], False, ["layer-a-cuda-fp32", "parse"]),
        (["--cases", "p*"], True, ["parse"]),
    ],
)
def test_which_cases_are_chosen(monkeypatch, capsys, arguments, has_bf16, chosen):
    monkeypatch.setattr(command, "has_bf16_instructions", lambda: has_bf16)
    args = command.make_parser(Path("speed.py")).parse_args(arguments)
    assert [case["id"] for case in command._chosen(args, CASES)] == chosen
    is_told = "amp is left out: this CPU has no bf16 instructions" in capsys.readouterr().err
    assert is_told == (not has_bf16 and not arguments)


def test_two_interpreters_run_the_same_code(monkeypatch, tmp_path):
    made = []
    monkeypatch.setattr(command, "make_side", lambda *how: made.append(how))
    monkeypatch.setattr(command, "make_harness", lambda *_: None)
    args = command.make_parser(Path("speed.py")).parse_args(["--head-python", "other/python"])
    command._sides(args, ROOT, tmp_path)
    assert [(how[0], how[1], how[4]) for how in made] == [
        ("base", None, sys.executable),
        ("head", None, "other/python"),
    ]


def scratch_run(root, *arguments, python=sys.executable, timeout=60):
    """The command in somebody else's repository, as a process of its own."""
    return subprocess.run(
        [python, "-m", "mnv1.regression", *arguments, "--suite", "benchmarks/speed.py"],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def test_anybodys_repository_is_compared(tmp_path):
    """The clock is counted: identical code takes the same, a planted slowdown of 4 % is found, and nothing else."""
    root = repository(tmp_path / "theirs")
    same = scratch_run(root, "HEAD", "--self-test", "--json", str(tmp_path / "same.json"))
    assert same.returncode == 0, same.stderr
    assert "result: no regression (2 SAME;" in same.stdout
    stored = read(tmp_path / "same.json")
    assert "torch" not in stored["sides"]["head"], "which the suite does not use"
    assert stored["calls"]["python"] > 0
    commit(root, {"mine.py": "COST = 1.04\n"})
    slower = scratch_run(root, "HEAD~1", "HEAD", "--json", str(tmp_path / "slower.json"))
    assert slower.returncode == 1, slower.stderr
    assert "result: a regression (2 SLOWER;" in slower.stdout
    confirmed = scratch_run(root, "HEAD~1", "HEAD", "--candidates", str(tmp_path / "slower.json"))
    assert confirmed.returncode == 1, confirmed.stderr
    nothing = scratch_run(root, "HEAD~1", "--self-test", "--candidates", str(tmp_path / "same.json"))
    assert (nothing.returncode, nothing.stdout) == (0, f"{tmp_path / 'same.json'}: nothing to confirm\n")
    injected = scratch_run(root, "HEAD", "--self-test", "--inject", "work-2:2.0")
    assert injected.returncode == 1
    assert "1 SLOWER, 1 SAME" in injected.stdout


@pytest.mark.parametrize(
    ("suite", "mine", "status", "message"),
    [
        ("def", None, 2, "error: --suite: benchmarks/speed.py: cannot be used: SyntaxError: invalid syntax"),
        ("1 / 0", None, 2, "error: --suite: speed.py cannot be run with head's code: ZeroDivisionError"),
        ("import mine", None, 2, "error: --suite: speed.py cannot be run with head's code: MarkError: no function"),
        (SUITE + "import not_there_yet", None, 2, "head's code: ModuleNotFoundError: No module named 'not_there_yet'"),
        (SUITE.replace("import mine", "").replace("mine.COST", "1"), None, 4, "the suite's cases import none of mine"),
        (SUITE.replace("100 * size", "now()"), None, 4, "is not deterministic: two calls gave different outputs"),
        (SUITE.replace("100 * size", "mine.NEW"), "COST = 1\nNEW = 3", 4, "base: AttributeError: module 'mine' has no"),
        (SUITE + "mine.NEW", "COST = 1\nNEW = 3", 4, "base: the suite cannot be run with its code: AttributeError"),
        (SUITE.replace("100 * size", "mine.OLD"), "COST = 1", 4, "head: AttributeError: module 'mine' has no"),
        (
            SUITE.replace("return 100 *", "__import__('os')._exit(3)\n        return"),
            None,
            2,
            "ended with status 3 at: pre",
        ),
        (
            SUITE.replace("return 100 *", "__import__('time').sleep(9)\n        return"),
            None,
            2,
            "no answer within 1 s to",
        ),
    ],
)
def test_a_suite_that_cannot_be_compared(tmp_path, suite, mine, status, message):
    root = repository(tmp_path / "theirs")
    if "OLD" in suite:
        commit(root, {"mine.py": "COST = 1\nOLD = 3\n"})
    commit(root, {"benchmarks/speed.py": suite} | ({"mine.py": mine} if mine else {}))
    done = scratch_run(root, "HEAD~1", "HEAD", "--timeout", "1" if "sleep" in suite else "60")
    assert done.returncode == status, done.stdout + done.stderr
    assert message in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_the_command_needs_numpy_and_scipy_alone(tmp_path):
    """Every other package is made impossible to import: torch, pandas, tabulate, filelock, psutil and the rest."""
    root = repository(tmp_path / "theirs")
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(
        "import sys\n"
        "class Nothing:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name in {'torch', 'torchvision', 'pandas', 'matplotlib', 'tabulate', 'jinja2', 'rich',\n"
        "                    'filelock', 'psutil', 'pytest', 'pynvml'}:\n"
        "            raise ModuleNotFoundError(name, name=name)\n"
        "sys.meta_path.insert(0, Nothing())\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "mnv1.regression", "HEAD", "--self-test", "--suite", "benchmarks/speed.py"],
        cwd=root,
        env=os.environ | {"PYTHONPATH": f"{tmp_path / 'site'}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "warning: filelock is not installed" in done.stderr


def test_the_installed_code_of_two_interpreters_is_compared(tmp_path):
    """Compiled packages are no files of a revision: each interpreter has its own. Here a folder on its path."""
    root = repository(tmp_path / "theirs")
    pythons = []
    for name, cost in (("one", 1.0), ("other", 1.2)):
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / name], check=True)
        (packages,) = (tmp_path / name).glob("lib/python*/site-packages")
        (packages / "mine.py").write_text(f"COST = {cost}\n")
        pythons.append(str(tmp_path / name / "bin" / "python"))
    sides = ("--base-python", pythons[0], "--head-python", pythons[1])
    done = scratch_run(root, "--installed", *sides)
    assert done.returncode == 1, done.stderr
    assert scratch_run(root, *sides).returncode == 0, "a revision's files are the same for both"


def test_the_suites_cases_have_ids_that_stay():
    """Ledgers and CI know them by these."""
    from mnv1.base.marks import cases_of
    from mnv1.base.own_files import module_of

    found = cases_of(module_of(compare_revisions.SUITE))
    ids = [case.id for case in found if case.parameters["device"] == "cpu"]
    assert len(ids) == 26
    for one in (
        "layer-separable-32x64-s1-d112-b1-cpu-fp32",
        "layer-standard-512x512-s1-d14-b1-cpu-amp",
        "model-separable-a1.00-r224-b1-cpu-fp32",
        "model-separable-a0.25-r128-b8-cpu-amp",
        "model-standard-a0.25-r128-b1-cpu-fp32",
    ):
        assert one in ids
    assert {case.tolerance for case in found} == {1e-4, 2e-2}


def test_what_head_changes_is_seen_by_real_processes(monkeypatch, capsys, tmp_path):
    """A separable block with one more BatchNorm, whose outputs agree, and a standard one whose outputs do not."""
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", "--no-checkout", ROOT, clone], check=True)
    subprocess.run(["git", "checkout", "-q", "HEAD", "--", "mnv1"], cwd=clone, check=True)
    blocks = clone / "mnv1/net/blocks.py"
    pointwise = "        *_conv_bn_relu(in_channels, out_channels, 1, 1),\n    )"
    more = pointwise.replace("\n    )", "\n        nn.BatchNorm2d(out_channels),\n    )")
    monkeypatch.setattr(compare_revisions, "ROOT", clone)
    monkeypatch.setattr(command, "QUICK_PLAN", TINY)
    monkeypatch.setattr(verdicts, "QUICK", LOOKS)
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
