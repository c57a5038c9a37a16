"""int8 networks for x86 CPUs, by torchao's PT2E: quantized after training, or trained with quantization in mind.

Weights become int8 with a scale for each output channel, activations uint8 with one scale and zero point a tensor, and
BatchNorm is folded into the convolutions first. What comes out computes with fp32 between `dequantize` and `quantize`
(so it runs anywhere, slowly); `torch.compile` with freezing makes oneDNN's int8 kernels of it: `int8_kernels`.
"""

from __future__ import annotations

import contextlib
import logging
import operator
import os
import shutil
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import deepcopy
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
import torch._dynamo.config as dynamo
import torch._inductor.config as inductor
from torch import fx, nn

from mnv1.base.packages import require
from mnv1.net.bias import LAYERS, channel_means, correct_bias
from mnv1.net.compiling import RECOMPILE_LIMITS, own_function
from mnv1.net.errors import CompressError

PT2E = "torchao.quantization.pt2e"
BN_EPS = 1e-5
"""What torchao's quantization-aware training takes BatchNorm's eps for, whatever it is."""

CORRECTION_IMAGES = 32
"""So many images are in memory at once while biases are corrected; more of them change little."""

CPU_INFO = Path("/proc/cpuinfo")
VNNI = {"avx512_vnni", "avx_vnni", "amx_int8"}
"""Flags of CPUs that add products of bytes into 32 bits at once."""


class Int8Network(nn.Module):
    """A quantized network: images `(N, 3, D, D)` to logits `(N, classes)`, for any N and the D that it was made for.

    There is only one mode: BatchNorm is folded, so `train()` and `eval()` change nothing. Its state dict is complete:
    int8 weights with their scales, and as extra state the scale and zero point of every activation.
    """

    def __init__(self, graph: fx.GraphModule) -> None:
        super().__init__()
        self.graph = graph
        self.training = False
        _tidy(graph)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images `(N, 3, D, D)` to logits `(N, classes)`."""
        output: torch.Tensor = self.graph(images)
        return output

    def train(self, mode: bool = True) -> Int8Network:  # noqa: ARG002
        """There is no other mode."""
        return self

    def get_extra_state(self) -> torch.Tensor:
        """Scale and zero point of each quantized activation `(activations, 2)`, in the order of the graph."""
        return torch.tensor([node.args[1:3] for node in self._activations()], dtype=torch.float64)

    def set_extra_state(self, state: Any) -> None:
        """Take over what `get_extra_state` gave. Raises `CompressError` when it is of another network."""
        nodes = self._activations()
        if not isinstance(state, torch.Tensor) or tuple(state.shape) != (len(nodes), 2):
            raise CompressError("the ranges of activations are of another network")
        for node, (scale, zero_point) in zip(nodes, state.tolist(), strict=True):
            node.args = (node.args[0], scale, int(zero_point), *node.args[3:])
        self.graph.recompile()

    def _activations(self) -> list[fx.Node]:
        nodes: Iterable[fx.Node] = self.graph.graph.nodes
        return [node for node in nodes if "quantize_per_tensor" in str(node.target)]


class QuantizationAware(nn.Module):
    """A network that trains with the rounding of int8 in its forward pass; inputs and outputs are the float network's.

    `train()` and `eval()` switch BatchNorm and whether ranges of activations are still being learnt.
    """

    def __init__(self, graph: fx.GraphModule) -> None:
        super().__init__()
        self.graph = graph
        self.train()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images `(N, 3, D, D)` to logits `(N, classes)`."""
        output: torch.Tensor = self.graph(images)
        return output

    def train(self, mode: bool = True) -> QuantizationAware:
        """Switch between training and evaluation: an exported graph does not do so by itself."""
        pt2e = _pt2e()
        self.training = mode
        move = pt2e.move_exported_model_to_train if mode else pt2e.move_exported_model_to_eval
        move(self.graph)
        self.graph.apply(pt2e.enable_observer if mode else pt2e.disable_observer)
        return self

    def converted(self) -> Int8Network:
        """The int8 network that it has become; this one can be trained on."""
        graph = deepcopy(self).eval().graph
        return Int8Network(_pt2e("quantize_pt2e").convert_pt2e(graph))


