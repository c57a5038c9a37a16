"""`python scripts/plot_results.py` as a user runs it."""

import contextlib
import io
import re

import pytest

from mnv1.report.render import BEGIN, END, readme_part, render
from mnv1.report.sections import Section
from mnv1.report.views import VIEWS
from mnv1.store.runs import find_runs, load_results
from scripts import plot_results
from scripts.plot_results import main
from tests.conftest import (
    ROOT,
    everything,
    latency_facts,
    section_of,
    speedup_facts,
    stored_in,
    training_facts,
    training_speedup_facts,
)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "results"


def placeholder(_section, _ending):
    """What is written in place of a plot: `test_report` draws them all, `test_page` the whole page."""
    return b'<svg width="10pt" height="10pt" viewBox="0 0 10 10"/>'


@pytest.fixture(autouse=True)
def undrawn(request, monkeypatch):
    if "drawn" not in request.keywords:
        monkeypatch.setattr(Section, "image", placeholder)
        monkeypatch.setattr(plot_results, "appendix", lambda _: None)  # claims are judged in the tests of the page


@pytest.fixture(scope="module")
def everything_rendered(tmp_path_factory):
    """The folder of results after every view of them was rendered, with a README beside it; and what was printed."""
    root = tmp_path_factory.mktemp("everything")
    stored_in(root, everything())
    stored_in(root, everything(), name="0002_older.json", time="2026-01-01T00:00:00+00:00")
    stored_in(root, everything(), name="0003_one_thread.json", time="2026-01-01T00:00:00+00:00", threads=1)
    (root / "README.md").write_text(f"before\n{BEGIN}\nout of date\n{END}\nafter\n")
    with contextlib.redirect_stdout(io.StringIO()) as printed, pytest.MonkeyPatch.context() as patch:
        patch.setattr(Section, "image", placeholder)
        patch.setattr(plot_results, "appendix", lambda _: None)
        arguments = [
            "--results",
            str(root / "results"),
            "--formats",
            "svg",
            "--verbose",
            "--readme",
            str(root / "README.md"),
        ]
        assert main(arguments) == 0
    return root / "results", printed.getvalue()


def test_renders_every_view_as_plot_and_tables(everything_rendered):
    folder, printed = everything_rendered
    out = folder / "test-cpu" / "rendered"
    expected = {f"{section_of(view)}.{ending}" for view in VIEWS for ending in ("svg", "md", "csv", "tex")} | {
        "README.md"
    }
    assert {path.name for path in out.iterdir()} == expected
    assert all(f"wrote {out / name}" in printed for name in expected)
    assert f"wrote {folder / 'report.html'}" in printed
    overview = (out / "README.md").read_text()
    assert "`0001_a` (revision 0123456789ab)" in overview
    assert set(re.findall(r"\]\((\S+\.svg)\)", overview)) <= expected


@pytest.mark.drawn
def test_every_format(store, folder, tmp_path):
    store([speedup_facts()])
    assert main(["--results", str(folder), "--out", str(tmp_path / "out"), "--formats", "png,svg,pdf"]) == 0
    starts = {ending: (tmp_path / "out" / f"verdict-cpu.{ending}").read_bytes()[:5] for ending in ("png", "svg", "pdf")}
    assert starts == {"png": b"\x89PNG\r", "svg": b"<?xml", "pdf": b"%PDF-"}


