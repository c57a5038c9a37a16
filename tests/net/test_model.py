import pytest
import torch

from mnv1.net.architecture import network_layers
from mnv1.net.blocks import conv_bn, conv_depthwise, conv_dw, conv_pointwise, conv_standard
from mnv1.net.model import MobileNetV1


@pytest.mark.parametrize("block", [conv_bn, conv_dw, conv_standard])
@pytest.mark.parametrize("stride", [1, 2])
def test_blocks_are_interchangeable(block, stride):
    assert block(8, 16, stride)(torch.randn(2, 8, 9, 9)).shape == (2, 16, -(-9 // stride), -(-9 // stride))


def test_halves_make_the_separable_block():
    torch.manual_seed(0)
    separable = conv_dw(8, 16, 2).eval()
    depthwise, pointwise = conv_depthwise(8, 16, 2).eval(), conv_pointwise(8, 16, 2).eval()
    depthwise.load_state_dict({k: v for k, v in separable.state_dict().items() if k[0] in "012"})
    pointwise.load_state_dict(
        {f"{int(k[0]) - 3}{k[1:]}": v for k, v in separable.state_dict().items() if k[0] in "345"}
    )
    images = torch.randn(1, 8, 10, 10)
    assert torch.equal(pointwise(depthwise(images)), separable(images))


@pytest.mark.parametrize(
    ("arguments", "parameters"),
    [
        ({}, 4_231_976),
        ({"alpha": 0.75}, 2_585_560),
        ({"alpha": 0.5}, 1_331_592),
        ({"alpha": 0.25}, 470_072),
        ({"block": conv_standard}, 29_294_088),
        ({"shallow": True}, 2_887_976),
    ],
)
def test_parameters_are_the_published_ones(arguments, parameters):
    assert sum(p.numel() for p in MobileNetV1(**arguments).parameters()) == parameters


@pytest.mark.parametrize("side", [32, 33, 65, 96, 225])
@pytest.mark.parametrize("alpha", [0.01, 0.25, 1.3])
def test_any_side_and_any_width(side, alpha):
    model = MobileNetV1(num_classes=5, alpha=alpha).eval()
    stage_shapes = []
    hook = torch.nn.modules.module.register_module_forward_hook(
        lambda module, _, output: stage_shapes.append(tuple(output.shape[1:])) if module in model.features else None
    )
    with torch.inference_mode():
        assert model(torch.randn(1, 3, side, side)).shape == (1, 5)
    hook.remove()
    # The table of layers predicts the shape after every stage.
    outputs = [layer.output_shape for layer in network_layers("separable", alpha, side) if layer.op != "depthwise"]
    assert stage_shapes == outputs[:14]


@pytest.mark.parametrize("arguments", [{"alpha": 0}, {"alpha": -0.5}, {"num_classes": 0}])
def test_bad_arguments_are_refused(arguments):
    with pytest.raises(ValueError, match="must be"):
        MobileNetV1(**arguments)


@pytest.mark.parametrize("block", [conv_dw, conv_standard])
def test_initial_weights_keep_the_signal(block):
    # Signals that vanish over 27 layers would end as denormal numbers, which are slow, and could not be trained.
    torch.manual_seed(0)
    model = MobileNetV1(block=block).eval()
    with torch.inference_mode():
        features = model.features(torch.randn(1, 3, 64, 64))
    assert 0.1 < features.std() < 10


def test_a_step_of_training_lowers_the_loss():
    torch.manual_seed(0)
    model = MobileNetV1(num_classes=4, alpha=0.25)
    images, labels = torch.randn(8, 3, 32, 32), torch.arange(8) % 4
    optimiser = torch.optim.Adam(model.parameters(), 1e-3)
    losses = []
    for _ in range(8):
        loss = torch.nn.functional.cross_entropy(model(images), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