def post_training_quantized(
    model: nn.Module,
    calibration: Iterable[torch.Tensor],
    keep_float: Sequence[str] = (),
    *,
    corrected: bool = True,
    reduced_range: bool | None = None,
) -> Int8Network:
    """A trained network in int8.

    `calibration`: batches of images `(N, 3, D, D)` like those that it will see, at the D at which it will be called.
    They tell the ranges of activations, and the first 32 of them what rounding shifts, so that it can be corrected
    (`mnv1.net.bias`); `corrected` False leaves it. `reduced_range` gives activations 7 bits; None does so
    where the CPU has no VNNI. `keep_float` names modules that stay fp32 (`features.0`, `classifier`). The model is not
    changed.

    Raises `CompressError` when the model is in training mode, there are no images or not all alike, or torchao lacks
    what this needs; `mnv1.base.packages.MissingPackageError` without torchao.
    """
    if model.training:
        raise CompressError("the network is in training mode: call .eval() first")
    batches = list(calibration)
    _check_images(batches)
    graph = _exported(model, batches[0])
    prepared = _pt2e("quantize_pt2e").prepare_pt2e(graph, _quantizer(False, keep_float, reduced_range))
    with torch.no_grad():
        for batch in batches:
            prepared(batch)
    some = torch.cat(batches)[:CORRECTION_IMAGES]
    means = channel_means(prepared, some)  # its observers change no value, so these are those of fp32
    quantized = _pt2e("quantize_pt2e").convert_pt2e(prepared)
    if corrected:
        correct_bias(quantized, some, means)
    return Int8Network(quantized)


def quantization_aware(
    model: nn.Module, example: torch.Tensor, keep_float: Sequence[str] = ()
) -> tuple[QuantizationAware, Callable[[], Int8Network]]:
    """A network to be trained with fake quantization, which starts with the model's weights, and what converts it.

    `example`: a batch of images `(N, 3, D, D)`. Train it a few epochs with a small learning rate, then convert. The
    model is not changed. Raises as `post_training_quantized`, and `CompressError` for a BatchNorm whose eps is not
    1e-5: torchao would compute with that.
    """
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d) and part.eps != BN_EPS:
            raise CompressError(
                f"BatchNorm's eps is {part.eps:g}: torchao trains with {BN_EPS:g}, so that outputs would be wrong; "
                "quantize such a network after training"
            )
    _check_images([example])
    graph = _exported(model, example, training=True)
    prepared = _pt2e("quantize_pt2e").prepare_qat_pt2e(graph, _quantizer(True, keep_float))
    network = QuantizationAware(prepared)
    return network, network.converted


