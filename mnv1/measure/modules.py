"""From a case to something that can be called: module, input, precision and checks."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import cache, partial

import torch
from torch import nn

from mnv1.base.facts import Facts
from mnv1.cases import NUM_CLASSES, Case, Conditions, Workload, device_named
from mnv1.cases.devices.clock import Call
from mnv1.cases.precisions import amp_dtype, precision_context
from mnv1.measure.execution import WrongOutputError, execute
from mnv1.measure.training import LEARNING_RATE, Step
from mnv1.net.counts import count_with_torch

SEED = 0

SPREAD = 2**26
"""Bytes over which visits spread the places of their tensors. Where these lie decides whether they collide in caches:
processes that differed in nothing else differed by 3 to 10 % in a case's speedup, each by its own amount for each case.
Copied to another place for each visit, spread over 64 MiB, they differed by what their visits let expect."""
ALIGNED = 64
"""Bytes to which torch aligns its tensors."""

MAX_SKIPPED = 20
"""Steps by which weights must have changed: with a scaler the first ones only look for a scale without overflow."""


@dataclass(frozen=True)
class Prepared:
    """A case that is ready to be timed: its output was checked."""

    call: Call
    first_call: float
    """Seconds of the very first call, the one that was checked."""
    facts: Facts = field(default_factory=dict)
    """What was found of the mode, where it is not plain eager code: see `mnv1.measure.execution`."""
    step: Step | None = None
    """What `call` calls, where it is a training step."""
    again: Callable[[], Call] | None = None
    """Makes the same call anew, its weights and inputs copied to elsewhere in memory; None where these belong to
    another runtime or compiled code."""


@contextmanager
def elsewhere(prepared: Sequence[Prepared], is_host: bool) -> Iterator[list[Call]]:
    """Calls whose weights, inputs and activations lie elsewhere in memory than at the last visit, on the CPU.

    The allocator takes what it has freed from the beginning, so that what lies before the copies decides their place.
    """
    spacer = torch.empty(random.randrange(0, SPREAD, ALIGNED), dtype=torch.uint8) if is_host else None
    yield [one.again() if is_host and one.again else one.call for one in prepared]
    del spacer


def build(workload: Workload) -> nn.Module:
    """The module of a workload, in evaluation mode, with seeded weights."""
    torch.manual_seed(SEED)
    return workload.build().eval()


def prepare(case: Case) -> Prepared:
    """Build a case's module and input, and check its output once.

    Raises `WrongOutputError` when the output is not finite, has the wrong shape, or is another than that of plain
    eager code by more than its mode may; for a training step when the loss or a weight is not finite, weights do not
    change, or a layer has no part in it.
    """
    if case.workload.trains:
        return _prepare_step(case)
    conditions = case.conditions
    module, images = module_and_images(case)
    if not conditions.is_plain:
        if case.workload.brings_input:
            raise WrongOutputError(f"{case.id}: exists in eager mode only: it brings its input itself")
        executable = execute(conditions, module, *images)
        return Prepared(executable.call, executable.first_call, facts=executable.facts)
    outputs: list[object] = []
    call = _eager(module, images, conditions)
    first_call = conditions.on.clock().time(lambda: outputs.append(call()), 1).wall
    output = outputs.pop()
    if isinstance(output, torch.Tensor):
        if not case.workload.brings_input and tuple(output.shape) != case.output_shape:
            raise WrongOutputError(f"{case.id}: output has shape {tuple(output.shape)}, expected {case.output_shape}")
        if not bool(torch.isfinite(output).all()):
            raise WrongOutputError(f"{case.id}: output is not finite")
    return Prepared(
        call, first_call, again=lambda: _eager(deepcopy(module), tuple(one.clone() for one in images), conditions)
    )


Images = tuple[torch.Tensor, ...]
"""What a module is called with: one batch, or nothing where it holds its input."""


def _eager(module: nn.Module, images: Images, conditions: Conditions) -> Call:
    def call() -> object:
        with torch.inference_mode(), precision_context(conditions.device, conditions.precision):
            return module(*images)

    return call


def module_and_images(case: Case) -> tuple[nn.Module, Images]:
    """A case's module and its input in fp32, on its device."""
    device = case.conditions.device
    module = _module(case.workload.smallest, device)
    if case.workload.brings_input:
        return module, ()
    return module, (_images(case.input_shape, device),)


