"""The command that finds the fastest way, and what is rendered from stored ladders."""

import subprocess
import sys

import pytest

from mnv1.ladder.choice import Limits, choose
from mnv1.ladder.climb import Climbed
from mnv1.ladder.report import (
    fastest_line,
    findings_markdown,
    markdown,
    not_measured,
    picture,
    render,
    table,
    title,
    twin_lines,
)
from mnv1.ladder.rows import rows_of
from mnv1.ladder.rungs import findings_of
from mnv1.ladder.stored import document, read, write
from scripts.find_fastest import main
from tests.conftest import ROOT
from tests.ladder.test_ladder import HERE, SECONDS, climbed, ladder_of


def test_the_table_is_written_as_a_person_reads_it():
    rows = rows_of(ladder_of(climbed(SECONDS)))
    lines = table(rows).splitlines()
    assert lines[0].replace(" ", "") == (
        "|network|precision|mode|latency|images/s|speedup[95%]|overtimm|overtimmasitcomes|twin|error|madeready|"
        "peakmemory|size|"
    )
    assert [cell.strip() for cell in lines[2].split("|")[1:-1]] == [
        *("separable", "bf16", "folded+channels_last", "5.16 ms ±9.9 %", "194", "2.00× [1.98, 2.02]"),
        *("2.20× [2.18, 2.22]", "3.99× [3.97, 4.02]", "", "1.0e-06", "2.00 s", "1.00 MiB", "16.0 MiB"),
    ]


def test_the_fastest_is_told_with_its_ratios_and_the_next_one():
    choice = choose(ladder_of(climbed(SECONDS)), "separable", Limits(1e-2), {})
    line = fastest_line(choice, "separable")
    assert line.startswith("Fastest: separable, bf16, folded+channels_last: ")
    assert "as fast as eager fp32; " in line
    assert "as fast as timm's MobileNetV1 in eager fp32; " in line
    assert "Next: separable, fp32, folded, which takes " in line
    nothing = choose(ladder_of(climbed(SECONDS)), "separable", Limits(1e-9), {})
    assert fastest_line(nothing, "separable") == "No way to run separable is within the limits."


def test_two_that_cannot_be_told_apart_are_said_to_be_so():
    close = SECONDS | {"separable, fp32, folded": 5.001e-3}
    line = fastest_line(choose(ladder_of(climbed(close)), "separable", Limits(1e-2), {}), "separable")
    assert "which takes 1.00× [" in line
    assert line.endswith("] as long, too close to tell apart.")


def test_the_twin_is_compared_in_the_same_way():
    assert twin_lines(rows_of(ladder_of(climbed(SECONDS)))).startswith(
        "Beside its standard-convolution twin, run in the same way, the separable network is faster: 6.0"
    )
    slower = SECONDS | {"standard, fp32, eager": 5e-3}
    assert "slower in 1 of " in twin_lines(rows_of(ladder_of(climbed(slower))))


def test_what_was_not_measured_is_told_once_for_each_reason():
    found = climbed(SECONDS)
    found[1].failed = "its process died of SIGSEGV"
    ladder = ladder_of(found, [("a", "not installed"), ("b", "not installed")])
    lines = not_measured(ladder).splitlines()
    assert lines[0] == "- not measured: a; b: not installed"
    assert lines[1].endswith(": its process died of SIGSEGV")


def test_a_section_has_all_of_it_and_is_the_same_each_time():
    ladder = ladder_of(climbed(SECONDS), [("separable, fp32, cuda-graph", "cuda-graph needs CUDA")])
    text = markdown(ladder, {})
    assert text.startswith("## The ladder: MobileNetV1, α 0.25 at 64 px, batch 1 (cpu)\n")
    assert title(ladder) in text
    assert "Outputs within 0.0001 of eager fp32. Fastest: separable, bf16" in text
    assert "cuda-graph needs CUDA" in text
    assert "Measured in 10 rounds on 2026-01-02" in text
    assert markdown(ladder, {}) == text
    assert picture(ladder) == picture(ladder)


