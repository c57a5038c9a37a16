"""A training step as a program takes it, and where its time goes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from statistics import median

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from mnv1.base.facts import Facts
from mnv1.base.statistics import MIN_SAMPLES, median_interval
from mnv1.cases.devices import Device
from mnv1.store.columns import PHASES

LEARNING_RATE = 1e-8
"""Adam's learning rate. With a usual one (1e-3) some hundred steps on one batch would fit its labels perfectly; then
gradients vanish, and their squares become denormal numbers, which are slow. Adam moves a weight by about the learning
rate whatever its gradient is, so the work of a step is the same, and the network stays as it was initialised."""

PHASED_TIME = 0.5
"""Seconds of steps that are timed by phase, as far as the numbers below allow."""
MAX_STEPS = 30
LONG_STEP = 0.1
"""Seconds of a step in which it does not matter that caches are cold in the first one."""

Context = Callable[[], AbstractContextManager[object]]


class Step:
    """One training step of a module on the same images and labels, every time that it is called.

    Images `(N, 3, D, D)`, labels `(N,)`. The forward pass and the loss (cross entropy) run in the context `forward`, as
    autocast wants it. `scaler` scales the loss, so that gradients in fp16 do not vanish.
    """

    def __init__(
        self,
        module: nn.Module,
        optimizer: torch.optim.Optimizer,
        images: torch.Tensor,
        labels: torch.Tensor,
        forward: Context,
        scaler: torch.amp.GradScaler | None = None,
    ) -> None:
        self._module, self._optimizer, self._images, self._labels = module, optimizer, images, labels
        self._forward, self._scaler = forward, scaler

    def __call__(self) -> torch.Tensor:
        """Take a step. Returns the loss before it."""
        return self.take(_nothing)

    def take(self, mark: Callable[[], None]) -> torch.Tensor:
        """Take a step, with a mark after each part: old gradients freed, forward, backward, weights changed."""
        self.forget_gradients()
        mark()
        with self._forward():
            loss = cross_entropy(self._module(self._images), self._labels)
        mark()
        if self._scaler is None:
            loss.backward()  # type: ignore[no-untyped-call]
            mark()
            self._optimizer.step()
        else:
            self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            mark()
            self._scaler.step(self._optimizer)
            self._scaler.update()
        mark()
        return loss.detach()

    def forget_gradients(self) -> None:
        """Free the gradients, so that nothing but weights, their statistics and the optimizer's state is left."""
        self._optimizer.zero_grad(set_to_none=True)


def _nothing() -> None:
    return None


def phase_times(step: Step, device: Device, seconds: float) -> Facts:
    """Seconds of each of `PHASES` in a step that takes about `seconds`: medians with their 95 % intervals.

    The forward phase includes the loss, the optimizer's the freeing of old gradients and, with a scaler, what it does
    before and after the step. On CUDA the times are those between events on the stream.
    """
    number = min(MAX_STEPS, max(MIN_SAMPLES, round(PHASED_TIME / seconds)))
    if seconds <= LONG_STEP:
        step()
    laps = device.laps()
    laps.mark()
    for _ in range(number):
        step.take(laps.mark)
    parts = laps.seconds()
    freed, forward, backward, changed = (parts[part::4] for part in range(4))
    optimizer = [before + after for before, after in zip(freed, changed, strict=True)]
    facts: Facts = {"phase_steps": number}
    for name, samples in zip(PHASES, (forward, backward, optimizer), strict=True):
        low, high = median_interval(samples)
        facts |= {f"{name}_time": median(samples), f"{name}_low": low, f"{name}_high": high}
    return facts