@pytest.mark.drawn
def test_the_same_results_give_the_same_files(store, folder, tmp_path):
    store([speedup_facts()])
    for name in ("one", "two"):
        main(["--results", str(folder), "--out", str(tmp_path / name), "--formats", "svg"])
    one, two = ({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("one", "two"))
    assert "report.html" in one
    assert one == two


def test_newest_run_by_its_own_date(store, folder, capsys):
    store([speedup_facts(speedup=7)], name="0001_new.json", time="2026-05-01T00:00:00+00:00")
    store([speedup_facts(speedup=3)], name="0002_old.json", time="2026-04-01T00:00:00+00:00")
    assert main(["--results", str(folder)]) == 0
    assert "0001_new" in capsys.readouterr().out
    assert "7.00×" in (folder / "test-cpu" / "rendered" / "verdict-cpu.md").read_text()


def test_the_newest_runs_of_inference_and_of_training_belong_together(store, folder, capsys):
    may, april, march = (f"2026-0{month}-01T00:00:00+00:00" for month in (5, 4, 3))
    store([training_speedup_facts()], name="0003_training.json", time=may)
    store([training_speedup_facts(), training_facts()], name="0004_older_training.json", time=march)
    store([speedup_facts()], name="0002_inference.json", time=april)
    store([speedup_facts()], name="0001_older.json", time=march)
    store([speedup_facts()], name="0005_elsewhere.json", time=may, threads=1)
    assert main(["--results", str(folder)]) == 0
    out = folder / "test-cpu" / "rendered"
    assert "rendered" in capsys.readouterr().out
    overview = (out / "README.md").read_text()
    assert re.findall(r"`(\w+)` \(revision", overview) == ["0002_inference", "0003_training"]
    assert {"verdict-cpu.md", "training_speedup-cpu.md"} <= {path.name for path in out.iterdir()}
    # One that has both needs no other.
    store([speedup_facts(), training_facts()], name="0006_both.json", time="2026-06-01T00:00:00+00:00")
    assert main(["--results", str(folder)]) == 0
    assert re.findall(r"`(\w+)` \(revision", (out / "README.md").read_text()) == ["0006_both"]


def test_the_readme_says_in_short_what_was_measured(store):
    facts = [speedup_facts(batch_size=1, speedup=4.8), speedup_facts(batch_size=8, speedup=3.5)]
    sentence, *table, provenance = readme_part(load_results([store(facts)]), ROOT / "rendered").split("\n\n")
    assert sentence.startswith("MobileNetV1 (α 1, 224 px) needs 8.56× fewer multiply-accumulates than its ")
    assert sentence.endswith(" twin, and runs 3.50× to 4.80× as fast.")
    assert "4.80× [4.68, 4.92]" in table[0]
    assert provenance.startswith("Measured by `0001_a`")


def test_the_readme_tells_of_training_where_it_was_measured(store):
    plain, both, alone = (
        readme_part(load_results([store(facts)]), ROOT / "rendered")
        for facts in (
            [speedup_facts()],
            [speedup_facts(), training_speedup_facts()],
            [training_speedup_facts()],
        )
    )
    sentence = "A training step of MobileNetV1 (α 1, 224 px) needs "
    assert sentence in both
    assert alone.startswith(sentence)
    assert "A training step" not in plain


def test_the_readme_has_one_picture_and_few_lines_for_a_device(store):
    part = readme_part(load_results([store(everything())]), ROOT / "rendered")
    assert part.count("![") == 1
    assert len(part.splitlines()) <= 25


def test_views_that_the_run_lacks_are_named(store, folder, capsys):
    store([speedup_facts()])
    assert main(["--results", str(folder), "--verbose"]) == 0
    assert "left out: layer_times-cpu: this run has no rows for it (it needs layers)" in capsys.readouterr().out


def test_the_verdict_and_the_page_are_the_last_words(store, folder, capsys):
    run = store([speedup_facts(speedup=4.8), speedup_facts(speedup=4.5, batch_size=8), training_speedup_facts()])
    assert main(["--results", str(folder)]) == 0
    out, page = folder / "test-cpu" / "rendered", folder / "report.html"
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [f"rendering {run}", f"  into {out} and {page}"]
    assert re.fullmatch(r"left out: \d+ views for which nothing was measured \(--verbose names them\)", lines[2])
    assert lines[3:] == [
        "",
        "cpu: MobileNetV1 (α 1, 224 px) is this many times as fast as its",
        "standard-convolution twin; counting operations promises 8.56×.",
        "  fp32  4.80× (batch 1) and 4.50× (batch 8)",
        "cpu: A training step of MobileNetV1 (α 1, 224 px) is this many times as fast;",
        "counting operations promises 8.60×.",
        "  fp32  3.50× (batch 1)",
        "",
        f"The page: {page}",
    ]


def test_a_run_that_is_named_is_rendered_beside_itself(store, tmp_path, capsys):
    stored = store([speedup_facts()])
    for name in ("mine/run.json", "storage/Linux-CPython-3.11-64bit/0001_a.json"):
        run = tmp_path / "copies" / name
        run.parent.mkdir(parents=True)
        run.write_bytes(stored.read_bytes())
        assert main([str(run)]) == 0
        assert f"into {run.parent / 'rendered'} and {run.parent / 'report.html'}" in capsys.readouterr().out
        assert (run.parent / "report.html").exists()
        assert (run.parent / "rendered" / "verdict-cpu.svg").exists()
    assert not (tmp_path / "copies" / "report.html").exists()
    assert main([str(stored)]) == 0  # in the suite's own storage
    assert (tmp_path / "results" / "test-cpu" / "rendered" / "verdict-cpu.svg").exists()
    assert (tmp_path / "results" / "report.html").exists()


def test_nothing_is_written_above_the_results(store):
    folder = store([speedup_facts()]).parent.parent
    assert main(["--results", str(folder)]) == 0
    assert (folder / "report.html").exists()
    assert not (folder.parent / "report.html").exists()


def test_published_runs_stand_beside_and_are_neither_mixed_in_nor_written(store, folder):
    store([speedup_facts(speedup=4.8)], time="2026-01-01T00:00:00+00:00")
    theirs = store([speedup_facts(speedup=1.5)], name="0002_b.json", machine="other-cpu", cpu="Other CPU")
    published = folder / "published" / "other-cpu" / theirs.name
    published.parent.mkdir(parents=True)
    theirs.rename(published)
    assert main(["--results", str(folder)]) == 0
    assert "4.80×" in (folder / "test-cpu" / "rendered" / "verdict-cpu.md").read_text()
    assert "1.50" not in (folder / "test-cpu" / "rendered" / "README.md").read_text()
    page = (folder / "report.html").read_text()
    assert "1.50×" in page
    assert "The published machine" in page
    assert [path for path in (folder / "published").rglob("*") if path.is_file()] == [published]


def test_published_files_are_not_written(capsys):
    published = ROOT / "results" / "published"
    assert main(["--results", str(published)]) == 1
    assert "scripts/publish.py alone writes there; name another folder with --out" in capsys.readouterr().err


def test_no_results_yet(folder, capsys):
    assert main(["--results", str(folder)]) == 1
    assert capsys.readouterr().err == (
        f"error: {folder}: no stored runs here; measure first: pytest benchmarks --benchmark-autosave\n"
    )


def test_a_damaged_file_is_named_and_the_others_are_rendered(store, folder, capsys):
    store([speedup_facts()])
    bad = store([speedup_facts()], name="0002_bad.json")
    bad.write_text(bad.read_text()[:-30])
    assert main(["--results", str(folder)]) == 1
    assert capsys.readouterr().err.startswith(f"error: {bad}: damaged or truncated JSON")
    assert (folder / "test-cpu" / "rendered" / "verdict-cpu.md").exists()


def test_machines_stand_side_by_side_and_are_not_mixed(store, folder, capsys):
    """The one with most cases is what is reported; nothing is divided by a figure of another."""
    few = store([speedup_facts(speedup=1.5)], name="0002_b.json", machine="other-cpu", cpu="Other CPU")
    most = store([speedup_facts(speedup=4.8), latency_facts()])
    third = store([speedup_facts(speedup=2.5)], name="0003_c.json", machine="third-cpu", cpu="Third CPU")
    assert main([str(few), str(most), str(third)]) == 0
    page = (folder / "report.html").read_text()
    assert "Other machines or settings, beside this one" in page
    assert all(
        text in page for text in ("4.80×", "1.50×", "2.50×", "Other CPU", "Third CPU", "what differs between them")
    )
    verdict = (folder / "test-cpu" / "rendered" / "verdict-cpu.md").read_text()
    assert "4.80×" in verdict
    assert "1.50×" not in verdict
    assert main([str(few), str(most), "--summary"]) == 0
    printed = capsys.readouterr().out
    assert printed.index("## mnv1 on test-cpu") < printed.index("## mnv1 on other-cpu")


def test_a_shard_that_is_missing_is_told_in_the_page_too(store, folder, capsys):
    whole = [speedup_facts()["id"], "speedup-lost"]
    run = store([speedup_facts()], shard="1/2", cases_of_all_shards=whole)
    assert main([str(run)]) == 0
    said = "1 of the sweep's 2 cases are missing: speedup-lost. There is no run of shard 2/2"
    assert said in capsys.readouterr().err
    assert said.replace("'", "&#39;") in (folder / "report.html").read_text()


def test_runs_of_one_machine_are_put_together(store, folder):
    one = store([speedup_facts()])
    two = store([latency_facts()], name="0002_b.json")
    assert main([str(one), str(two)]) == 0
    assert (folder / "test-cpu" / "rendered" / "verdict-cpu.md").exists()
    assert (folder / "test-cpu" / "rendered" / "peak_memory-cpu.md").exists()


def test_output_that_cannot_be_written(store, folder, tmp_path, capsys):
    store([speedup_facts()])
    blocked = tmp_path / "blocked"
    blocked.write_text("a file, not a folder")
    assert main(["--results", str(folder), "--out", str(blocked)]) == 1
    assert capsys.readouterr().err.startswith(f"error: {blocked}: cannot be written: ")
    assert blocked.read_text() == "a file, not a folder"


def test_unknown_format(capsys):
    with pytest.raises(SystemExit) as error:
        main(["--formats", "gif"])
    assert error.value.code == 2
    assert "--formats: unknown value 'gif'; valid values: png, svg, pdf" in capsys.readouterr().err


def test_readme_is_updated_between_its_marks(everything_rendered):
    folder, _ = everything_rendered
    text = (folder.parent / "README.md").read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "out of date" not in text
    for link in re.findall(r"\]\((\S+)\)", text):
        assert (folder.parent / link).exists()


def test_readme_without_marks_is_left_alone(store, folder, tmp_path, capsys):
    store([speedup_facts()])
    readme = tmp_path / "README.md"
    readme.write_text("no marks")
    assert main(["--results", str(folder), "--readme", str(readme)]) == 1
    assert f"{readme}: cannot be updated: it needs the lines {BEGIN} and {END} once" in capsys.readouterr().err
    assert readme.read_text() == "no marks"


def test_summary_is_printed_and_nothing_is_written(store, folder, capsys):
    path = store([speedup_facts(speedup=4.8)])
    assert main(["--results", str(folder), "--summary"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("## mnv1 on test-cpu\n")
    assert "4.80×" in printed
    assert [found for found in folder.rglob("*") if found.is_file()] == [path]


def test_page_goes_where_it_is_told_to(store, folder, tmp_path):
    store([speedup_facts()])
    page = tmp_path / "pages" / "page.html"
    assert main(["--results", str(folder), "--page", str(page)]) == 0
    assert "../results/test-cpu/rendered/verdict-cpu.csv" in page.read_text()
    assert not (folder / "report.html").exists()


def test_a_run_of_another_machine_stands_beside(store, folder):
    here = store([speedup_facts(speedup=4.8)])
    there = store([speedup_facts(speedup=1.5)], name="0002_b.json", machine="other-cpu", cpu="Other CPU")
    assert main(["--results", str(folder), str(here), "--beside", str(there)]) == 0
    page = (folder / "report.html").read_text()
    assert "Other CPU" in page
    assert "1.50×" in page


def test_a_run_beside_that_is_missing(store, folder, capsys):
    store([speedup_facts()])
    assert main(["--results", str(folder), "--beside", "nowhere.json"]) == 1
    assert capsys.readouterr().err == "error: nowhere.json: no such file\n"


@pytest.mark.parametrize(
    "drawn", [False, pytest.param(True, marks=[pytest.mark.slow, pytest.mark.drawn])], ids=["tables", "plots"]
)
def test_committed_results_and_readme_belong_together(tmp_path, drawn):  # noqa: ARG001
    """What is committed as rendered is what the committed run gives: no figure was typed."""
    text = (ROOT / "README.md").read_text()
    shown = re.search(rf"{BEGIN}\n(.*)\n{END}", text, re.DOTALL)[1]
    named = re.findall(r"`(\w+)` \(revision", shown)
    runs = find_runs(ROOT / "results" / "published")
    paths = [path for path in runs if path.stem in named]
    assert len(paths) == len(named) > 0
    results = load_results(paths, others=runs)
    rendered = paths[-1].parent.parent / "rendered"
    assert shown == readme_part(results, rendered.relative_to(ROOT))
    render(results, tmp_path, ("svg",))
    for fresh in (*tmp_path.glob("*.md"), *tmp_path.glob("*.csv"), *tmp_path.glob("*.tex")):
        assert fresh.read_text() == (rendered / fresh.name).read_text(), fresh.name
    for link in re.findall(r"\]\((results/\S+)\)", text):
        assert (ROOT / link).exists()
    page = (ROOT / "results" / "published" / "report.html").read_text()
    assert all(f"{run} (revision" in page for run in named)
    for link in re.findall(r'href="([^"#]+)"', page):
        assert (ROOT / "results" / "published" / link).exists()
