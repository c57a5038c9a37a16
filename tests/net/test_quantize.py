"""int8: outputs close to fp32, int8 kernels for every layer, files that come back, and lines for what cannot be."""

from __future__ import annotations

import os
import shutil
import sys
import warnings
from importlib.util import find_spec
from types import ModuleType

import pytest
import torch
from torch import nn

from mnv1.base.packages import MissingPackageError
from mnv1.compression.saved import load_int8, save_int8, state_size
from mnv1.net import quantize
from mnv1.net.architecture import widths_of
from mnv1.net.bias import channel_means, correct_bias
from mnv1.net.blocks import conv_standard
from mnv1.net.compiling import own_function
from mnv1.net.errors import CompressError
from mnv1.net.model import MobileNetV1
from mnv1.net.quantize import (
    Int8Network,
    frozen,
    has_vnni,
    int8_kernels,
    post_training_quantized,
    quantization_aware,
)
from mnv1.net.semantics import KERAS, TIMM
from mnv1.training.recipe import Recipe

pytestmark = pytest.mark.skipif(
    find_spec("torchao") is None, reason="torchao is not installed: pip install -c constraints.txt -e '.[quantize]'"
)

WIDTHS = widths_of("shallow", 0.25)
RECIPE = Recipe(data="synthetic", alpha=0.25, resolution=32, widths=WIDTHS)
CLASSES = tuple(f"class {number}" for number in range(10))
LAYERS = 17
"""Convolutions of the shallow network, 8 of them depthwise: it has every kind of layer, and is tested in less time."""

CLOSE = 0.1 if has_vnni() else 0.2
"""Of outputs to those of fp32: without VNNI activations have seven bits."""

rounding = pytest.mark.slow
"""torchao exports its patterns for half a minute; `test_compress` trains with rounding by the script in every run."""

needs_compiler = pytest.mark.skipif(
    shutil.which(os.environ.get("CXX", "g++")) is None, reason="there is no C++ compiler"
)


def images(seed: int, number: int = 8) -> torch.Tensor:
    return torch.randn(number, 3, 32, 32, generator=torch.Generator().manual_seed(seed))


def network(**options: object) -> MobileNetV1:
    torch.manual_seed(0)
    return MobileNetV1(10, widths=WIDTHS, **options).eval()


def error(output: torch.Tensor, expected: torch.Tensor) -> float:
    return float((output - expected).norm() / expected.norm())


def logits(model: nn.Module, seed: int = 1) -> torch.Tensor:
    with torch.inference_mode():
        return model(images(seed))


@pytest.fixture(scope="module")
def model() -> MobileNetV1:
    return network()


@pytest.fixture(scope="module")
def after_training(model) -> Int8Network:
    return post_training_quantized(model, [images(2), images(3)])


@pytest.fixture(scope="module")
def while_training(model) -> tuple[list[float], nn.Module, Int8Network]:
    """Losses of some steps with rounding, the network that they left, and what it became."""
    trained, convert = quantization_aware(model, images(2))
    optimizer = torch.optim.Adam(trained.parameters(), lr=1e-3)
    losses = []
    for _ in range(12):
        loss = nn.functional.cross_entropy(trained(images(2)), torch.arange(8) % 4)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses, trained, convert()


def test_quantized_outputs_are_close_and_the_float_network_is_as_it_was(model, after_training):
    before = logits(network())
    assert torch.equal(logits(model), before)
    assert 0 < error(logits(after_training), before) < CLOSE


def test_its_weights_are_bytes_and_every_layer_reads_and_writes_bytes(after_training):
    state = after_training.state_dict()
    weights = [one for one in state.values() if one.dtype == torch.int8]
    assert len(weights) == LAYERS + 1
    assert all(one.dtype == torch.int8 for one in state.values() if one.dim() > 2), "no fp32 weights are left"
    targets = [str(node.target) for node in after_training.graph.graph.nodes]
    assert sum("quantize_per_tensor" in one and "dequantize" not in one for one in targets) >= LAYERS + 1


@pytest.mark.parametrize("number", [1, 3])
def test_any_number_of_images_can_be_asked_about(model, after_training, number):
    with torch.inference_mode():
        output = after_training(images(1, number))
        assert output.shape == (number, 10)
        assert error(output, model(images(1, number))) < CLOSE


@needs_compiler
def test_every_layer_becomes_an_int8_kernel_depthwise_ones_too(after_training):
    from torch._dynamo.utils import counters
    from torch._inductor.utils import run_and_get_code

    counters.clear()
    compiled = []
    _, code = run_and_get_code(lambda: compiled.append(int8_kernels(after_training, images(1))))
    text = "\n".join(code)
    called = [line for line in text.splitlines() if "onednn.qconv" in line and "(" in line]
    assert counters["inductor"]["qconv_weight_prepack_matcher_count"] == LAYERS
    assert counters["inductor"]["qlinear_weight_prepack_matcher_count"] == 1
    assert len(called) >= LAYERS
    assert "extern_kernels.convolution" not in text
    assert "mkldnn._convolution" not in text
    output = compiled[0](images(1))
    assert error(output, logits(after_training)) < 0.2 * CLOSE
    with pytest.raises(CompressError, match=r"compiled for images \(8, 3, 32, 32\), called with \(1, 3, 32, 32\)"):
        compiled[0](images(1, 1))


