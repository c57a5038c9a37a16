"""From a module to a call in an execution mode: transformed, compiled or exported, and checked against eager code.

What the modes are is in `mnv1.cases.modes`. Packages of extras are imported here and only where a mode needs them.
"""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from mnv1.base.packages import require
from mnv1.cases.case import Conditions, Mode
from mnv1.cases.modes import EXECUTION_MODES, TOLERANCE
from mnv1.measure.clock import Call, clock_for
from mnv1.measure.facts import Facts
from mnv1.measure.precision import precision_context
from mnv1.measure.state import CPUS
from mnv1.net.compiling import RECOMPILE_LIMITS, own_function
from mnv1.net.folding import folded

FOLDED: tuple[Mode, ...] = ("folded", "folded+channels_last", "cuda-graph")
CHANNELS_LAST: tuple[Mode, ...] = ("channels_last", "folded+channels_last", "cuda-graph")
COMPILED = tuple(mode for mode, about in EXECUTION_MODES.items() if about.compiles)

CALIBRATION_IMAGES = 32
"""Random images, in four batches or more, from which int8 quantization learns the range of activations."""


class WrongOutputError(Exception):
    """An output that is not finite, not of the right shape or not the right one, so timing it would say nothing."""


@dataclass(frozen=True)
class Executable:
    """A module that is ready to be timed in a mode: its output was checked."""

    call: Call
    """Runs it on the images that it was made for."""
    first_call: float
    """Seconds of the very first call."""
    facts: Facts
    """`output_error`, `compile_time` (seconds), `file_size` (bytes), and `graph_breaks` of a mode that compiles."""


@dataclass(frozen=True)
class _Made:
    call: Call
    file_size: int
    at_first: AbstractContextManager[object] = field(default_factory=nullcontext)
    """What the first call runs in."""


def execute(conditions: Conditions, module: nn.Module, images: torch.Tensor) -> Executable:
    """A copy of a module in evaluation mode made ready for a mode and precision, and called once.

    `images` is fp32, on the device of the conditions. Raises `WrongOutputError` when the output's error is beyond the
    precision's tolerance (`mnv1.cases.modes.TOLERANCE`), `mnv1.base.packages.MissingPackageError`, and whatever torch
    raises.
    """
    clock = clock_for(conditions.device)
    with torch.inference_mode():
        expected = module(images).float()  # and torch's threads exist, bound to their CPUs, before that is lifted
    copied, made, outputs = deepcopy(module), [], []
    compiles = conditions.mode in COMPILED
    broken, graphs = _compiler_counts() if compiles else (0, 0)
    with _quiet(), _on_every_cpu():
        maker = _MAKERS.get(conditions.mode, _in_torch)
        making = clock.time(lambda: made.append(maker(conditions, copied, images)), 1).wall
        (one,) = made
        with one.at_first:
            first_call = clock.time(lambda: outputs.append(one.call()), 1).wall
    facts: Facts = {
        "output_error": check_output(outputs.pop(), expected, TOLERANCE[conditions.precision]),
        "compile_time": making + first_call,
        "file_size": one.file_size,
    }
    if compiles:
        now_broken, now_graphs = _compiler_counts()
        if now_graphs == graphs:
            raise WrongOutputError("torch.compile compiled nothing: the module ran eagerly")
        facts["graph_breaks"] = now_broken - broken
        _end_compile_workers()
    return Executable(one.call, first_call, facts)


def output_error(output: torch.Tensor, expected: torch.Tensor) -> float:
    """The relative L2 difference ‖output − expected‖ / ‖expected‖ over all elements."""
    return float((output.double() - expected.double()).norm() / expected.double().norm())


def check_output(output: object, expected: torch.Tensor, tolerance: float) -> float:
    """The error of an output. Raises `WrongOutputError` when it is beyond the tolerance, or cannot be compared."""
    tensor = torch.from_numpy(output) if isinstance(output, np.ndarray) else output
    assert isinstance(tensor, torch.Tensor)
    if tensor.shape != expected.shape:
        raise WrongOutputError(f"output has shape {tuple(tensor.shape)}, expected {tuple(expected.shape)}")
    if not bool(torch.isfinite(tensor).all()):
        raise WrongOutputError("output is not finite")
    error = output_error(tensor.to(expected.device), expected)
    if not error <= tolerance:
        raise WrongOutputError(f"wrong: output error {error:.2g} above {tolerance:g}")
    return error


def _in_torch(conditions: Conditions, module: nn.Module, images: torch.Tensor) -> _Made:
    """Eager and compiled modes."""
    module, images = _transformed(conditions, module, images)
    size = _state_size(module)
    if conditions.mode not in COMPILED:
        return _Made(_call(conditions, module, images), size)
    # As it would be for a program's first batch; for later ones of another size torch would leave sizes open.
    compiled = torch.compile(own_function(module), dynamic=False)
    return _Made(_call(conditions, compiled, images), size, _compiler_settings(conditions.mode))


def _cuda_graph(conditions: Conditions, module: nn.Module, images: torch.Tensor) -> _Made:
    module, images = _transformed(conditions, module, images)
    return _Made(record_graph(conditions, module, images, torch.cuda), _state_size(module))


