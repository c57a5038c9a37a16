import pytest

from mnv1.report.agreement import Comparison, agreement_table


def comparison(ratio, case="model-separable-a1.00-r224-b1-cpu-fp32"):
    """Turns whose ratios scatter by 10 % around the given one."""
    return Comparison(
        case, "torch.utils.benchmark", tuple((0.010 * ratio * (1 + n / 100), 0.010) for n in range(-10, 11))
    )


@pytest.mark.parametrize(("ratio", "agrees"), [(1.0, True), (1.019, True), (0.981, True), (1.021, False), (0.9, False)])
def test_two_per_cent_is_the_limit(ratio, agrees):
    assert comparison(ratio).ratio[0] == pytest.approx(ratio)
    assert comparison(ratio).agrees is agrees


def test_table():
    assert agreement_table([comparison(1.0), comparison(1.1, "layer-x")]).splitlines()[2:] == [
        "| model-separable-a1.00-r224-b1-cpu-fp32 | torch.utils.benchmark | 10.0 ms | 10.0 ms | "
        "1.000 [0.957, 1.043] | 21 | yes |",
        "| layer-x | torch.utils.benchmark | 11.0 ms | 10.0 ms | 1.100 [1.052, 1.148] | 21 | no |",
    ]


def test_a_ratio_whose_interval_reaches_the_limit_is_no_verdict():
    assert [comparison(ratio).verdict for ratio in (1.0, 1.03, 1.08, 0.97, 0.9)] == [
        "yes",
        "cannot tell",
        "no",
        "cannot tell",
        "no",
    ]
