"""Ladders: which rungs there are, how they are visited, what their rounds say, and which of them may be used."""

import json
import math
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnv1.ladder.choice import Limits, choose
from mnv1.ladder.climb import FEWEST_ROUNDS, PRECISE_ROUNDS, Climbed, climb
from mnv1.ladder.ratios import ratio, typical
from mnv1.ladder.rows import RATIOS, rows_of
from mnv1.ladder.rungs import Rung, Wanted, findings_of, rungs_of
from mnv1.ladder.stored import LadderError, accuracy_of, document, find, from_document, load_accuracies, read, write
from mnv1.measure.messages import Failed

HERE = {"bf16_instructions": True, "threads": 2}
SMALL = Wanted(("separable", "standard"), 0.25, 64, 1, "cpu")

SECONDS = {
    "separable, fp32, eager": 10e-3,
    "separable, fp32, eager, allocator as it comes": 15e-3,
    "separable, fp32, folded": 8e-3,
    "separable, bf16, folded+channels_last": 5e-3,
    "standard, fp32, eager": 60e-3,
    "standard, bf16, compiled+freezing": 20e-3,
    "timm, fp32, eager": 11e-3,
    "timm, fp32, eager, allocator as it comes": 20e-3,
}


def climbed(seconds, error=None, rounds=10, wanted=SMALL):
    """Rungs as they were measured: each round drifts by the same share for all, and each rung varies by 1 %."""
    found = []
    for rung in rungs_of(wanted, HERE)[0]:
        if rung.label in seconds:
            facts = {"output_error": (error or {}).get(rung.label, 1e-6), "compile_time": 2.0, "file_size": 2**24}
            drift = [1 + 0.2 * math.sin(number) for number in range(rounds)]
            noise = [1 + 0.01 * math.cos(3 * number + len(rung.label)) for number in range(rounds)]
            times = [seconds[rung.label] * a * b for a, b in zip(drift, noise, strict=True)]
            found.append(Climbed(rung, facts | {"peak_memory": 2**20}, times))
    return found


def ladder_of(found, left_out=(), findings=(), name="ladder", around=None, **options):
    environment = HERE | {"machine": "test-cpu", "cpu": "Test CPU", "packages": {"torch": "2.15.0"}}
    options = {"kinds": "separable,standard"} | options
    content = document(found, environment, options, left_out, "2026-01-02T03:04:05+00:00", findings, around)
    return from_document(json.loads(json.dumps(content)), name)


def test_the_usual_rungs_hold_every_mode_and_what_it_is_compared_with():
    rungs, left_out = rungs_of(SMALL, HERE)
    labels = [rung.label for rung in rungs]
    assert len({rung.id for rung in rungs}) == len(rungs)
    assert set(SECONDS) <= set(labels)
    assert "standard, fp32, channels_last" not in labels
    assert ("separable, fp32, cuda-graph", "cuda-graph needs CUDA") in left_out
    assert not [rung for rung in rungs if rung.case.conditions.precision == "tf32"]
    states = {rung.label for rung in rungs if rung.state == "as-is"}
    assert states == {f"{kind}, fp32, eager, allocator as it comes" for kind in ("separable", "timm")}


def test_chosen_modes_and_precisions_replace_the_usual_ones():
    wanted = Wanted(("separable",), 1.0, 224, 8, "cpu", ("bf16",), ("folded", "onnxruntime"))
    rungs, left_out = rungs_of(wanted, HERE)
    assert [rung.label for rung in rungs if rung.case.conditions.precision != "fp32"] == ["separable, bf16, folded"]
    assert rungs[0].case.id == "model-separable-a1.00-r224-b8-cpu-fp32"
    assert left_out == [("separable, bf16, onnxruntime", "onnxruntime does not exist in bf16: it does in fp32")]


def test_what_a_machine_cannot_do_is_left_out_with_the_reason():
    rungs, left_out = rungs_of(SMALL, HERE | {"bf16_instructions": False})
    assert {rung.case.conditions.precision for rung in rungs} <= {"fp32", "int8"}
    assert any("no bf16 instructions" in reason for _, reason in left_out)
    on_cuda = Wanted(("separable",), 1.0, 224, 1, "cuda")
    rungs, left_out = rungs_of(on_cuda, HERE)
    assert not rungs
    assert {reason for _, reason in left_out} == {"no CUDA device: torch.cuda.is_available() is false here"}
    rungs, _ = rungs_of(on_cuda, HERE | {"gpu": "some"})
    assert {"cuda-graph", "eager"} <= {rung.case.conditions.mode for rung in rungs}
    assert not [rung for rung in rungs if rung.state == "as-is"]


