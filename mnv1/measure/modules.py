"""From a case to something that can be called: module, input, precision and checks."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cache

import torch
from torch import nn

from mnv1.architecture import MIN_SIDE
from mnv1.blocks import Block as BlockFunction
from mnv1.blocks import conv_depthwise, conv_dw, conv_pointwise, conv_standard
from mnv1.cases import NUM_CLASSES, Block, Case, Device, Reference, Workload
from mnv1.measure.clock import Call, clock_for
from mnv1.measure.execution import WrongOutputError, execute, is_plain
from mnv1.measure.facts import Facts
from mnv1.measure.precision import precision_context
from mnv1.measure.references import build_reference, count_reference
from mnv1.model import MobileNetV1

SEED = 0

_BLOCKS: dict[str, BlockFunction] = {
    "standard": conv_standard,
    "separable": conv_dw,
    "depthwise": conv_depthwise,
    "pointwise": conv_pointwise,
}


@dataclass(frozen=True)
class Prepared:
    """A case that is ready to be timed: its output was checked."""

    call: Call
    first_call: float
    """Seconds of the very first call, the one that was checked."""
    facts: Facts = field(default_factory=dict)
    """What was found of the mode, where it is not plain eager code: see `mnv1.measure.execution`."""


def build(workload: Workload) -> nn.Module:
    """The module of a workload, in evaluation mode, with seeded weights."""
    torch.manual_seed(SEED)
    if isinstance(workload, Block):
        module: nn.Module = _BLOCKS[workload.kind](workload.in_channels, workload.out_channels, workload.stride)
    elif isinstance(workload, Reference):
        module = build_reference(workload)
    else:
        block = conv_standard if workload.kind == "standard" else conv_dw
        module = MobileNetV1(NUM_CLASSES, workload.alpha, block, shallow=workload.kind == "shallow")
    return module.eval()


def prepare(case: Case) -> Prepared:
    """Build a case's module and input, and check its output once.

    Raises `WrongOutputError` when the output is not finite, has the wrong shape, or is another than that of plain
    eager code by more than its mode may.
    """
    device = case.conditions.device
    module, images = module_and_images(case)
    if not is_plain(case.conditions):
        executable = execute(case.conditions, module, images)
        return Prepared(executable.call, executable.first_call, executable.facts)
    outputs: list[torch.Tensor] = []

    def call() -> torch.Tensor:
        with torch.inference_mode(), precision_context(case.conditions):
            output: torch.Tensor = module(images)
        return output

    first_call = clock_for(device).time(lambda: outputs.append(call()), 1).wall
    output = outputs.pop()
    if tuple(output.shape) != case.output_shape:
        raise WrongOutputError(f"{case.id}: output has shape {tuple(output.shape)}, expected {case.output_shape}")
    if not bool(torch.isfinite(output).all()):
        raise WrongOutputError(f"{case.id}: output is not finite")
    return Prepared(call, first_call)


def module_and_images(case: Case) -> tuple[nn.Module, torch.Tensor]:
    """A case's module and its input in fp32, on its device."""
    device = case.conditions.device
    images = torch.randn(case.input_shape, generator=torch.Generator().manual_seed(SEED)).to(device)
    return _module(_without_size(case.workload), device), images


def count_module(case: Case) -> Facts:
    """What a network of another package counts a call, of which there is no closed form: `macs` and `params`."""
    assert isinstance(case.workload, Reference)
    counts = count_reference(_module(_without_size(case.workload), case.conditions.device), case.workload.resolution)
    return {"macs": case.conditions.batch_size * counts["macs"], "params": counts["params"]}


@cache
def _module(workload: Workload, device: Device) -> nn.Module:
    """One module serves every input size, batch size and precision: building the largest takes half a second."""
    return build(workload).to(device)


def _without_size(workload: Workload) -> Workload:
    if isinstance(workload, Block):
        return replace(workload, side=MIN_SIDE)
    return replace(workload, resolution=MIN_SIDE)


def forget_modules() -> None:
    """Free the memory of all modules built so far."""
    _module.cache_clear()