def findings_ladder():
    found = findings_of(0.25, 64, (1, 32), threads=2)
    without = findings_of(0.25, 64, (1, 32), threads=2, keeps_memory=False)
    assert [one for one in found if not one.name.startswith("allocator")] == without
    seconds = {"-as-is": 23e-3, "-t1": 19e-3, "channels_last": 9e-3}
    rungs = {rung.id: rung for one in found for rung in (one.over, one.under)}
    measured = [
        Climbed(
            rung,
            {"output_error": 0.0, "compile_time": 0.0},
            [next((s for end, s in seconds.items() if name.endswith(end)), 10e-3) * (1 + 0.01 * n) for n in range(8)],
        )
        for name, rung in rungs.items()
    ]
    return ladder_of(measured, findings=found, name="findings")


def test_findings_are_told_with_their_ratios():
    text = findings_markdown(findings_ladder())
    assert "| allocator: freed memory kept / as it comes | 32 | 23.8 ms | 10.3 ms | 2.30× [2.30, 2.30] |" in text
    assert "| threads: 2 / 1 | 1 | " in text
    assert "The largest effect is allocator: freed memory kept / as it comes at batch 1: 2.30×" in text


def test_stored_ladders_are_rendered_without_torch(tmp_path):
    content = document(climbed(SECONDS), HERE | {"machine": "test"}, {}, [], "2026-01-02T03:04:05+00:00")
    write(tmp_path / "b1.json", content)
    code = (
        "import sys; sys.argv = ['find_fastest.py', '--render', sys.argv[1]]\n"
        "import runpy\n"
        "try:\n    runpy.run_path('scripts/find_fastest.py', run_name='__main__')\n"
        "except SystemExit as done:\n    assert not done.code, done.code\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "rendered" / "b1.md").read_text() == markdown(read(tmp_path / "b1.json"), {}) + "\n"
    assert (tmp_path / "rendered" / "b1.svg").exists()


def test_findings_are_rendered_as_a_table_alone(tmp_path):
    assert [path.name for path in render([findings_ladder()], tmp_path, {})] == ["findings.md"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--batch-size", "0"], "--batch-size: '0' is not valid"),
        (["--batch-size", "1,8"], "--batch-size: a ladder has one"),
        (["--kinds", "vgg19"], "--kinds: unknown value 'vgg19'"),
        (["--modes", "fast"], "--modes: unknown value 'fast'"),
        (["--precisions", "fp8"], "--precisions: unknown value 'fp8'"),
        (["--alpha", "-1"], "--alpha: -1 is not valid"),
        (["--resolution", "8"], "--resolution: 8 is not valid"),
        (["--max-error", "nan"], "--max-error: nan is not valid"),
        (["--max-accuracy-drop", "-1"], "--max-accuracy-drop: -1 is not valid"),
    ],
)
def test_bad_values_are_named(arguments, message, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_a_folder_without_ladders_is_named(tmp_path, capsys):
    assert main(["--render", str(tmp_path)]) == 1
    assert capsys.readouterr().err == (
        f"error: {tmp_path}: no stored ladder here; measure one first: python scripts/find_fastest.py --help\n"
    )


@pytest.mark.slow  # rungs, their order and what is answered are tested without processes, modes in test_execution
def test_a_small_ladder_is_measured_stored_and_answered(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(
        "mnv1.ladder.rungs.why_not_here", lambda case, *_, **__: "no" if case.workload.kind == "timm" else None
    )
    arguments = ["--alpha", "0.25", "--resolution", "32", "--kinds", "separable", "--time-budget", "0.1"]
    arguments += ["--modes", "eager,onnxruntime", "--precisions", "fp32", "--json", str(tmp_path / "b1.json")]
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 0
    shown = capsys.readouterr().out
    ladder = read(tmp_path / "b1.json")
    assert [rung.label for rung in ladder.measured] == [
        "separable, fp32, eager",
        "separable, fp32, eager, allocator as it comes",
        "separable, fp32, onnxruntime",  # which is exported with cuDNN's switches as they are in a measuring process
    ]
    assert "Fastest: separable, fp32, " in shown
    assert "logits" in shown.split("Fastest: ")[1]
    assert (tmp_path / "out" / "b1.md").exists()