class Process:
    """A rung's process that takes a fixed time, and may fail when it is made ready or at one of its blocks."""

    def __init__(self, seconds, fails_at=None, log=None):
        self.seconds, self.fails_at, self.log = seconds, fails_at, log if log is not None else []
        self.blocks = 0
        self.closed = False

    def build(self):
        if self.fails_at == 0:
            return Failed("WrongOutputError: wrong: output error 0.3 above 0.0001")
        return {"output_error": 1e-7, "compile_time": 1.0}

    def block(self):
        assert not self.closed
        self.blocks += 1
        self.log.append(self.seconds)
        return Failed("its process died of SIGSEGV") if self.fails_at == self.blocks else self.seconds

    def close(self):
        self.closed = True


def some_rungs(number):
    return rungs_of(SMALL, HERE)[0][:number]


def test_rungs_are_visited_in_turns_until_the_time_is_over():
    clock, log, lines = count(0.0, 1.0), [], []
    processes = [Process(0.001 * number, log=log) for number in (1, 2, 3)]
    waiting = iter(processes)
    found = climb(some_rungs(3), lambda _: next(waiting), lambda: next(clock), lines.append, budget=0.0)
    assert all(len(one.seconds) == FEWEST_ROUNDS for one in found)
    rounds = [log[start : start + 3] for start in range(0, len(log), 3)]
    assert all(sorted(one) == [0.001, 0.002, 0.003] for one in rounds)
    assert {one[0] for one in rounds} == {0.001, 0.002, 0.003}
    assert all(process.closed for process in processes)
    assert lines[0].startswith("[1/3] separable, fp32, eager  ready in 1.0 s, output error 1.0e-07")


@pytest.mark.parametrize(("throttled", "times"), [(lambda: False, 1), (lambda: True, 3)])
def test_a_throttled_block_is_taken_again_but_not_for_ever(throttled, times):
    clock, log = count(0.0, 1.0), []
    process = Process(0.001, log=log)
    (found,) = climb(some_rungs(1), lambda _: process, lambda: next(clock), lambda _: None, 0.0, throttled)
    assert len(found.seconds) == FEWEST_ROUNDS
    assert len(log) == times * FEWEST_ROUNDS


def test_precise_rounds_end_early():
    clock = count(0.0, 0.001)
    found = climb(some_rungs(2), lambda _: Process(0.001), lambda: next(clock), lambda _: None, budget=1e6)
    assert len(found[0].seconds) == PRECISE_ROUNDS


@pytest.mark.parametrize(("fails_at", "reason"), [(0, "wrong: output error 0.3"), (5, "died of SIGSEGV")])
def test_a_rung_that_fails_is_told_and_the_others_go_on(fails_at, reason):
    clock, lines = count(0.0, 1.0), []
    processes = [Process(0.001), Process(0.002, fails_at), Process(0.003)]
    waiting = iter(processes)
    found = climb(some_rungs(3), lambda _: next(waiting), lambda: next(clock), lines.append, budget=0.0)
    assert [reason in (one.failed or "") for one in found] == [False, True, False]
    assert [len(one.seconds) for one in found if not one.failed] == [FEWEST_ROUNDS] * 2
    assert any("FAILED" in line and reason in line for line in lines)
    assert processes[1].closed
    ladder = ladder_of(found)
    assert len(ladder.measured) == 2
    assert reason in ladder.rungs[1].failed


def test_processes_are_ended_when_something_raises():
    processes = [Process(0.001), Process(0.001)]
    waiting = iter(processes)

    def interrupt(line):
        if "[2/2]" in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        climb(some_rungs(2), lambda _: next(waiting), lambda: 0.0, interrupt, budget=0.0)
    assert all(process.closed for process in processes)


