"""The training loop: epochs of steps, each epoch followed by a test and a checkpoint."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from scipy import stats
from torch import nn
from torch.utils.data import DataLoader

from mnv1.base.packages import MissingPackageError
from mnv1.cases.devices import device_named
from mnv1.cases.precisions import amp_dtype
from mnv1.measure.load import machine_work, own_work
from mnv1.net.architecture import IMAGE_CHANNELS, kind_of, network_layers, widths_of
from mnv1.net.counts import count, count_with_torch
from mnv1.net.errors import CompressError
from mnv1.net.model import MobileNetV1
from mnv1.training.data import DataSet, Inputs, ordered_batches, shuffled_batches, spread
from mnv1.training.distill import distillation_loss, load_teacher
from mnv1.training.files import load_checkpoint, save_checkpoint
from mnv1.training.layout import CHECKPOINT
from mnv1.training.networks import first_network
from mnv1.training.optimizers import OPTIMIZERS, SCHEDULES
from mnv1.training.processes import Processes, share_batch_norm
from mnv1.training.recipe import Recipe, TrainError
from mnv1.training.transforms import transform_of

Row = dict[str, Any]
"""What is known of an epoch: losses and accuracies, seconds, images a second, CPUs that others used meanwhile."""

CHECK_EVERY = 20
"""On CUDA, and with several processes, the loss is looked at once in so many steps: a look waits for all of them."""


@dataclass(frozen=True)
class Step:
    """What is shown while an epoch is under way: of this process's images so far."""

    images: int
    """Images of all processes that are done."""
    loss: float
    accuracy: float


