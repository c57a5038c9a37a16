"""`python scripts/check_claims.py` as a user runs it, and what is rendered from the claims."""

import csv
import io
import subprocess
import sys
from textwrap import dedent

import pytest

from mnv1.claims.judge import Judgement, judge
from mnv1.claims.measured import stored_runs
from mnv1.claims.report import HEADER, html_groups, markdown, render, summary
from mnv1.net.published import claims
from mnv1.store.runs import find_runs
from scripts.check_claims import main
from tests.claims.test_claims import claim
from tests.conftest import ROOT, latency_facts, profiled

FEW = [
    Judgement(claim("4.2"), "reproduced", "4.2", ""),
    Judgement(claim("4866", id="y", alpha=0.5), "differs", "4867", "the fully connected layer left out"),
    Judgement(claim("<1", id="z", unit="times"), "needs", "", "needs `weights`"),
]


@pytest.fixture
def run(store):
    return store([latency_facts(operators=profiled(pointwise=0.5, depthwise=0.5))])


def test_documentation_has_the_verdicts_of_the_committed_runs():
    """A claim that changes its verdict changes docs/claims.md: `python scripts/publish.py` writes it."""
    runs, complaints = stored_runs(find_runs(ROOT / "results" / "published"))
    assert not complaints
    text = (ROOT / "docs" / "claims.md").read_text()
    assert text == markdown(judge(claims(), runs))
    assert text.splitlines()[2].startswith(f"Of {len(claims())} published figures ")


def test_text_for_a_terminal():
    assert render(FEW, "text") == dedent(
        """\
        differs: y
          MobileNetV1 (α 0.5), MACs: stated 4,866 M MACs, counted 4,867
          the fully connected layer left out

        reproduced: x
          MobileNetV1, MACs: stated 4.2 M MACs, counted 4.2

        needs: z
          MobileNetV1, MACs: stated under 1 times
          needs `weights`
        """
    )
    assert summary(FEW, ("differs", "measured")) == (
        "Of 3 published figures 1 is reproduced, 1 differs, 0 were measured and 1 needs\ndata, weights or a "
        "measurement that is not here. For more: --verdict reproduced\nor --verdict needs."
    )


def test_what_differs_and_what_was_measured_is_shown_first(run, capsys):
    assert main([str(run)]) == 0
    printed = capsys.readouterr().out
    verdicts = [line.partition(":")[0] for line in printed.splitlines() if line and line[0].islower()]
    assert list(dict.fromkeys(verdicts))[:2] == ["differs", "measured"]
    assert not {"needs", "reproduced"} & set(verdicts[:-3])
    assert "For more: --verdict reproduced or --verdict needs." in " ".join(printed.split())
    assert max(map(len, printed.splitlines())) <= 80
    assert main([str(run), "--verdict", "needs", "--source", "article"]) == 0
    assert "\nneeds: article-" in capsys.readouterr().out


def test_markdown_opens_with_the_counts_and_has_a_table_a_verdict():
    text = markdown(FEW)
    assert text.startswith("# Published figures, checked\n\nOf 3 published figures ")
    assert (
        dedent(
            """\
        ## Differs (1)

        | claim | where | quantity | subject | stated | ours | why |
        | :-- | :-- | :-- | :-- | :-- | :-- | :-- |
        | y | Table 0 | MACs | MobileNetV1 (α 0.5) | 4,866 M MACs | 4,867 | the fully connected layer left out |
        """
        )
        in text
    )
    assert "## Measured" not in text


def test_csv_has_every_claim(run, capsys):
    assert main([str(run), "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["id"] for row in rows] == [one.id for one in claims()]
    (row,) = [row for row in rows if row["id"] == "paper-time-1x1"]
    assert (row["verdict"], row["ours"]) == ("measured", "50 % [45, 55] (cpu, fp32, batch 1)")


def test_page_rows_have_those_that_differ_first():
    groups = html_groups(FEW)
    assert [(name, [row[0].text for row in rows]) for name, rows in groups] == [
        ("Differs or measured", ["differs"]),
        ("Reproduced", ["reproduced"]),
        ("Needs what is not here", ["needs"]),
    ]
    assert all(len(row) == len(HEADER) for _, rows in groups for row in rows)
    assert groups[-1][1][0][-1].text == "needs weights"


def test_choice_of_claims_and_file(run, tmp_path, capsys):
    out = tmp_path / "claims.md"
    chosen = ["--source", "article", "--verdict", "measured", "--verdict", "differs", "--format", "markdown"]
    assert main([str(run), *chosen, "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"wrote {out}\n"
    text = out.read_text()
    assert "| article-saved |" in text
    assert "paper-" not in text
    assert "article-classifier-params" not in text


def test_a_run_that_is_missing(capsys):
    assert main(["nowhere.json"]) == 1
    assert capsys.readouterr().err == "error: nowhere.json: no such file\n"


def test_no_stored_run(tmp_path, capsys):
    assert main(["--results", str(tmp_path)]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == (
        f"error: {tmp_path}: no stored runs here; measure first: pytest benchmarks --benchmark-autosave\n"
    )


def test_a_damaged_run_is_named_and_the_others_judge(run, store, capsys):
    bad = store([latency_facts()], name="0002_bad.json")
    bad.write_text("")
    assert main([str(run), str(bad), "--verdict", "measured"]) == 1
    captured = capsys.readouterr()
    assert "paper-time-1x1" in captured.out
    assert captured.err == f"error: {bad}: the file is empty; what wrote it was cut off, make it again\n"


def test_a_damaged_file_of_claims(run, tmp_path, capsys):
    assert main([str(run), "--published", str(tmp_path)]) == 1
    assert capsys.readouterr().err == f"error: {tmp_path / 'paper.csv'}: cannot be read: No such file or directory\n"


def test_output_that_cannot_be_written(run, tmp_path, capsys):
    assert main([str(run), "--out", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith(f"error: {tmp_path}: cannot be written: ")


def test_wrong_usage(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["--verdict", "maybe"])
    assert "invalid choice: 'maybe'" in capsys.readouterr().err


def test_judging_never_imports_torch():
    script = "import sys; import mnv1.claims.report, mnv1.claims.measured; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