@rounding
def test_training_with_rounding_learns_and_converts(model, while_training):
    losses, trained, converted = while_training
    assert losses[-1] < 0.7 * losses[0]
    trained.eval()
    assert torch.equal(logits(trained), logits(trained)), "ranges are no longer learnt in evaluation"
    assert error(logits(converted), logits(trained)) < 0.1
    assert error(logits(model), logits(network())) == 0


@rounding
def test_it_can_be_trained_on_after_it_was_converted(while_training):
    _, trained, _ = while_training
    statistics = [name for name, _ in trained.named_buffers() if name.endswith("running_mean")]
    trained.train()
    before = {name: trained.state_dict()[name].clone() for name in statistics}
    nn.functional.cross_entropy(trained(images(5)), torch.arange(8) % 4).backward()
    assert all(one.grad is not None for one in trained.parameters())
    assert len(statistics) == LAYERS
    assert not any(torch.equal(trained.state_dict()[name], before[name]) for name in statistics)


@pytest.mark.parametrize("way", ["ptq", pytest.param("qat", marks=rounding)])
def test_a_file_gives_the_same_network_and_is_smaller(model, request, tmp_path, way):
    network = (
        request.getfixturevalue("after_training") if way == "ptq" else request.getfixturevalue("while_training")[2]
    )
    path = tmp_path / "int8.pt"
    save_int8(path, network, way, RECIPE, CLASSES)
    assert torch.equal(logits(load_int8(path)), logits(network))
    floats = sum(one.numel() for one in model.parameters())
    assert (
        state_size(network) < state_size(model) - 2 * floats
    )  # small tensors have a large share in so small a network
    assert path.stat().st_size < state_size(model)


def test_what_is_no_file_of_an_int8_network_is_said_in_a_line(after_training, tmp_path):
    path = tmp_path / "int8.pt"
    with pytest.raises(CompressError, match="no such file"):
        load_int8(path)
    path.write_bytes(b"PK\x03\x04 no more")
    with pytest.raises(CompressError, match="damaged, or no int8 network"):
        load_int8(path)
    torch.save({"model": {}}, path)
    with pytest.raises(CompressError, match="no int8 network of layout 1"):
        load_int8(path)
    torch.save(Bomb(), path)
    with pytest.raises(CompressError, match="damaged, or no int8 network"):
        load_int8(path)
    save_int8(path, after_training, "ptq", Recipe(data="synthetic", alpha=0.25, resolution=32), CLASSES)
    with pytest.raises(CompressError, match="damaged, or of another version"):
        load_int8(path)
    with pytest.raises(CompressError, match="cannot be written"):
        save_int8(path / "below", after_training, "ptq", RECIPE, CLASSES)


class Bomb:
    def __reduce__(self) -> tuple[object, ...]:
        return (pytest.fail, ("a file was executed",))


def test_bias_correction_leaves_each_channel_its_mean(model):
    plain = quantize._exported(model, images(2))
    expected = channel_means(plain, images(2))
    worse = network()
    with torch.no_grad():
        for part in worse.modules():
            if isinstance(part, nn.Conv2d):
                part.weight.mul_(1.02)
    folded = post_training_quantized(worse, [images(2)]).graph
    off = sum(float((channel_means(folded, images(2))[name] - mean).norm()) for name, mean in means_of(model).items())
    correct_bias(folded, images(2), means_of(model))
    left = sum(float((channel_means(folded, images(2))[name] - mean).norm()) for name, mean in means_of(model).items())
    assert len(expected) == LAYERS + 1
    assert left < 1e-3 * off


def means_of(model: nn.Module) -> dict[str, torch.Tensor]:
    """Channel means of a network's layers with BatchNorm folded in."""
    found = []
    hooks = [
        part.register_forward_hook(lambda _module, _inputs, output: found.append(output.mean((0, 2, 3))))
        for part in model.modules()
        if isinstance(part, nn.BatchNorm2d)
    ]
    with torch.inference_mode():
        found.append(model(images(2)).mean(0))
    for hook in hooks:
        hook.remove()
    names = ["conv2d", *(f"conv2d_{number}" for number in range(1, LAYERS)), "linear"]
    return dict(zip(names, [one.clone() for one in found], strict=True))


def test_modules_can_stay_in_fp32(model):
    kept = post_training_quantized(model, [images(2)], ["features.0", "classifier"])
    weights = [one for one in kept.state_dict().values() if one.dtype == torch.int8]
    assert len(weights) == LAYERS - 1