def test_ratios_are_those_of_the_rounds_with_students_interval():
    over, under = [2.0, 4.4, 8.0], [1.0, 2.0, 4.0]
    found = ratio(over, under)
    # ln 2, ln 2.2, ln 2: mean 0.72492, standard error 0.03177, t(2) 4.3027
    assert found.value == pytest.approx(math.exp(0.724917), rel=1e-5)
    assert (found.low, found.high) == (pytest.approx(1.8009, rel=1e-3), pytest.approx(2.3669, rel=1e-3))
    assert typical([1.0, 4.0, 2.0]).value == pytest.approx(2.0)
    with pytest.raises(ValueError, match="zip"):
        ratio([1.0, 2.0], [1.0, 2.0, 3.0])


@given(st.lists(st.floats(1e-4, 1e2), min_size=2, max_size=20), st.floats(0.01, 100))
def test_drift_that_meets_both_sides_cancels(under, factor):
    found = ratio([factor * second for second in under], under)
    for end in found:
        assert end == pytest.approx(factor, rel=1e-9)


def test_every_row_has_its_ratios():
    rows = rows_of(ladder_of(climbed(SECONDS))).set_index("label")
    best = rows.loc["separable, bf16, folded+channels_last"]
    assert rows.index[0] == best.name
    assert best["speedup"] == pytest.approx(2.0, rel=0.02)
    assert best["over_timm"] == pytest.approx(2.2, rel=0.02)
    assert best["over_timm_as_is"] == pytest.approx(4.0, rel=0.02)
    assert best["speedup_high"] - best["speedup_low"] < 0.1  # though each latency drifts by 20 %
    assert best["latency_high"] / best["latency_low"] > 1.1
    assert math.isnan(best["over_twin"])
    assert rows.loc["separable, fp32, eager", "over_twin"] == pytest.approx(6.0, rel=0.02)
    assert math.isnan(rows.loc["separable, fp32, eager", "speedup"])
    assert math.isnan(rows.loc["separable, fp32, eager", "compile_time"])
    assert {f"{name}_low" for name in RATIOS} <= set(rows.columns)


def test_the_fastest_within_the_limits_is_chosen():
    errors = {"separable, bf16, folded+channels_last": 6e-3}
    ladder = ladder_of(climbed(SECONDS, errors))
    wide = choose(ladder, "separable", Limits(1e-2), {})
    assert wide.fastest["label"] == "separable, bf16, folded+channels_last"
    assert wide.runner_up["label"] == "separable, fp32, folded"
    assert wide.margin.value == pytest.approx(1.6, rel=0.02)
    narrow = choose(ladder, "separable", Limits(1e-3), {})
    assert narrow.fastest["label"] == "separable, fp32, folded"
    refused = ("separable, bf16, folded+channels_last", "output error 0.006 above 0.001")
    assert refused in narrow.refused
    assert choose(ladder, "separable", Limits(1e-9), {}).fastest is None
    assert "as it comes" not in f"{narrow.fastest['label']} {narrow.runner_up['label']}"


def quantized(monkeypatch, error=1e-2):
    """A ladder with an int8 rung, the fastest, whatever is installed here."""
    monkeypatch.setattr("mnv1.ladder.rungs.why_not_here", lambda *_, **__: None)
    label = "separable, int8, compiled+freezing"
    return ladder_of(climbed(SECONDS | {label: 3e-3}, {label: error})), label


def test_int8_needs_a_known_accuracy_where_a_drop_is_limited(monkeypatch):
    ladder, label = quantized(monkeypatch)
    rung = next(rung for rung in ladder.measured if rung.label == label)
    assert choose(ladder, "separable", Limits(2e-2), {}).fastest["label"] == label
    unknown = choose(ladder, "separable", Limits(2e-2, 0.005), {})
    assert (label, "its accuracy is not known, and --max-accuracy-drop limits it") in unknown.refused
    for name in (rung.id, "model-separable-a0.25-r64-int8"):
        known = {name: {"accuracy": 0.926, "baseline": 0.93, "images": 10_000}}
        assert accuracy_of(rung, known) == known[name]
        assert choose(ladder, "separable", Limits(2e-2, 0.005), known).fastest["label"] == label
        tight = choose(ladder, "separable", Limits(2e-2, 0.001), known)
        assert (label, "accuracy drops by 0.40 points, more than 0.1") in tight.refused