def int8_kernels(network: Int8Network, images: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    """The network compiled to int8 kernels for batches of the shape of these images, which takes half a minute.

    Weights are packed for the kernels, so the network must not be changed afterwards. What comes out is called without
    gradients. Raises `CompressError` for images of another shape, or where there is no C++ compiler.
    """
    _pt2e("quantizer.x86_inductor_quantizer")  # registers what torch.compile makes int8 kernels of
    compiler = os.environ.get("CXX", "g++")
    if shutil.which(compiler) is None:
        raise CompressError(f"int8 kernels need a C++ compiler, and {compiler} is not found: install one or set CXX")
    return frozen(network, images)


def frozen(network: nn.Module, images: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    """A network in evaluation mode compiled with its weights as constants, for batches of the shape of these images.

    Raises `CompressError` when what comes out is called with another shape.
    """
    # As an option of torch.compile it comes too late: weights are inputs of the graph by then.
    with torch.inference_mode(), inductor.patch(freezing=True), dynamo.patch(RECOMPILE_LIMITS), _quiet():
        compiled = torch.compile(own_function(network), dynamic=False)
        compiled(images)

    def call(batch: torch.Tensor) -> torch.Tensor:
        if batch.shape != images.shape:
            raise CompressError(f"compiled for images {tuple(images.shape)}, called with {tuple(batch.shape)}")
        if batch.is_inference() != images.is_inference():  # torch would compile once more
            with torch.inference_mode(images.is_inference()):
                batch = batch.clone()
        with torch.inference_mode():
            output: torch.Tensor = compiled(batch)
        return output

    return call


def has_vnni(cpu_info: Path = CPU_INFO) -> bool:
    """Whether this CPU multiplies and adds bytes without saturating in between.

    Without VNNI two products of bytes are added in 16 bits, which can overflow: activations then get 7 bits. False
    where it cannot be told, which is right everywhere.
    """
    try:
        lines = cpu_info.read_text().splitlines()
    except OSError:
        return False
    return any(VNNI & set(line.partition(":")[2].split()) for line in lines if line.startswith("flags"))


def _quantizer(is_qat: bool, keep_float: Sequence[str], reduced_range: bool | None = None) -> Any:
    module = _pt2e("quantizer.x86_inductor_quantizer")
    reduced = not has_vnni() if reduced_range is None else reduced_range
    settings = module.get_default_x86_inductor_quantization_config(is_qat=is_qat, reduce_range=reduced)
    quantizer = module.X86InductorQuantizer().set_global(settings)
    for name in keep_float:
        quantizer.set_module_name_qconfig(name, None)
    return quantizer


def _exported(model: nn.Module, images: torch.Tensor, training: bool = False) -> fx.GraphModule:
    """A copy of the model as a graph of operators, for any number of images."""
    model = deepcopy(model).train(training)  # the graph has the copy's own tensors
    # An example of one image would be taken for a constant.
    example = images if len(images) > 1 else images.repeat(2, 1, 1, 1)
    batch = torch.export.Dim("batch", min=1)
    graph = torch.export.export(model, (example,), dynamic_shapes=({0: batch},)).module()
    assert isinstance(graph, fx.GraphModule)
    return graph


def _tidy(graph: fx.GraphModule) -> None:
    """Name what layers read by the order of the layers, as buffers, and drop what nobody reads.

    torchao numbers it differently after training and while training, and leaves the fp32 weights beside the bytes that
    it made of them.
    """
    layers = [node for node in graph.graph.nodes if node.target in LAYERS]
    for number, layer in enumerate(layers):
        weight, bias = layer.args[1:3]
        read = {"weight": weight} if weight.op == "get_attr" else dict(zip(_STORED, weight.args, strict=False))
        for role, node in {**read, "bias": bias}.items():
            value = operator.attrgetter(node.target)(graph)
            node.target = f"layer{number}_{role}"
            graph.register_buffer(node.target, value.detach())
    used = {node.target for node in graph.graph.nodes if node.op == "get_attr"}
    for name, _ in [*graph.named_parameters(), *graph.named_buffers()]:
        if name not in used:
            owner, _, attribute = name.rpartition(".")
            delattr(graph.get_submodule(owner), attribute)
    graph.delete_all_unused_submodules()
    graph.recompile()


_STORED = ("weight", "scale", "zero_point")
"""What a layer's int8 weight is read from, in the order of `dequantize_per_channel`'s arguments."""


def _check_images(batches: Sequence[torch.Tensor]) -> None:
    if not batches:
        raise CompressError("no images to calibrate with")
    shapes = {tuple(batch.shape[1:]) for batch in batches}
    if len(shapes) > 1 or batches[0].dim() != 4 or not all(len(batch) for batch in batches):
        raise CompressError("images to calibrate with must be batches (N, 3, D, D) of one size")


def _pt2e(name: str = "") -> ModuleType:
    """A module of torchao's PT2E. Raises `CompressError` where this version of torchao lacks what is used of it."""
    with _quiet():
        module = require(f"{PT2E}.{name}" if name else PT2E, "quantize")
    missing = [one for one in _USED[name] if not hasattr(module, one)]
    if missing:
        raise CompressError(
            f"this torchao has no {missing[0]}: pip install -c constraints.txt -e '.[quantize]' brings one that does"
        )
    return module


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """What torch and torchao tell themselves is nothing that the user could act on."""
    loggers = [logging.getLogger(f"torch.utils.{name}") for name in ("_pytree", "cpp_extension")]
    levels = [one.level for one in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for one in loggers:
            one.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for one, level in zip(loggers, levels, strict=True):
                one.setLevel(level)


_USED = {
    "": (
        *("move_exported_model_to_train", "move_exported_model_to_eval"),
        *("enable_observer", "disable_observer"),
    ),
    "quantize_pt2e": ("prepare_pt2e", "prepare_qat_pt2e", "convert_pt2e"),
    "quantizer.x86_inductor_quantizer": ("X86InductorQuantizer", "get_default_x86_inductor_quantization_config"),
}
