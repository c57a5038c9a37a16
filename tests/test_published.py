"""Published figures: complete, and each with its source."""

from itertools import product

from mnv1.profiles import ALPHAS, RESOLUTIONS
from mnv1.published import accuracy, speed


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