def test_a_wrong_rung_is_refused_whatever_the_limits_are(monkeypatch):
    ladder, label = quantized(monkeypatch, error=0.3)
    choice = choose(ladder, "separable", Limits(1.0), {})
    assert (label, "wrong: output error 0.3 above 0.1") in choice.refused


def test_findings_differ_in_one_setting_each():
    found = findings_of(1.0, 224, (1, 8), threads=2)
    assert len(found) == 6
    for one in found:
        same_case = one.over.case == one.under.case
        assert same_case == (not one.name.startswith("memory format"))
        assert one.over.id != one.under.id
    assert len(findings_of(1.0, 224, (1,), threads=1)) == 2
    assert findings_of(1.0, 224, (1,), threads=2)[1].over.id == "model-separable-a1.00-r224-b1-cpu-fp32-t1"


def test_a_ladder_is_stored_and_read_back(tmp_path):
    path = tmp_path / "folder" / "b1.json"
    content = document(climbed(SECONDS), {"machine": "test"}, {}, [("a", "b")], "2026-01-02T03:04:05+00:00")
    write(path, content)
    ladder = read(path)
    assert ladder.name == "b1"
    assert ladder.left_out == (("a", "b"),)
    assert [rung.label for rung in ladder.rungs] == [one.rung.label for one in climbed(SECONDS)]
    assert ladder.rungs[0].workload == "model-separable-a0.25-r64"
    assert find(path.parent) == [path]


def broken(change):
    content = document(climbed(SECONDS), {"machine": "test"}, {}, [], "2026-01-02T03:04:05+00:00")
    content = json.loads(json.dumps(content))
    change(content)
    return json.dumps(content)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "damaged or truncated JSON"),
        ("[]", "not a stored ladder"),
        (broken(lambda one: one.update(schema=9)), "layout 9, this version reads 1"),
        (broken(lambda one: one["rungs"][0].pop("mode")), "damaged: .*mode"),
        (broken(lambda one: one["rungs"][0].update(mode="fast")), "has no valid mode"),
        (broken(lambda one: one["rungs"][0]["seconds"].pop()), "not the same number of rounds"),
        (broken(lambda one: one["rungs"][0]["seconds"].__setitem__(0, -1)), "a time that is none"),
        (broken(lambda one: one["rungs"][0].update(facts={})), "has no output error"),
        (broken(lambda one: one["environment"].clear()), "names no machine"),
        (broken(lambda one: one.update(messages={"rounds": [None], "states": []})), "messages are of another number"),
        (broken(lambda one: one.update(messages={"rounds": [[1]], "states": []})), "damaged: "),
        (broken(lambda one: one["rungs"].clear()), "no rung was measured"),
    ],
)
def test_a_damaged_ladder_is_named_in_a_line(tmp_path, text, message):
    path = tmp_path / "b1.json"
    path.write_text(text)
    with pytest.raises(LadderError, match=message) as caught:
        read(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_accuracies_are_read_and_checked(tmp_path):
    path = tmp_path / "accuracy.json"
    path.write_text('{"model-separable-a0.25-r64-int8": {"accuracy": 0.92, "baseline": 0.93, "images": 10000}}')
    assert load_accuracies([path])["model-separable-a0.25-r64-int8"]["accuracy"] == 0.92
    for text in ('{"a": {"accuracy": 92, "baseline": 93}}', '{"a": 1}', "[]"):
        path.write_text(text)
        with pytest.raises(LadderError, match="needs accuracy and baseline"):
            load_accuracies([path])


def test_missing_files_and_folders_are_named(tmp_path):
    with pytest.raises(LadderError, match="no such file"):
        read(tmp_path / "none.json")
    with pytest.raises(LadderError, match="no stored ladder here"):
        find(tmp_path / "none")
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(LadderError, match="cannot be written"):
        write(blocked / "b1.json", {})


def test_a_rung_tells_its_state_and_threads():
    case = some_rungs(1)[0].case
    assert Rung(case, "as-is", 1).id == f"{case.id}-as-is-t1"
    assert Rung(case, "as-is", 1).label == "separable, fp32, eager, allocator as it comes, 1 thread"