class Trainer:
    """Trains the network of a recipe on a device, as one of several processes or alone.

    `workers` is the number of processes that load pictures. `now` is a clock in seconds. Raises `TrainError` for what
    the user can put right.
    """

    def __init__(
        self,
        recipe: Recipe,
        data: DataSet,
        device: torch.device,
        processes: Processes | None = None,
        workers: int = 0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.recipe, self.data, self.device, self.workers = recipe, data, device, workers
        self._on = device_named(device.type)
        self.processes = processes or Processes()
        self._now = now
        self.rows: list[Row] = []
        self.confusion = torch.zeros(len(data.classes), len(data.classes), dtype=torch.long)
        """Of the newest test: how many images of each class (row) were taken for each (column)."""
        first = first_network(recipe, data.classes)
        self.said = first.loaded.said if isinstance(first, MobileNetV1) and first.loaded else ()
        """What the user should know of the weights that it begins with."""
        self.model: nn.Module = first
        if recipe.qat:
            self.model = self._with_rounding(self.model)
        if self.processes.world > 1:
            if recipe.batch_size < 2 * self.processes.world:
                raise TrainError(f"--batch-size: {self.processes.world} processes need at least 2 images each")
            if recipe.compile:
                raise TrainError("--compile: several processes cannot train through it; leave it out")
            share_batch_norm(self.model)
        self._format = torch.channels_last if recipe.channels_last else torch.contiguous_format
        self.model = self.model.to(device).to(memory_format=self._format)
        self._teacher = load_teacher(recipe, data.classes) if recipe.teacher else None
        if self._teacher is not None:
            self._teacher = self._teacher.to(device).to(memory_format=self._format)
        self.optimizer = OPTIMIZERS[recipe.optimizer](self.model, recipe)
        self._batches_an_epoch = len(
            shuffled_batches(len(data.train), recipe.batch_size, 0, 0, 0, self.processes.world)
        )
        if not self._batches_an_epoch:
            raise TrainError(f"{len(data.train)} images are too few to train on")
        self.scheduler = SCHEDULES[recipe.schedule](self.optimizer, recipe, recipe.epochs * self._batches_an_epoch)
        self.scaler = torch.amp.GradScaler(device.type, enabled=recipe.amp and self._on.amp_dtype == "float16")
        self._scale = self.scaler.get_scale()
        wrapped = self.processes.wrap(self.model)
        self._network: nn.Module = torch.compile(wrapped) if recipe.compile else wrapped  # type: ignore[assignment]

    def _with_rounding(self, model: nn.Module) -> nn.Module:
        """The network with the rounding of int8 in its forward pass."""
        if self.processes.world > 1 or not self._on.is_host:
            raise TrainError("--qat: int8 is trained by one process on the CPU; use --device cpu without torchrun")
        from mnv1.net.quantize import quantization_aware  # needs an extra

        side = self.recipe.resolution
        try:
            return quantization_aware(model, torch.zeros(2, IMAGE_CHANNELS, side, side))[0]
        except (CompressError, MissingPackageError) as error:
            raise TrainError(f"--qat: {error}") from None

    def describe(self) -> dict[str, Any]:
        """What is known before the first epoch: parameters, MACs of an image's forward pass, peak memory of a step."""
        recipe = self.recipe
        if recipe.network:
            side, parameters = recipe.resolution, sum(one.numel() for one in self.model.parameters())
            image = torch.zeros(1, IMAGE_CHANNELS, side, side, device=self.device)
            still = copy.deepcopy(self.model).eval()  # counting runs it, and running statistics would change
            return {"params": parameters, "macs": count_with_torch(still, image), **self._peak_memory()}
        widths = recipe.widths or widths_of("separable", recipe.alpha)
        kind = kind_of(widths, recipe.block == "standard")
        layers = network_layers(kind, recipe.alpha, recipe.resolution, len(self.data.classes), widths)
        counts = count(layers, 1, 4)
        return {"params": counts.params, "macs": counts.macs, **self._peak_memory()}

    def epochs(self) -> Iterator[int]:
        """Numbers of the epochs that are left."""
        return iter(range(len(self.rows) + 1, self.recipe.epochs + 1))

    def train_epoch(self, on_step: Callable[[Step], None] = lambda _: None) -> Row:
        """One epoch of training and a test. Raises `TrainError` when a loss is not finite; nothing is kept then."""
        number = len(self.rows) + 1
        start, others = self._now(), self._others_work()
        loss, accuracy, images = self._train(number, on_step)
        seconds, others = self._now() - start, self._others_work() - others
        tested = self.test()
        if not math.isfinite(tested["test_loss"]):
            raise TrainError(self._diverged(tested["test_loss"], f"the test after epoch {number}"))
        row = {
            "epoch": number,
            "train_loss": loss,
            "train_accuracy": accuracy,
            **tested,
            "learning_rate": self.optimizer.param_groups[0]["lr"],
            "seconds": seconds,
            "test_seconds": self._now() - start - seconds,
            "throughput": images / seconds,
            "other_cpus": others / seconds,
        }
        self.rows.append(row)
        return row

    def _train(self, number: int, on_step: Callable[[Step], None]) -> tuple[float, float, int]:
        recipe, world = self.recipe, self.processes.world
        self._network.train()
        sizes = [len(one) for one in shuffled_batches(len(self.data.train), recipe.batch_size, recipe.seed, number)]
        shares = shuffled_batches(
            len(self.data.train), recipe.batch_size, recipe.seed, number, self.processes.rank, world
        )
        inputs = Inputs(self.data.train, transform_of(recipe.transform, recipe.resolution, True), recipe.seed, number)
        # Sum of losses, right answers, images: of this process, on the device, so that no step waits for the sums.
        sums = torch.zeros(3, dtype=torch.float64, device=self.device)
        total = right = done = 0.0
        look_every = 1 if self._on.is_host and world == 1 else CHECK_EVERY
        for step, (images, labels) in enumerate(self._loaded(inputs, shares), start=1):
            sums += self.step(images, labels, world / sizes[step - 1])
            if step % look_every == 0 or step == len(shares):
                total, right, done = self.processes.total(sums).tolist()
                if not math.isfinite(total):  # the same in all processes, so that all stop
                    raise TrainError(self._diverged(total, f"epoch {number}, step {step}"))
                on_step(Step(int(done), total / done, right / done))
        return total / done, right / done, int(done)

    def _diverged(self, loss: float, where: str) -> str:
        return f"the loss is {loss} in {where}: try a lower --learning-rate than {self.recipe.learning_rate:g}"

    def _others_work(self) -> float:
        """CPU seconds of everything but this training so far, where all of its processes are on one machine."""
        own = torch.tensor([own_work()], dtype=torch.float64, device=self.device)
        return machine_work() - float(self.processes.total(own))

    def step(self, images: torch.Tensor, labels: torch.Tensor, scale: float) -> torch.Tensor:
        """One step on this process's share of a batch: the sum of its losses, its right answers, its images.

        Its gradients are those of `scale` times the sum of its losses.
        """
        with self._precision():
            logits = self._network(images)
            loss = self._loss(images, logits, labels)
        self.scaler.scale(loss * scale).backward()  # type: ignore[no-untyped-call]
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        before, self._scale = self._scale, self.scaler.get_scale()  # which waits for the device: once a step
        if self._scale >= before:  # otherwise fp16 overflowed, and the optimizer has left this step out
            self.scheduler.step()
        right = (logits.detach().argmax(1) == labels).sum()
        return torch.stack([loss.detach().double(), right.double(), torch.full_like(right, len(labels)).double()])

    def _loss(self, images: torch.Tensor, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        if self._teacher is None:
            return nn.functional.cross_entropy(logits, labels, reduction="sum")
        with torch.no_grad():
            opinion = self._teacher(images)
        return distillation_loss(logits, opinion, labels, self.recipe.distill_weight, self.recipe.temperature)

    @torch.inference_mode()
    def test(self) -> Row:
        """Loss and accuracy on the test images, with the accuracy's 95 % interval (Wilson's)."""
        self.model.eval()
        classes = len(self.data.classes)
        confusion = torch.zeros(classes, classes, dtype=torch.long, device=self.device)
        loss = torch.zeros(1, dtype=torch.float64, device=self.device)
        for images, labels in self._loaded(self._test_inputs(), self._test_batches()):
            with self._precision():
                logits = self.model(images)
            loss += nn.functional.cross_entropy(logits.float(), labels, reduction="sum").double()
            confusion += torch.bincount(labels * classes + logits.argmax(1), minlength=classes**2).view(classes, -1)
        self.confusion = self.processes.total(confusion).cpu()
        right, images_ = int(self.confusion.diagonal().sum()), int(self.confusion.sum())
        interval = stats.binomtest(right, images_).proportion_ci(0.95, "wilson")
        return {
            "test_loss": float(self.processes.total(loss)) / images_,
            "test_accuracy": right / images_,
            "test_accuracy_low": float(interval.low),
            "test_accuracy_high": float(interval.high),
        }

    @torch.inference_mode()
    def predict(self, number: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Some test images as the network sees them `(n, 3, D, D)`, their labels, and what it takes them for."""
        self.model.eval()
        images, labels = next(iter(self._loaded(self._test_inputs(), [spread(len(self.data.test), number)])))
        with self._precision():
            taken = self.model(images).argmax(1)
        return images.cpu(), labels.cpu(), taken.cpu()

    def _test_inputs(self) -> Inputs:
        return Inputs(self.data.test, transform_of(self.recipe.transform, self.recipe.resolution, False), 0, 0)

    def _test_batches(self) -> list[list[int]]:
        size = max(self.recipe.batch_size, 64)
        return ordered_batches(len(self.data.test), size, self.processes.rank, self.processes.world)

    def _loaded(self, inputs: Inputs, batches: list[list[int]]) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        away = not self._on.is_host
        loader = DataLoader(inputs, batch_sampler=batches, num_workers=self.workers, pin_memory=away)
        for images, labels in loader:
            yield (
                images.to(self.device, memory_format=self._format, non_blocking=away),
                labels.to(self.device, non_blocking=away),
            )

    def _precision(self) -> AbstractContextManager[object]:
        return torch.autocast(self.device.type, amp_dtype(self.device.type)) if self.recipe.amp else nullcontext()

    def _peak_memory(self) -> dict[str, Any]:
        """Bytes above weights, optimizer state and input at the worst moment of a step; on copies, so nothing moves."""
        if self.processes.world > 1 or self.recipe.compile:
            return {}  # a step of one process would wait for the others; what is compiled is not what is copied
        twin = copy.copy(self)
        twin.model = copy.deepcopy(self.model)
        twin._network = twin.model.train()
        twin.optimizer = OPTIMIZERS[self.recipe.optimizer](twin.model, self.recipe)
        twin.scheduler = SCHEDULES["constant"](twin.optimizer, self.recipe, 1)
        twin.scaler = copy.deepcopy(self.scaler)
        size = min(self.recipe.batch_size, len(self.data.train))
        images = torch.zeros(size, 3, self.recipe.resolution, self.recipe.resolution, device=self.device)
        images = images.to(memory_format=self._format)
        labels = torch.zeros(size, dtype=torch.long, device=self.device)

        def call() -> torch.Tensor:
            return twin.step(images, labels, 1 / size)

        call()  # makes the optimizer's state
        return dict(self._on.peak_memory(call))

    def save(self, folder: Path, about: Mapping[str, Any] | None = None) -> None:
        """Keep everything to go on with, and what is known `about` the run. Raises `TrainError`."""
        save_checkpoint(
            folder / CHECKPOINT,
            {
                "recipe": self.recipe.as_dict(),
                "about": dict(about or {}),
                **self._what_must_not_change(),
                "rows": self.rows,
                "confusion": self.confusion,
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "scheduler": self.scheduler.state_dict(),
                "scaler": self.scaler.state_dict(),
            },
        )

    def _what_must_not_change(self) -> dict[str, Any]:
        """What the rest of a run depends on beside its recipe."""
        return {
            "classes": list(self.data.classes),
            "train_images": len(self.data.train),
            "test_images": len(self.data.test),
            "steps": self._batches_an_epoch,
        }

    def load(self, folder: Path) -> dict[str, Any]:
        """Go on where the folder's checkpoint ends. Returns what it knows about the run.

        Raises `TrainError` when it is damaged, or of another recipe or other data.
        """
        path = folder / CHECKPOINT
        content = load_checkpoint(path)
        check_same_recipe(self.recipe, content["recipe"], path)
        for name, mine in self._what_must_not_change().items():
            if content.get(name) != mine:
                other = f"other {name.replace('_', ' ')} ({content.get(name)}, not {mine})"
                raise TrainError(
                    f"{path}: begun with {other}: go on with the same data and number of processes, or train into "
                    "another --out"
                )
        try:
            self.model.load_state_dict(content["model"])
            self.optimizer.load_state_dict(content["optimizer"])
            self.scheduler.load_state_dict(content["scheduler"])
            self.scaler.load_state_dict(content["scaler"])
            self._scale = self.scaler.get_scale()
            self.rows, self.confusion = content["rows"], content["confusion"]
            return dict(content["about"])
        except (RuntimeError, KeyError, ValueError, TypeError, AttributeError) as error:
            raise TrainError(f"{path}: does not fit ({str(error).splitlines()[0]}); restore or delete it") from None


def check_same_recipe(recipe: Recipe, stored: Mapping[str, Any], path: Path) -> None:
    """Raises `TrainError` when a checkpoint was begun with another recipe."""
    mine = recipe.as_dict()
    changed = [name for name in mine if stored.get(name, mine[name]) != mine[name]]
    if changed:
        name = changed[0]
        raise TrainError(
            f"{path}: begun with --{name.replace('_', '-')} {stored[name]}, not {mine[name]}: go on with the same "
            "options, or train into another --out"
        )
