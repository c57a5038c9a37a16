"""Any layer as a shape: what a shape says, its counts against torch's counter, and what is no shape."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mnv1.cases import Block
from mnv1.cases.grids import CaseError, Overrides
from mnv1.cases.workloads.convolutions import KINDS, ShapeError, parsed
from mnv1.net.counts import count_with_torch
from mnv1.suite.profiles import select


@pytest.mark.parametrize(
    ("text", "shape_id"),
    [
        ("96x200-k5-s1-d56", "96x200-k5-s1-d56"),
        ("64x128-s2-d112", "64x128-s2-d112"),
        ("64x128-k3-s2-d112", "64x128-s2-d112"),  # the same layer, the same id
        ("64x128-d112", "64x128-s1-d112"),
        ("8x8-k3x1-s1x2-l2x1-d20x30-g4", "8x8-k3x1-s1x2-l2x1-d20x30-g4"),
        ("8x8-k3x3-d20x20-plain", "8x8-s1-d20-plain"),
        ("64x64-k9-s1-d1000-1d", "64x64-k9-s1-d1000-1d"),
        ("4x8-d6x7x8-3d", "4x8-s1-d6x7x8-3d"),
        ("4x8-d6-p0", "4x8-s1-d6-p0"),
    ],
)
def test_shapes_and_their_ids(text, shape_id):
    layer = parsed(text)
    assert layer.shape_id == shape_id
    assert parsed(layer.shape_id) == layer
    assert layer.id == f"layer-separable-{shape_id}"
    assert layer.pair_id == f"speedup-layer-{shape_id}"


@pytest.mark.parametrize("kind", KINDS)
def test_a_block_of_the_network_is_the_same_layer(kind):
    block, layer = Block(kind, 64, 128, 2, 112), replace(parsed("64x128-s2-d112"), kind=kind)
    assert (layer.id, layer.input_shape, layer.output_shape) == (block.id, block.input_shape, block.output_shape)
    assert layer.columns() == block.columns()
    assert layer.counts(8, 2) == block.counts(8, 2)
    assert str(layer.build()) == str(block.build())


@st.composite
def shapes(draw):
    dimensions = draw(st.integers(1, 3))
    sizes = {
        name: [draw(st.integers(1, most)) for _ in range(dimensions)] for name, most in (("k", 4), ("s", 2), ("l", 2))
    }
    sizes["d"] = [draw(st.integers(4, 6)) for _ in range(dimensions)]
    groups = draw(st.integers(1, 3))
    channels = [groups * draw(st.integers(1, 3)) for _ in range(2)]
    parts = [f"{channels[0]}x{channels[1]}", *(f"{name}{'x'.join(map(str, one))}" for name, one in sizes.items())]
    parts += [f"g{groups}"] + ["plain"] * draw(st.booleans()) + ([f"{dimensions}d"] if dimensions != 2 else [])
    return "-".join(parts)


@given(shapes(), st.sampled_from(KINDS), st.integers(1, 2))
@settings(deadline=None, max_examples=60)
def test_counts_are_those_of_the_module(text, kind, batch_size):
    layer = replace(parsed(text), kind=kind)
    module, images = layer.build().eval(), torch.randn(batch_size, *layer.input_shape)
    assert tuple(module(images).shape) == (batch_size, *layer.output_shape)
    counts = layer.counts(batch_size, 4)
    assert counts["macs"] == count_with_torch(module, images)
    assert counts["params"] == sum(weight.numel() for weight in module.parameters())
    assert layer.expected_macs(batch_size) == counts["macs"]
    assert counts["memory_floor"] >= 4 * batch_size * math.prod(layer.output_shape)
    assert parsed(layer.shape_id) == replace(layer, kind="separable")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is no shape"),
        ("64-d56", "is no shape"),
        ("64x128", "is no shape"),
        ("64x128-d56-k3", "is no shape"),
        ("64x128-k0-d56", "every number must be at least 1"),
        ("64x128-k3x3x3-d56", "kernel has 3 numbers, and the layer 2"),
        ("64x128-d56x56-1d", "side has 2 numbers, and the layer 1"),
        ("6x8-d5-g4", "4 groups do not divide the channels"),
        ("4x4-k9-d3-p0", "the kernel is larger than the padded side"),
    ],
)
def test_what_is_no_shape_is_said_with_the_grammar(text, why):
    with pytest.raises(ShapeError, match=f"{why}.*INxOUT"):
        parsed(text)


def test_layers_take_the_place_of_a_profiles_cases():
    shapes = [parsed(one) for one in ("96x200-k5-d28", "8x8-k7-d9-1d")]
    cases = select("default", Overrides(devices=("cpu",), precisions=("fp32",), batch_sizes=(1,)), shapes)
    assert (len(cases.layers), len(cases.pairs), cases.models, cases.gains) == (8, 2, (), ())
    assert [pair.id for pair in cases.pairs] == [
        "speedup-layer-96x200-k5-s1-d28-b1-cpu-fp32",
        "speedup-layer-8x8-k7-s1-d9-1d-b1-cpu-fp32",
    ]
    alone = select("default", Overrides(devices=("cpu",), kinds=("separable",)), shapes[:1])
    assert {case.workload.kind for case in alone.layers} == {"separable"}
    assert not alone.pairs
    with pytest.raises(CaseError, match="leave no case"):
        select("default", Overrides(kinds=("shallow",)), shapes)
