"""Publishing: what is handed on, and `python scripts/publish.py` as its user runs it."""

import json
import math

import pytest
from pytest_benchmark import cli

from mnv1.base.run_to_run import USUAL, RunToRun, run_to_run_of
from mnv1.report.render import BEGIN, END
from mnv1.store.documents import compact
from mnv1.store.publishing import prepared, with_component
from mnv1.store.runs import ResultError, load
from scripts.publish import main
from tests.conftest import ROOT, document, latency_facts, speedup_facts


@pytest.fixture
def root(tmp_path):
    """A repository with a README and a page of documentation."""
    folder = tmp_path / "repository"
    (folder / "docs").mkdir(parents=True)
    (folder / "README.md").write_text(f"before\n{BEGIN}\nout of date\n{END}\nafter\n")
    table = "results/published/test-cpu/rendered/verdict-cpu.md"
    (folder / "docs" / "verdict.md").write_text(f"<!-- include: {table} -->\nout of date\n<!-- end -->\n")
    return folder


def test_a_run_is_handed_on_without_names_of_host_folders_and_people():
    run = document([latency_facts()])
    run["machine_info"] |= {"node": "lab-7", "note": "lab-7.example, not lab-70: /home/ann/x and C:\\Users\\Bo\\y"}
    run["commit_info"] = {"id": "0123", "time": "then", "dirty": False, "project": "secret", "branch": "lab-7"}
    run["mnv1"] = {"failed": {"a": "/root/mnv1/a.py of lab-7; also /Users/ann (a rootless /usr/root/z)"}}
    before = json.dumps(run)
    handed_on = prepared(run)
    assert "node" not in handed_on["machine_info"]
    assert handed_on["machine_info"]["note"] == "HOST.example, not lab-70: ~/x and ~\\y"
    assert handed_on["commit_info"] == {"id": "0123", "time": "then", "dirty": False}
    assert handed_on["mnv1"]["failed"] == {"a": "~/mnv1/a.py of HOST; also ~ (a rootless /usr/root/z)"}
    assert handed_on["benchmarks"] == run["benchmarks"]
    assert json.dumps(run) == before
    assert prepared(handed_on) == handed_on


def with_figures(facts, run_to_run):
    """Facts of a pair whose interval has visits of ±2 % and a component."""
    half = math.hypot(math.log(1.02), 1.959964 * run_to_run)
    ends = {
        f"{name}_{end}": value * math.exp(sign * half)
        for name, value in (("latency", 1e-3), ("speedup", 4.0))
        for end, sign in (("low", -1), ("high", 1))
    }
    figures = {"latency_p50": 1e-3, "speedup": 4.0, "run_to_run": run_to_run, **ends}
    return facts | figures | {"states": [figures | {"state": "CPUs share a cache"}]}


def test_the_component_between_runs_is_replaced_by_that_of_the_machine():
    run = document([with_figures(speedup_facts(), 0.03), latency_facts() | {"run_to_run": 0.03}])
    found = with_component(run, run_to_run_of("1"))["benchmarks"][0]["extra_info"]
    for figures in (found, found["states"][0]):
        for name, value in with_figures({}, 0.01).items():
            if name != "states":
                assert figures[name] == pytest.approx(value)
    assert run["benchmarks"][0]["extra_info"]["run_to_run"] == 0.03, "the run itself stays"
    run["benchmarks"][0]["extra_info"]["states"][0]["state"] = "CPUs apart"
    (apart,) = with_component(run, run_to_run_of("1"))["benchmarks"][0]["extra_info"]["states"]
    assert apart["run_to_run"] == USUAL.apart
    assert apart["speedup_high"] == pytest.approx(with_figures({}, USUAL.apart)["speedup_high"])
    with pytest.raises(ResultError, match="has no component between runs to replace"):
        with_component(document([latency_facts()]), RunToRun())