@pytest.mark.parametrize("semantics", [TIMM, KERAS])
def test_other_semantics_can_be_quantized_after_training(semantics):
    other = network(semantics=semantics)
    assert error(logits(post_training_quantized(other, [images(2)])), logits(other)) < 0.1


def test_the_standard_twin_can_be_quantized():
    twin = network(block=conv_standard)
    assert error(logits(post_training_quantized(twin, [images(2)])), logits(twin)) < 0.1


def test_rounding_cannot_be_learnt_with_another_eps():
    with pytest.raises(CompressError, match=r"BatchNorm's eps is 0.001: torchao trains with 1e-05"):
        quantization_aware(network(semantics=KERAS), images(2))


@pytest.mark.parametrize(
    ("batches", "line"),
    [
        ([], "no images to calibrate with"),
        ([torch.zeros(2, 3, 32, 32), torch.zeros(2, 3, 64, 64)], "must be batches"),
        ([torch.zeros(3, 32, 32)], "must be batches"),
        ([torch.zeros(0, 3, 32, 32)], "must be batches"),
    ],
)
def test_images_that_tell_nothing_are_refused(model, batches, line):
    with pytest.raises(CompressError, match=line):
        post_training_quantized(model, batches)


def test_a_network_in_training_is_refused():
    with pytest.raises(CompressError, match=r"call .eval\(\) first"):
        post_training_quantized(MobileNetV1(10, 0.25), [images(2)])


def test_a_quantized_network_has_one_mode(after_training):
    before = logits(after_training)
    assert after_training.train() is after_training
    assert not after_training.training
    assert torch.equal(logits(after_training.eval()), before)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("fpu avx2 avx512f", False),
        ("fpu avx512_vnni", True),
        ("avx2 avx_vnni", True),
        ("", False),
    ],
)
def test_vnni_is_found_among_the_cpus_flags(tmp_path, flags, expected):
    path = tmp_path / "cpuinfo"
    path.write_text(f"processor : 0\nflags\t\t: {flags}\nbugs : none\n")
    assert has_vnni(path) is expected
    assert has_vnni(tmp_path / "missing") is False


def test_without_vnni_activations_have_seven_bits(model, monkeypatch):
    monkeypatch.setattr(quantize, "has_vnni", lambda: False)
    nodes = post_training_quantized(model, [images(2)])._activations()
    assert {node.args[4] for node in nodes} == {127}


def test_without_torchao_a_line_says_what_to_install(model, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchao.quantization.pt2e.quantize_pt2e", None)
    with pytest.raises(MissingPackageError, match=r"needs the package torchao: .*\[quantize\]"):
        post_training_quantized(model, [images(2)])


def test_a_torchao_that_lacks_something_is_named(model, monkeypatch):
    old = ModuleType("torchao.quantization.pt2e.quantize_pt2e")
    old.prepare_pt2e = old.convert_pt2e = None
    monkeypatch.setitem(sys.modules, old.__name__, old)
    with pytest.raises(CompressError, match="this torchao has no prepare_qat_pt2e"):
        quantization_aware(model, images(2))


@needs_compiler
def test_without_a_compiler_a_line_says_so(after_training, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(CompressError, match="no-such-compiler is not found: install one or set CXX"):
        int8_kernels(after_training, images(1))


@needs_compiler
@pytest.mark.slow  # test_every_layer_becomes_an_int8_kernel compiles too
def test_a_float_network_can_be_compiled_beside_it_once_and_for_all(model):
    """Also for images of inference mode: torch would compile for these again, and give up after a few networks."""
    from torch._dynamo.utils import counters

    made = frozen(model, images(1))
    assert error(made(images(1)), logits(model)) < 1e-4
    graphs = counters["stats"]["unique_graphs"]
    with torch.inference_mode():
        assert error(made(images(1).clone()), logits(model)) < 1e-4
    assert counters["stats"]["unique_graphs"] == graphs


def test_every_network_is_compiled_for_itself(model):
    one, other = own_function(model), own_function(model)
    assert one.__code__ is not other.__code__
    assert one.__code__ != other.__code__


def test_the_tutorials_own_way_trains_but_what_it_converts_to_does_not_run():
    """`prepare_qat` of torch.quantization, as in the tutorial: deprecated, and it lacks what marks the inputs."""
    old = pytest.importorskip("torch.ao.quantization", reason="this torch has removed it")
    own = network().train()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        own.qconfig = old.get_default_qat_qconfig("fbgemm")
        old.prepare_qat(own, inplace=True)
        assert own(images(2)).requires_grad
        converted = old.convert(own.eval())
    assert any("torch.ao.quantization is deprecated" in str(one.message) for one in told)
    with pytest.raises(NotImplementedError, match="quantized::conv2d"):
        converted(images(2))
