"""From a module to a call in an execution mode: transformed, compiled or exported, and checked against eager code.

What the modes are, and how each is made, is in `mnv1.cases.modes`.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from mnv1.base.facts import Facts
from mnv1.cases import PRECISIONS, Conditions
from mnv1.cases.devices.clock import Call
from mnv1.cases.modes import Made
from mnv1.measure.state import CPUS

FIRST_REPLAYS = 3
"""Calls after the first one by which compiled code has recorded its graphs."""


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


def execute(conditions: Conditions, module: nn.Module, images: torch.Tensor) -> Executable:
    """A copy of a module in evaluation mode made ready for a mode and precision, and called once.

    `images` is fp32, on the device of the conditions. Raises `WrongOutputError` when the output's error is beyond the
    precision's tolerance (`mnv1.cases.precisions`), `mnv1.base.packages.MissingPackageError`, and whatever torch
    raises.
    """
    device, mode, made = conditions.on, conditions.how, list[Made]()
    clock = device.clock()
    with torch.inference_mode():
        expected = module(images).float()  # and torch's threads exist, bound to their CPUs, before that is lifted
    copied, outputs = deepcopy(module), []
    broken, graphs = _compiler_counts() if mode.compiles else (0, 0)
    before = device.reserved() if mode.replays(device) else None
    with _quiet(), _on_every_cpu():
        how = conditions.device, conditions.precision
        making = clock.time(lambda: made.append(mode.make(*how, copied, images)), 1).wall
        (one,) = made
        with one.at_first:
            first_call = clock.time(lambda: outputs.append(one.call()), 1).wall
    facts: Facts = {
        "output_error": check_output(outputs.pop(), expected, PRECISIONS[conditions.precision].tolerance),
        "compile_time": making + first_call,
        "file_size": one.file_size,
    }
    if before is not None:
        for _ in range(FIRST_REPLAYS):
            one.call()
        device.wait()
        facts["peak_memory"] = max(0, device.reserved() - before)  # a replay allocates nothing that could be counted
    if mode.compiles:
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
