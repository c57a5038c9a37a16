"""Pruning: channels go from every layer that has them and from nowhere else, weights become zero where they are."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mnv1.compression.layout import SPREADS
from mnv1.compression.prune import prune_channels, prune_weights, sparsity
from mnv1.net.architecture import network_layers, widths_of
from mnv1.net.blocks import conv_dw, conv_standard
from mnv1.net.counts import count, count_with_fvcore
from mnv1.net.errors import CompressError
from mnv1.net.model import MobileNetV1
from mnv1.net.semantics import KERAS

BLOCKS = {"separable": conv_dw, "standard": conv_standard}


def network(block: str = "separable", alpha: float = 0.25, **options: object) -> MobileNetV1:
    """A network whose channels differ: BatchNorm as after some training."""
    torch.manual_seed(0)
    model = MobileNetV1(10, alpha, BLOCKS[block], **options)
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.weight, 0.5, 2.0)
            nn.init.normal_(part.bias, std=0.2)
            nn.init.uniform_(part.running_var, 0.5, 2.0)
            nn.init.normal_(part.running_mean, std=0.2)
    return model.eval()


def images(number: int = 4) -> torch.Tensor:
    return torch.randn(number, 3, 32, 32, generator=torch.Generator().manual_seed(1))


NETWORKS = {block: network(block) for block in BLOCKS}


@settings(max_examples=12, deadline=None)
@given(keep=st.floats(0.01, 1), spread=st.sampled_from(SPREADS), block=st.sampled_from(sorted(BLOCKS)))
def test_any_share_leaves_a_network_whose_layers_fit(keep, spread, block):
    model = NETWORKS[block]
    small = prune_channels(model, keep, spread)
    assert all(8 <= new <= old for new, old in zip(small.widths, model.widths, strict=True))
    assert all(new == old or new % 8 == 0 for new, old in zip(small.widths, model.widths, strict=True))
    layers = network_layers(block, resolution=32, num_classes=10, widths=small.widths)
    assert count(layers).params == sum(one.numel() for one in small.parameters())
    assert count(layers).macs == count_with_fvcore(small, images(1))
    with torch.inference_mode():
        assert small(images(2)).shape == (2, 10)


@pytest.mark.parametrize("spread", SPREADS)
@pytest.mark.parametrize("block", sorted(BLOCKS))
def test_all_channels_kept_leave_outputs_as_they_were(block, spread):
    model = network(block)
    with torch.inference_mode():
        assert torch.equal(prune_channels(model, 1, spread)(images()), model(images()))


@pytest.mark.parametrize("spread", SPREADS)
@pytest.mark.parametrize("block", sorted(BLOCKS))
def test_channels_that_do_nothing_can_go_without_a_trace(block, spread):
    """Half of every layer's channels are made to put out zeros: what is left computes the same."""
    model = network(block, alpha=0.5)
    with torch.no_grad():
        for stage in model.features:
            *_, convolution = (part for part in stage if isinstance(part, nn.Conv2d))
            *_, norm = (part for part in stage if isinstance(part, nn.BatchNorm2d))
            silent = torch.randperm(len(norm.weight))[: len(norm.weight) // 2]
            convolution.weight[silent] = 0
            norm.bias[silent] = -1  # ReLU makes zeros of it
            norm.running_mean[silent] = 0
    if block == "separable":
        # A silent channel goes through the next depthwise half, too, whose own bias would make it speak again.
        for stage in list(model.features)[1:]:
            nn.init.zeros_(stage[1].running_mean)
            nn.init.constant_(stage[1].bias, -0.01)
    small = prune_channels(model, 0.5, spread)
    assert small.widths == tuple(width // 2 for width in model.widths)
    with torch.inference_mode():
        torch.testing.assert_close(small(images()), model(images()))


def test_the_filters_that_weigh_most_as_they_act_are_kept():
    model = network(alpha=0.5)
    convolution, norm, _ = model.features[0]  # 16 channels
    with torch.no_grad():
        convolution.weight.copy_(torch.arange(16.0).view(-1, 1, 1, 1).expand_as(convolution.weight))
        norm.weight.fill_(-0.1)
        norm.running_var.copy_(torch.tensor([1e-6, *[1.0] * 15]))  # which makes the first one, all zeros, no larger
        norm.weight[1] = 100
    assert prune_channels(model, 0.5).features[0][0].weight[:, 0, 0, 0].tolist() == [1, *range(9, 16)]


def test_the_same_share_of_each_layer_is_the_shape_of_a_narrower_network():
    assert prune_channels(network(alpha=0.5), 0.5).widths == widths_of("separable", 0.25)


def test_a_share_of_the_network_is_taken_where_channels_weigh_least():
    model = network(alpha=0.5)
    with torch.no_grad():
        model.features[7][4].weight[:200] *= 1e-3
    uniform, chosen = (prune_channels(model, 0.7, spread).widths for spread in SPREADS)
    assert chosen[7] == 56
    assert chosen[7] < uniform[7]
    assert sum(chosen) == pytest.approx(0.7 * sum(model.widths), rel=0.05)


def test_a_pruned_network_is_smaller_and_still_learns():
    small = prune_channels(network(alpha=0.5), 0.5).train()
    labels = torch.arange(8) % 4
    optimizer = torch.optim.Adam(small.parameters(), lr=1e-3)
    losses = []
    for _ in range(8):
        loss = nn.functional.cross_entropy(small(images(8)), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


def test_it_keeps_the_mode_the_meaning_and_no_tensor_of_what_it_was_made_of():
    model = network(shallow=True, semantics=KERAS).train()
    small = prune_channels(model, 0.5)
    assert small.training
    assert len(small.features) == len(model.features) == 9
    assert small.semantics == KERAS
    assert type(small.features[2][0]) is type(model.features[2][0])
    theirs = {one.data_ptr() for one in model.state_dict().values()}
    assert not any(one.data_ptr() in theirs for one in small.state_dict().values())


def test_its_widths_and_its_state_dict_make_it_again():
    small = prune_channels(network(), 0.6, "network")
    again = MobileNetV1(10, widths=small.widths).eval()
    again.load_state_dict(small.state_dict())
    with torch.inference_mode():
        assert torch.equal(again(images()), small(images()))


@pytest.mark.parametrize("amount", [0, 0.2, 0.75])
def test_the_smallest_weights_of_the_whole_network_become_zero_and_no_shape_changes(amount):
    model = network()
    pruned = prune_weights(model, amount)
    assert sparsity(pruned) == pytest.approx(amount, abs=1e-4)
    assert {name: one.shape for name, one in pruned.state_dict().items()} == {
        name: one.shape for name, one in model.state_dict().items()
    }
    convolutions = [part for part in model.modules() if isinstance(part, nn.Conv2d)]
    after = [part for part in pruned.modules() if isinstance(part, nn.Conv2d)]
    gone = torch.cat([old.weight[new.weight == 0].abs() for old, new in zip(convolutions, after, strict=True)])
    left = torch.cat([new.weight[new.weight != 0].abs() for new in after])
    assert bool(len(gone)) == bool(amount)
    assert all(gone <= left.min())
    assert sparsity(model) == 0
    assert count_with_fvcore(pruned, images(1)) == count_with_fvcore(model, images(1))


@pytest.mark.parametrize("keep", [0, -1, 1.01, float("nan")])
def test_a_share_of_channels_that_cannot_be_is_refused(keep):
    with pytest.raises(CompressError, match="keep must be a share above 0 and up to 1"):
        prune_channels(network(), keep)


def test_what_cannot_be_pruned_is_refused_in_a_line():
    with pytest.raises(CompressError, match="amount must be a share from 0 up to below 1, got 1"):
        prune_weights(network(), 1)
    with pytest.raises(CompressError, match="without convolutions"):
        prune_weights(nn.Linear(1, 1))
    with pytest.raises(CompressError, match="only this project's MobileNetV1"):
        prune_channels(nn.Sequential(nn.Conv2d(3, 8, 3)), 0.5)
    with pytest.raises(CompressError, match="unknown spread 'all': choose one of layer, network"):
        prune_channels(network(), 0.5, "all")


@pytest.mark.parametrize("widths", [[8] * 13, [8] * 15, [8] * 13 + [0], [8] * 13 + [8.0]])
def test_widths_that_fit_no_network_are_refused(widths):
    with pytest.raises(ValueError, match="widths"):
        MobileNetV1(10, widths=widths)
