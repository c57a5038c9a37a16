"""Several processes that train one network, as `torchrun` starts them; alone where it did not.

Gradients are averaged by DistributedDataParallel. BatchNorm takes its statistics over all processes, so that a global
batch gives the loss that one process would have.
"""

from __future__ import annotations

import gc
import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from mnv1.cases import device_named
from mnv1.training.recipe import TrainError


@dataclass(frozen=True)
class Processes:
    """This process among all that train the network."""

    rank: int = 0
    world: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes and shows."""
        return self.rank == 0

    def total(self, values: torch.Tensor) -> torch.Tensor:
        """The sum of a tensor over all processes."""
        if self.world > 1:
            values = values.clone()
            distributed.all_reduce(values)
        return values

    @contextmanager
    def first_alone(self) -> Iterator[None]:
        """Within it the first process is alone; the others follow when it has left, whatever became of it."""
        if not self.is_first:
            distributed.barrier()
        try:
            yield
        finally:
            if self.is_first and self.world > 1:
                distributed.barrier()

    def wrap(self, model: nn.Module) -> nn.Module:
        """The network as every process trains its share of it."""
        return DistributedDataParallel(model) if self.world > 1 else model


@contextmanager
def joined(device: torch.device) -> Iterator[Processes]:
    """Meet the other processes that `torchrun` started; gloo on the CPU, NCCL on CUDA. Raises `TrainError`."""
    if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
        yield Processes()
        return
    # torch imports it later by itself, and its default arguments then hold on to the group for ever.
    importlib.import_module("torch.distributed.nn.functional")
    try:
        distributed.init_process_group(device_named(device.type).distributed)
    except (RuntimeError, ValueError) as error:
        raise TrainError(f"the processes cannot meet ({error}): start them with torchrun") from None
    try:
        yield Processes(distributed.get_rank(), distributed.get_world_size())
    finally:
        # As long as something holds on to the group (DistributedDataParallel, in a cycle of references) its threads
        # live, and one that still has a tensor when Python ends takes the process down with it.
        gc.collect()
        distributed.destroy_process_group()


def local_device(device: torch.device) -> torch.device:
    """The GPU of this process on its machine, where several train on CUDA. Raises `TrainError` where it has none."""
    if device.type != "cuda":
        return device
    place, gpus = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if place >= gpus:
        raise TrainError(f"more processes than GPUs ({gpus}): start fewer, or train with --device cpu")
    return torch.device("cuda", place)


class SharedBatchNorm2d(nn.BatchNorm2d):
    """BatchNorm that trains with the mean and variance over all processes' images, on any device.

    torch's own SyncBatchNorm refuses tensors of the CPU. Input and output `(N, C, H, W)`; N may differ between
    processes. State-dict keys are those of `nn.BatchNorm2d`.
    """

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """In training the batch's statistics normalise, and move the running ones; otherwise the running ones do."""
        if not self.training or self.running_mean is None or self.running_var is None:
            return super().forward(input)
        here = torch.full((1,), input.numel() / input.shape[1], device=input.device, dtype=torch.float32)
        count = _sum_of_all(here)
        mean = _sum_of_all(input.float().sum((0, 2, 3))) / count
        centred = input.float() - mean.view(1, -1, 1, 1)
        # Two passes: the difference of two large sums would cost the digits that this is for.
        variance = _sum_of_all(centred.square().sum((0, 2, 3))) / count
        with torch.no_grad():
            momentum = 0.1 if self.momentum is None else self.momentum
            self.running_mean.lerp_(mean.detach(), momentum)
            self.running_var.lerp_((variance * count / (count - 1)).detach(), momentum)
            if self.num_batches_tracked is not None:
                self.num_batches_tracked += 1
        normalised = centred * (variance + self.eps).rsqrt().view(1, -1, 1, 1)
        weight, bias = (one.view(1, -1, 1, 1) for one in (self.weight, self.bias))
        output: torch.Tensor = (normalised * weight + bias).to(input.dtype)
        return output


class _SumOfAll(torch.autograd.Function):
    """The sum over all processes; its gradient is the sum of theirs. torch's own differentiable one is deprecated."""

    @staticmethod
    def forward(_: Any, values: torch.Tensor) -> torch.Tensor:
        total = values.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(_: Any, gradient: torch.Tensor) -> torch.Tensor:
        total = gradient.clone()
        distributed.all_reduce(total)
        return total


def _sum_of_all(values: torch.Tensor) -> torch.Tensor:
    total: torch.Tensor = _SumOfAll.apply(values)
    return total


def share_batch_norm(model: nn.Module) -> None:
    """Let every BatchNorm of a network take its statistics over all processes, in place; weights stay."""
    for parent in list(model.modules()):
        for name, part in parent.named_children():
            if type(part) is nn.BatchNorm2d:
                shared = SharedBatchNorm2d(part.num_features, part.eps, part.momentum)
                shared.load_state_dict(part.state_dict())
                setattr(parent, name, shared.to(part.weight.device))
