"""Optimizers and schedules by the names that a recipe uses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn, optim

from mnv1.training.recipe import Recipe

OPTIMIZERS: dict[str, Callable[[nn.Module, Recipe], optim.Optimizer]] = {
    "adam": lambda m, r: optim.Adam(m.parameters(), lr=r.learning_rate, weight_decay=r.weight_decay),
    "adamw": lambda m, r: optim.AdamW(m.parameters(), lr=r.learning_rate, weight_decay=r.weight_decay),
    "sgd": lambda m, r: optim.SGD(
        m.parameters(), lr=r.learning_rate, momentum=0.9, nesterov=True, weight_decay=r.weight_decay
    ),
    # The paper trains as Inception V3 does: decay 0.9, epsilon 1 (Szegedy et al. 2015, arXiv 1512.00567, section 8).
    "rmsprop": lambda m, r: optim.RMSprop(
        m.parameters(), lr=r.learning_rate, alpha=0.9, eps=1.0, weight_decay=r.weight_decay
    ),
}

SCHEDULES: dict[str, Callable[[optim.Optimizer, Recipe, int], Any]] = {
    "constant": lambda o, _, steps: optim.lr_scheduler.ConstantLR(o, factor=1.0, total_iters=steps),
    "cosine": lambda o, _, steps: optim.lr_scheduler.CosineAnnealingLR(o, T_max=steps),
    # The rate alone: torch would also move the optimizer's momentum.
    "one-cycle": lambda o, r, steps: optim.lr_scheduler.OneCycleLR(
        o, max_lr=r.learning_rate, total_steps=steps, cycle_momentum=False
    ),
}
"""From the optimizer, the recipe and the number of steps. Every step moves the schedule."""
