import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy
from torch.utils.flop_counter import FlopCounterMode

from mnv1.net.architecture import block_layers, network_layers
from mnv1.net.blocks import conv_dw, conv_standard
from mnv1.net.counts import (
    HEADER,
    count,
    count_with_fvcore,
    count_with_torch,
    layer_macs,
    main,
    table_rows,
    training_macs,
)
from mnv1.net.model import MobileNetV1

# Howard et al. 2017 give these rounded to millions; the integers follow from the architecture.
MACS = {
    1.0: {224: 568_740_352, 192: 418_121_728, 160: 290_675_200, 128: 186_400_768},
    0.75: {224: 325_400_448, 192: 239_273_472, 160: 166_396_800, 128: 106_770_432},
    0.5: {224: 149_497_088, 192: 109_970_432, 160: 76_524_800, 128: 49_160_192},
    0.25: {224: 41_030_272, 192: 30_212_608, 160: 21_059_200, 128: 13_570_048},
}
PARAMETERS = {1.0: 4_231_976, 0.75: 2_585_560, 0.5: 1_331_592, 0.25: 470_072}
VARIANTS = [("separable", alpha, resolution, macs) for alpha, row in MACS.items() for resolution, macs in row.items()]
VARIANTS += [("standard", 1.0, 224, 4_867_293_184), ("shallow", 1.0, 224, 307_323_392)]


@pytest.mark.parametrize(("kind", "alpha", "resolution", "macs"), VARIANTS)
def test_macs_agree_with_published_figures_fvcore_and_torch(kind, alpha, resolution, macs):
    assert count(network_layers(kind, alpha, resolution)).macs == macs
    block = conv_standard if kind == "standard" else conv_dw
    model = MobileNetV1(alpha=alpha, block=block, shallow=kind == "shallow").eval()
    images = torch.zeros(1, 3, resolution, resolution)
    assert count_with_fvcore(model, images) == macs
    assert count_with_torch(model, images) == macs


@pytest.mark.parametrize(
    ("kind", "alpha", "parameters"),
    [
        *(("separable", *item) for item in PARAMETERS.items()),
        ("standard", 1.0, 29_294_088),
        ("shallow", 1.0, 2_887_976),
    ],
)
def test_parameters_agree_with_published_figures(kind, alpha, parameters):
    assert count(network_layers(kind, alpha)).params == parameters


@pytest.mark.parametrize(("kind", "alpha", "resolution"), [("standard", 0.25, 96), ("separable", 0.5, 64)])
def test_macs_of_a_training_step_agree_with_torch(kind, alpha, resolution):
    layers = network_layers(kind, alpha, resolution)
    model = MobileNetV1(alpha=alpha, block=conv_standard if kind == "standard" else conv_dw).train()
    with FlopCounterMode(display=False) as counter:
        cross_entropy(model(torch.zeros(2, 3, resolution, resolution)), torch.tensor([0, 1])).backward()
    # torch's counter takes the gradient of a depthwise weight for one that has every pair of channels.
    too_many = sum((one.in_channels - 1) * layer_macs(one, 2) for one in layers if one.op == "depthwise")
    assert training_macs(layers, batch_size=2) == counter.get_total_flops() / 2 - too_many


@given(st.floats(0.25, 2), st.integers(32, 300), st.integers(1, 64))
def test_a_training_step_has_three_forward_passes_less_the_gradient_of_the_images(alpha, resolution, batch_size):
    layers = network_layers("separable", alpha, resolution)
    forward, stem = count(layers, batch_size).macs, count(layers[:1], batch_size).macs
    assert training_macs(layers, batch_size) == 3 * forward - stem


def test_macs_by_operator():
    by_op = {op: count([x for x in network_layers() if x.op == op]).macs for op in ("depthwise", "pointwise", "linear")}
    assert by_op == {"depthwise": 17_385_984, "pointwise": 539_492_352, "linear": 1_024_000}
    assert count(network_layers()[:1]).macs == 10_838_016


@pytest.mark.parametrize(
    ("batch_size", "separable", "standard"), [(1, 57.6, 142.4), (8, 342.8, 319.5), (32, 1320.9, 926.6)]
)
def test_minimum_bytes_of_the_whole_network(batch_size, separable, standard):
    for kind, expected in (("separable", separable), ("standard", standard)):
        layers = [layer for layer in network_layers(kind) if layer.op != "pool"]
        assert count(layers, batch_size).min_bytes / 1e6 == pytest.approx(expected, abs=0.05)


blocks = st.tuples(st.integers(1, 64), st.integers(1, 64), st.sampled_from([1, 2]), st.integers(1, 40))


@given(blocks)
def test_ratio_of_operations_is_the_papers_formula(shape):
    # Howard et al. 2017, section 3.1: separable / standard = 1/N + 1/K².
    standard, separable = (count(block_layers(kind, *shape)) for kind in ("standard", "separable"))
    assert separable.macs / standard.macs == pytest.approx(1 / shape[1] + 1 / 9)


@given(blocks, st.integers(1, 64), st.sampled_from([1, 2, 4]))
def test_counts_scale_with_the_batch_and_the_element_size(shape, batch_size, element_size):
    for kind in ("standard", "separable"):
        layers = block_layers(kind, *shape)
        one, many = count(layers), count(layers, batch_size, element_size)
        assert many.macs == batch_size * one.macs
        assert many.params == one.params
        assert one.min_bytes * element_size / 4 <= many.min_bytes <= batch_size * one.min_bytes * element_size / 4


@given(blocks)
def test_depthwise_intensity_is_bounded(shape):
    # 2·K² FLOPs for at least one value in and one out of 4 bytes each: 2.25 FLOP/byte, whatever width and batch are.
    assert count(block_layers("depthwise", *shape), batch_size=8).intensity <= 2.25


def test_table_adds_up():
    rows = table_rows(network_layers(alpha=0.5, resolution=160))
    *layers, total = rows
    assert total[0] == "total"
    for column in ("MACs", "params", "bytes"):
        assert sum(row[HEADER.index(column)] for row in layers) == total[HEADER.index(column)]
    assert sum(row[HEADER.index("MACs %")] for row in layers) == pytest.approx(100, abs=0.1)


def test_command_line_text(capsys):
    assert main(["--alpha", "0.5", "--resolution", "160"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == " ".join(HEADER).split()
    assert lines[2].split() == ["stem", "16x80x80", "2,764,800", "3.61", "464", "0.03", "718,528", "7.70"]
    assert lines[-1].split() == ["total", "76,524,800", "100.00", "1,331,592", "100.00", "15,885,088", "9.63"]


def test_command_line_markdown_and_csv(capsys):
    main(["--format", "markdown"])
    assert capsys.readouterr().out.startswith("| layer")
    main(["--format", "csv"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == ",".join(HEADER)
    assert lines[-1].startswith("total,,568740352,100.0,4231976,")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--alpha", "0"], "alpha must be a positive number, got 0.0"),
        (["--resolution", "16"], "resolution must be at least 32 px, got 16"),
        (["--kind", "dense"], "invalid choice: 'dense'"),
        (["--batch-size", "0"], "must be at least 1"),
    ],
)
def test_command_line_refuses(arguments, complaint, capsys):
    with pytest.raises(SystemExit) as exit_info:
        main(arguments)
    assert exit_info.value.code == 2
    assert complaint in capsys.readouterr().err
