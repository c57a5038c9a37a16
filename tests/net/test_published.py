"""Published figures: complete, each with its source, and damaged files named."""

from itertools import product

import pytest

from mnv1.net.published import COLUMNS, SOURCES, PublishedError, accuracy, claims, speed
from mnv1.suite.profiles import ALPHAS, RESOLUTIONS

ROW = "paper-x,paper,Table 1,MACs,MobileNetV1,1.0,224,569,,M MACs"


def test_tensorflow_published_all_sixteen_variants():
    table = accuracy()
    theirs = table[table["source"] == "tensorflow"]
    assert set(zip(theirs["alpha"], theirs["resolution"], strict=True)) == set(product(ALPHAS, RESOLUTIONS))
    assert theirs["top5"].gt(theirs["top1"]).all()


def test_accuracy_grows_with_width_and_resolution():
    for axis, other in (("alpha", "resolution"), ("resolution", "alpha")):
        for _, group in accuracy().groupby(["source", other]):
            assert group.sort_values(axis)["top1"].is_monotonic_increasing


def test_every_figure_has_its_source():
    for table in (accuracy(), speed()):
        assert table[["source", "where"]].notna().all(axis=None)
        assert not table.duplicated([name for name in table if name not in ("top1", "top5", "value", "where")]).any()


def test_claims_are_of_named_sources_and_have_ids_of_their_own():
    found = claims()
    assert {claim.source for claim in found} == set(SOURCES)
    assert len({claim.id for claim in found}) == len(found)
    assert all(claim.id.startswith(f"{claim.source}-") for claim in found)


def test_no_source_states_a_figure_in_two_rows():
    facts = [(c.source, c.quantity, c.subject, c.alpha, c.resolution, c.stated) for c in claims()]
    assert len(set(facts)) == len(facts)


def test_every_checkpoint_has_its_six_figures():
    theirs = [claim for claim in claims() if claim.source == "tensorflow" and claim.quantity != "parameters"]
    assert len(theirs) == 16 * 5
    quantities = {"MACs", "top-1", "top-5", "int8 top-1", "int8 top-5"}
    assert {(c.alpha, c.resolution, c.quantity) for c in theirs} == set(product(ALPHAS, RESOLUTIONS, quantities))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,source\nx,paper", "damaged: its first line must be id,source,where"),
        (f"{{head}}\n{ROW},more", "damaged: line 2: it needs 10 cells"),
        ("{head}\npaper-x,paper,Table 1", "damaged: line 2: it needs 10 cells"),
        (f"{{head}}\n{ROW.replace('569', '')}", "damaged: line 2: stated is empty"),
        (
            f"{{head}}\n{ROW.replace(',paper,', ',elsewhere,')}",
            "damaged: line 2: its source must be paper, not 'elsewhere'",
        ),
        (f"{{head}}\n{ROW.replace('1.0', 'wide')}", "damaged: line 2: alpha must be a positive number, not 'wide'"),
        (f"{{head}}\n{ROW.replace('224', '-1')}", "damaged: line 2: resolution must be a positive number, not '-1'"),
        (f'{{head}}\n"{ROW}', "damaged after line 1: unexpected end of data"),
        (f"{{head}}\n{ROW}\n{ROW}", "the id 'paper-x' occurs twice"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, text, message):
    (tmp_path / "paper.csv").write_text(text.format(head=",".join(COLUMNS)) + "\n")
    with pytest.raises(PublishedError, match=r"paper\.csv: ") as caught:
        claims(tmp_path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_text(tmp_path):
    (tmp_path / "paper.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PublishedError, match=r"paper.csv: cannot be read: it is not UTF-8 text"):
        claims(tmp_path)