def _images(shape: tuple[int, ...], device: str) -> torch.Tensor:
    """Seeded random images; on other devices than the host one tensor for both sides, all kinds and precisions."""
    return _drawn(shape, device) if device_named(device).is_host else _kept(shape, device)


def _drawn(shape: tuple[int, ...], device: str) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator(device).manual_seed(SEED), device=device)


# Drawn there: the largest would take seconds on the host, and the way to the device as long again.
_kept = cache(_drawn)


def _prepare_step(case: Case) -> Prepared:
    device, in_amp = case.conditions.device, case.conditions.precision == "amp"
    module, optimizer = _trained(case.workload.smallest, device)
    images = _images(case.input_shape, device)
    generator = torch.Generator().manual_seed(SEED)
    labels = torch.randint(NUM_CLASSES, (case.conditions.batch_size,), generator=generator).to(device)
    # Autocast is for the forward pass, as its documentation asks for.
    forward = partial(precision_context, device, case.conditions.precision)
    in_fp16 = in_amp and amp_dtype(device) == torch.float16
    step = Step(module, optimizer, images, labels, forward, torch.amp.GradScaler(device) if in_fp16 else None)
    weights = [weight for weight in module.parameters() if weight.dim() > 1]
    before = [weight.detach().clone() for weight in weights]
    losses: list[torch.Tensor] = []
    first_call = case.conditions.on.clock().time(lambda: losses.append(step()), 1).wall
    while all(map(torch.equal, weights, before)) and len(losses) < MAX_SKIPPED:
        losses.append(step())
    if not all(bool(torch.isfinite(one).all()) for one in (*losses, *weights)):
        raise WrongOutputError(f"{case.id}: the loss is not finite, or makes weights that are not")
    if all(map(torch.equal, weights, before)):
        raise WrongOutputError(f"{case.id}: no weight has changed after {MAX_SKIPPED} steps")
    # Whether each layer's weights have changed cannot be asked: where a gradient is tiny, so is what Adam makes of it.
    if not all(weight.grad is not None and bool(weight.grad.any()) for weight in weights):
        raise WrongOutputError(f"{case.id}: the weights of a layer get no gradient")
    return Prepared(step, first_call, step=step, again=lambda: deepcopy(step))


def count_module(case: Case) -> Facts:
    """What a workload counts a call, of which there is no closed form: `macs` and `params`.

    Multiply-accumulates of convolutions, fully connected layers and other matrix products, and trainable parameters.
    """
    module, image = module_and_images(replace(case, conditions=replace(case.conditions, batch_size=1)))
    macs = case.conditions.batch_size * count_with_torch(module, *image)
    return {"macs": macs, "params": sum(parameter.numel() for parameter in module.parameters())}


@cache
def _module(workload: Workload, device: str) -> nn.Module:
    """One module serves every input size, batch size and precision: building the largest takes half a second."""
    return build(workload).to(device)


@cache
def _trained(workload: Workload, device: str) -> tuple[nn.Module, torch.optim.Optimizer]:
    """A module to train and its optimizer, apart from those that are not trained.

    All steps of a workload share them: weights, gradients and state of the largest take half a gigabyte.
    """
    module = build(workload).train().to(device)
    return module, torch.optim.Adam(module.parameters(), lr=LEARNING_RATE)


def forget_modules() -> None:
    """Free the memory of all modules built so far."""
    _module.cache_clear()
    _kept.cache_clear()
    _trained.cache_clear()
