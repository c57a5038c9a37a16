"""The separable twin of any network: what is replaced, what stays, and what cannot be."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

import mnv1
from mnv1.net.blocks import conv_dw
from mnv1.net.twin import Convolutions, TwinError, separable, separable_twin


class Odd(nn.Module):
    """Every kind of convolution that cannot be replaced, and two that can."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 8, 7, stride=2, padding=3)
        self.point = nn.Conv2d(8, 8, 1)
        self.grouped = nn.Conv2d(8, 8, 3, padding=1, groups=2)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.up = nn.ConvTranspose2d(8, 8, 2)
        self.normed = weight_norm(nn.Conv2d(8, 8, 3, padding=1))
        self.tied = nn.Conv2d(8, 8, 3, padding=1)
        self.knot = nn.Conv2d(8, 8, 3, padding=1)
        self.knot.weight = self.tied.weight
        self.mine = type("Mine", (nn.Conv2d,), {})(8, 8, 3, padding=1)
        self.last = nn.Sequential(nn.Conv2d(8, 4, 3, dilation=2, bias=False), nn.ReLU())

    def forward(self, images):
        for part in (self.first, self.point, self.grouped, self.depthwise, self.up, self.normed):
            images = part(images)
        return {"out": self.last(self.mine(self.knot(self.tied(images))))}


def test_what_can_be_replaced_and_why_others_stay():
    found = Convolutions(Odd())
    assert list(found) == ["first", "last.0"]
    assert found.kept == {
        "point": "its kernel is 1 already",
        "grouped": "grouped already",
        "depthwise": "depthwise already",
        "up": "transposed",
        "normed": "a class of its own: ParametrizedConv2d",
        "tied": "its weights are shared with another layer",
        "knot": "its weights are shared with another layer",
        "mine": "a class of its own: Mine",
    }


def test_the_twin_has_the_same_output_shape_and_all_other_weights():
    network, images = Odd().eval(), torch.randn(2, 3, 40, 40)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    twin = mnv1.separable_twin(network)
    assert twin(images)["out"].shape == network(images)["out"].shape
    after = twin.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items() if name in after)
    assert {name for name in before if name not in after} == {"first.weight", "first.bias", "last.0.weight"}
    assert all(torch.equal(network.state_dict()[name], value) for name, value in before.items()), "the original stays"
    assert not twin.training


def test_the_paper_has_batch_norm_and_relu_between():
    kinds = [type(one).__name__ for one in separable(nn.Conv2d(8, 16, 3, padding=1))]
    assert kinds == ["Conv2d", "BatchNorm2d", "ReLU", "Conv2d"]
    assert [type(one).__name__ for one in separable(nn.Conv1d(8, 16, 5), "none")] == ["Conv1d", "Conv1d"]
    # With what follows the convolution in the network it is the suite's own block.
    made = nn.Sequential(
        *separable(nn.Conv2d(8, 16, 3, padding=1, bias=False)), nn.BatchNorm2d(16), nn.ReLU(inplace=True)
    )
    assert str(made) == str(conv_dw(8, 16, 1))


def test_a_seed_gives_the_same_twin_and_leaves_the_generator_alone():
    network = Odd()
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    first, second, third = (separable_twin(network, seed=seed).last[0][0].weight for seed in (1, 1, 2))
    assert torch.rand(1) == expected
    assert torch.equal(first, second)
    assert not torch.equal(first, third)


def test_names_choose_and_wrong_ones_are_said_in_a_line():
    network = Odd()
    twin = separable_twin(network, ["first"], between="none")
    assert isinstance(twin.first, nn.Sequential)
    assert isinstance(twin.last[0], nn.Conv2d)
    for name, why in (("up", "transposed"), ("nowhere", "there is no such convolution")):
        with pytest.raises(TwinError, match=rf"^{name}: {why}; choose from first, last\.0$"):
            separable_twin(network, [name])
    with pytest.raises(TwinError, match=r"Sequential has no convolution to replace: 1 its kernel is 1 already"):
        separable_twin(nn.Sequential(nn.Conv2d(8, 8, 1)))
    with pytest.raises(TwinError, match=r"Linear has no convolution to replace$"):
        separable_twin(nn.Linear(2, 2))


def test_a_network_may_be_a_single_convolution():
    assert isinstance(separable_twin(nn.Conv2d(3, 8, 3)), nn.Sequential)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@given(
    st.sampled_from([nn.Conv1d, nn.Conv2d, nn.Conv3d]),
    st.integers(1, 5),
    st.integers(1, 3),
    st.integers(1, 2),
    st.sampled_from([0, 1, "same", "valid"]),
    st.sampled_from(["zeros", "reflect", "circular"]),
    st.booleans(),
)
@settings(deadline=None, max_examples=60)
def test_shapes_stay_whatever_the_convolution(kind, kernel, stride, dilation, padding, mode, bias):
    stride = 1 if padding == "same" else stride
    convolution = kind(4, 6, kernel, stride, padding, dilation, bias=bias, padding_mode=mode)
    dimensions = {nn.Conv1d: 1, nn.Conv2d: 2, nn.Conv3d: 3}[kind]
    images = torch.randn(2, 4, *[12] * dimensions)
    assert separable(convolution)(images).shape == convolution(images).shape
