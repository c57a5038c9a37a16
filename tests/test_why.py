import pytest

from mnv1.report.why import with_ideals
from mnv1.results import frame
from tests.conftest import speedup_facts

CEILINGS = {"gemm_rate": 1e11, "copy_rate": 1e10}  # 20 FLOPs a byte


def test_ideals_are_those_of_the_roofline():
    rows = with_ideals(frame([speedup_facts(**CEILINGS), speedup_facts(**CEILINGS, precision="amp", batch_size=32)]))
    assert rows["ideal_folded"].tolist() == [pytest.approx(5.94, abs=0.01), pytest.approx(7.46, abs=0.01)]
    assert rows["ideal_eager"].tolist() == [pytest.approx(3.31, abs=0.01), pytest.approx(4.85, abs=0.01)]


def test_a_block_has_ideals_too():
    (row,) = with_ideals(frame([speedup_facts(subject="layer", shape="64x128-s2-d112", **CEILINGS)])).to_dict("records")
    assert 1 < row["ideal_eager"] < row["ideal_folded"] < 8.5


def test_without_ceilings_there_is_nothing_to_say():
    rows = with_ideals(frame([speedup_facts()]))
    assert rows.empty
    assert {"ideal_folded", "ideal_eager"} <= set(rows.columns)