def record_graph(conditions: Conditions, module: nn.Module, images: torch.Tensor, cuda: Any) -> Call:
    """A call that copies the images to where the recorded kernels read them, and launches all of these together.

    `cuda` is `torch.cuda`, or what a test puts in its place. The output is overwritten by the next call.
    """
    static = images.clone()
    call = _call(conditions, module, static)
    side = cuda.Stream()
    side.wait_stream(cuda.current_stream())
    with cuda.stream(side):  # libraries choose kernels and allocate in first calls, which cannot be recorded
        for _ in range(3):
            call()
    cuda.current_stream().wait_stream(side)
    graph = cuda.CUDAGraph()
    with cuda.graph(graph):
        output = call()

    def replay() -> object:
        static.copy_(images)
        graph.replay()
        return output

    return replay


def _onnxruntime(_: Conditions, module: nn.Module, images: torch.Tensor) -> _Made:
    runtime = require("onnxruntime", "onnx")
    with _exported(module, images) as path:
        options = runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        # Its threads would go on waiting busily after a call, for longer than the next visit to another rung takes.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        session = runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        inputs = {"images": images.numpy()}
        return _Made(lambda: session.run(["logits"], inputs)[0], path.stat().st_size)


def _openvino(conditions: Conditions, module: nn.Module, images: torch.Tensor) -> _Made:
    core = require("openvino", "openvino").Core()
    # OpenVINO's own conversion of torch modules reports its use to its makers; reading a file does not.
    with _exported(module, images) as path:
        settings = {
            "INFERENCE_PRECISION_HINT": "bf16" if conditions.precision == "bf16" else "f32",
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        }
        request = core.compile_model(core.read_model(path), "CPU", settings).create_infer_request()
        inputs = [images.numpy()]
        return _Made(lambda: request.infer(inputs, share_inputs=True, share_outputs=True)[0], path.stat().st_size)


_MAKERS: dict[Mode, Callable[[Conditions, nn.Module, torch.Tensor], _Made]] = {
    "cuda-graph": _cuda_graph,
    "onnxruntime": _onnxruntime,
    "openvino": _openvino,
}


def _transformed(conditions: Conditions, module: nn.Module, images: torch.Tensor) -> tuple[nn.Module, torch.Tensor]:
    """Module and images in the weights, data type and memory layout of a mode and precision."""
    if conditions.mode in FOLDED:
        module = folded(module)
    if conditions.precision == "bf16":
        module, images = module.bfloat16(), images.bfloat16()
    if conditions.precision == "int8":
        quantize = require("mnv1.net.quantize", "quantize")
        module = quantize.post_training_quantized(module, calibration_images(images))
    if conditions.mode in CHANNELS_LAST:
        images = images.to(memory_format=torch.channels_last)
        return module.to(memory_format=torch.channels_last), images
    return module, images


def calibration_images(images: torch.Tensor) -> list[torch.Tensor]:
    """Random batches like the images, but other ones."""
    generator = torch.Generator().manual_seed(1)
    batches = max(4, CALIBRATION_IMAGES // len(images))
    return [torch.randn(images.shape, generator=generator).to(images.device) for _ in range(batches)]


def _call(conditions: Conditions, module: Callable[[torch.Tensor], object], images: torch.Tensor) -> Call:
    def call() -> object:
        with torch.inference_mode(), precision_context(conditions):
            return module(images)

    return call


def _state_size(module: nn.Module) -> int:
    return sum(
        one.numel() * one.element_size() for one in module.state_dict().values() if isinstance(one, torch.Tensor)
    )


@contextmanager
def _exported(module: nn.Module, images: torch.Tensor) -> Iterator[Path]:
    from mnv1.net.export import write_onnx

    with tempfile.TemporaryDirectory(prefix="mnv1-onnx-") as folder, torch.no_grad():
        path = Path(folder) / "network.onnx"
        write_onnx(module, images, False, path)
        yield path


@contextmanager
def _compiler_settings(mode: Mode) -> Iterator[None]:
    import torch._dynamo.config as dynamo
    import torch._inductor as inductor
    import torch._inductor.config as settings

    chosen = inductor.list_mode_options("max-autotune") if mode == "max-autotune" else {}
    if mode != "compiled":
        chosen |= {"freezing": True}
    with settings.patch(chosen), dynamo.patch(RECOMPILE_LIMITS):
        yield


def _compiler_counts() -> tuple[int, int]:
    """Graph breaks and compiled graphs of this process so far."""
    from torch._dynamo.utils import counters

    return sum(counters["graph_break"].values()), counters["stats"]["unique_graphs"]


def _end_compile_workers() -> None:
    """End the processes that torch keeps for compiling: they would stay, beside what is timed."""
    from torch._inductor import async_compile

    end = getattr(async_compile, "shutdown_compile_workers", None)  # it is not documented
    if end:
        end()


@contextmanager
def _on_every_cpu() -> Iterator[None]:
    """This thread on every CPU: threads and processes that others start here get the CPUs that it has.

    torch binds it to a single one in the controlled state.
    """
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, CPUS)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def _quiet() -> Iterator[None]:
    """What compilers and exporters say and deprecate of themselves is nothing that the user could act on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