def test_publishing_with_a_component(root, store, capsys):
    run = store([speedup_facts(run_to_run=0.03), latency_facts(run_to_run=0.03)])
    for value in ("a", "-1", "inf"):
        with pytest.raises(SystemExit):
            main([str(run), "--run-to-run", value], root)
        assert "--run-to-run" in capsys.readouterr().err
    assert main([str(run), "--run-to-run", "1.5"], root) == 0
    assert set(load(list((root / "results" / "published").rglob("0*.json")))["run_to_run"]) == {0.015}


def test_a_stored_run_has_a_line_for_each_case():
    run = document([latency_facts(), speedup_facts()]) | {"note": "α"}
    text = compact(run)
    assert json.loads(text) == run
    assert len(text.splitlines()) == len(run) + 5  # the outer braces, and the list's beginning, end and second case
    assert text.isascii()
    assert compact(document([])).isascii()


def test_readers_of_pytest_benchmark_read_what_is_published(monkeypatch, capsys):
    published = next((ROOT / "results" / "published").rglob("0*.json"))
    monkeypatch.setattr("sys.argv", ["pytest-benchmark", "compare", str(published), "--columns=median,rounds"])
    cli.main()
    assert "test_speedup" in capsys.readouterr().out
    assert "node" not in json.loads(published.read_text())["machine_info"]


def test_publishing_a_run_renders_everything_that_quotes_it(root, store, capsys):
    run = store([speedup_facts(speedup=4.8)])
    assert main([str(run)], root=root) == 0
    published = root / "results" / "published"
    target = published / "test-cpu" / "Linux-CPython-3.11-64bit" / "0001_a.json"
    assert load([target])["speedup"].tolist() == [4.8]
    assert "4.80×" in (root / "README.md").read_text()
    assert "4.80×" in (root / "docs" / "verdict.md").read_text()
    assert "4.80×" in (published / "report.html").read_text()
    assert (root / "docs" / "claims.md").exists()
    assert f"published {target}" in capsys.readouterr().out
    # Another run, and a plot that is no longer drawn.
    (published / "test-cpu" / "rendered" / "old.svg").write_text("")
    assert main([str(store([speedup_facts(speedup=5.1)], name="0002_b.json", time="2027-01-01")), str(run)], root) == 0
    assert "5.10×" in (root / "README.md").read_text()
    assert not (published / "test-cpu" / "rendered" / "old.svg").exists()
    # Nothing new: the same files again.
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    assert main([], root) == 0
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before


def test_preparing_a_run_writes_one_file(root, store, tmp_path, capsys):
    run = store([speedup_facts()])
    assert main([str(run), "--prepare", str(tmp_path / "new" / "mine.json")], root) == 0
    assert json.loads((tmp_path / "new" / "mine.json").read_text()) == prepared(json.loads(run.read_text()))
    assert not (root / "results").exists()
    with pytest.raises(SystemExit):
        main(["--prepare", "mine.json"], root)
    assert "--prepare takes exactly one RUN" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "changes", "complaint"),
    [
        ("0001_a.json", {"time": "2027-01-01"}, "another run is published under this name; rename 0001_a.json"),
        ("mine.json", {}, "names of stored runs begin with four digits, such as 0001_mine.json; rename it"),
        ("0002_b.json", {"machine": "../../up"}, "its machine '../../up' is no name of a folder"),
    ],
)
def test_a_run_that_cannot_stand_there_is_refused_before_anything_is_written(
    root, store, capsys, name, changes, complaint
):
    assert main([str(store([speedup_facts()]))], root) == 0
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    good = store([speedup_facts()], name="0009_good.json")
    assert main([str(good), str(store([speedup_facts()], name=name, **changes))], root) == 1
    assert capsys.readouterr().err.endswith(f"{complaint}\n")
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before


def test_a_missing_run_and_nothing_published(root, capsys):
    assert main(["none.json"], root) == 1
    assert capsys.readouterr().err == "error: none.json: no such file\n"
    assert main([], root) == 1
    assert "no stored runs here" in capsys.readouterr().err
