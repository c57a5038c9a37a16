"""Every command on a terminal that knows no `×`, `α` or `±`."""

import io
import runpy

import pytest
from _pytest._io import TerminalWriter

from mnv1.base import console
from tests.conftest import ROOT, latency_facts, profiled, speedup_facts

SCRIPTS = sorted((ROOT / "scripts").rglob("*.py"))
SOURCES = [path for folder in ("mnv1", "scripts", "benchmarks") for path in sorted((ROOT / folder).rglob("*.py"))]
WORKERS = {
    *("mnv1/regression/worker.py", "mnv1/measure/worker.py", "mnv1/measure/rung_worker.py"),
    "mnv1/measure/handover.py",
}
"""Processes that answer on a pipe: nobody reads their terminal."""


def run(monkeypatch, path, *arguments):
    """Exit status, output and errors of a command, in this process, on an ASCII terminal."""
    streams = [io.TextIOWrapper(io.BytesIO(), encoding="ascii") for _ in range(2)]
    with monkeypatch.context() as patched:
        patched.setattr("sys.argv", [str(path), *map(str, arguments)])
        patched.setattr("sys.stdout", streams[0])
        patched.setattr("sys.stderr", streams[1])
        with pytest.raises(SystemExit) as done:
            runpy.run_path(str(path), run_name="__main__")
    written = []
    for stream in streams:
        stream.flush()
        written.append(stream.buffer.getvalue().decode("ascii"))
    return done.value.code, *written


def test_characters_that_we_print_have_others_in_their_place():
    ours = {one for path in SOURCES for one in path.read_text(encoding="utf8") if not one.isascii()}
    names = {one for one in ours if one > "\u2e80"}  # a data set's folder in Chinese
    assert {one for one in ours - names if console.plain(one) == "?"} == set()
    assert (
        console.plain("4.85× [4.76, 4.95], ±2 %, α 0.5 → µs · é 零")
        == "4.85x [4.76, 4.95], +-2 %, alpha 0.5 -> us * e ?"
    )


def test_a_terminal_shows_what_it_can():
    written = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    console.write_what_can_be_shown([written, io.StringIO()])
    written.write("4.85× α")
    written.flush()
    assert written.buffer.getvalue() == "4.85× alpha".encode("latin-1")


def test_pytest_writes_lines_as_lines():
    """It would write escapes where a character is missing, and one for the end of a line, too."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii", newline="")
    console.write_what_can_be_shown([stream])
    TerminalWriter(stream).line("α 1\n4.85×")
    stream.flush()
    assert stream.buffer.getvalue() == b"alpha 1\n4.85x\n"


def test_every_command_runs_through_the_console():
    commands = [path for path in SOURCES if 'if __name__ == "__main__":' in path.read_text(encoding="utf8")]
    assert {*SCRIPTS, ROOT / "mnv1/complexity.py", ROOT / "mnv1/export.py"} <= set(commands)
    for path in commands:
        if path.relative_to(ROOT).as_posix() not in WORKERS:
            assert path.read_text(encoding="utf8").endswith("\n    console.run(main)\n"), path


# All but one that sets the machine's state as soon as it is read, and one without options, which writes documents.
ASKED = [path for path in SCRIPTS if path.stem not in ("agreement", "refresh_docs")]


@pytest.mark.parametrize("path", ASKED, ids=lambda path: path.stem)
def test_help_of_every_script(monkeypatch, path):
    status, out, _ = run(monkeypatch, path, "--help")
    assert status == 0
    assert out.startswith("usage: ")


def test_counts(monkeypatch):
    status, out, _ = run(monkeypatch, ROOT / "mnv1" / "complexity.py", "--alpha", "0.5")
    assert status == 0
    assert "block13" in out


def test_claims(monkeypatch, store):
    run_of = store([latency_facts(operators=profiled(pointwise=0.5, depthwise=0.5))])
    status, out, err = run(monkeypatch, ROOT / "scripts" / "check_claims.py", run_of)
    assert (status, err) == (0, "")
    assert "(alpha 0.5, 160 px)" in out


def test_verdict(monkeypatch, store, tmp_path):
    stored = store([speedup_facts(speedup=4.8)])
    status, out, err = run(monkeypatch, ROOT / "scripts" / "plot_results.py", stored, "--out", tmp_path / "out")
    assert (status, err) == (0, "")
    assert "MobileNetV1 (alpha 1, 224 px)" in out
    assert "  fp32  4.80x (batch 1)\n" in out
    assert "4.80×" in (tmp_path / "out" / "verdict-cpu.md").read_text(encoding="utf8")  # files are always UTF-8


def test_errors(monkeypatch, tmp_path):
    status, _, err = run(monkeypatch, ROOT / "scripts" / "check_claims.py", tmp_path / "α×.json")
    assert status == 1
    assert err == f"error: {tmp_path}/alphax.json: no such file\n"
