"""What a training run is, as data: everything that its result depends on. Needs no torch."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from mnv1.base.errors import UserError
from mnv1.net.architecture import MIN_SIDE, Between

DataName = Literal["cifar10", "fashion-mnist", "folder", "synthetic"]
Transform = Literal["article", "crop"]
BlockName = Literal["separable", "standard"]
OptimizerName = Literal["adam", "adamw", "sgd", "rmsprop"]
ScheduleName = Literal["constant", "cosine", "one-cycle"]

DATA: tuple[DataName, ...] = get_args(DataName)
TRANSFORMS: tuple[Transform, ...] = get_args(Transform)
ALL = ("all",)
"""Stands for every convolution that can be replaced."""

BETWEEN: tuple[Between, ...] = get_args(Between)
BLOCKS: tuple[BlockName, ...] = get_args(BlockName)
OPTIMIZERS: tuple[OptimizerName, ...] = get_args(OptimizerName)
SCHEDULES: tuple[ScheduleName, ...] = get_args(ScheduleName)


class TrainError(UserError):
    """Training cannot begin, go on or be continued."""


@dataclass(frozen=True)
class Recipe:
    """What a training run's result depends on. The defaults are the article's: Adam, 1e-3, batch 32, 10 epochs, 224 px.

    Raises `TrainError` for a value that cannot be.
    """

    data: DataName = "cifar10"
    transform: Transform = "article"
    """`article`: resize to the resolution; `crop`: resize to 1.14 times that, and take the centre."""
    alpha: float = 1.0
    resolution: int = 224
    block: BlockName = "separable"
    network: str | None = None
    """Another classifier in MobileNetV1's place: `package.module:callable` or `FILE.py:callable`."""
    replace: tuple[str, ...] | None = None
    """Which of its convolutions are depthwise-separable: their names, or `all` alone; none when None."""
    between: Between = "bn-relu"
    """What stands between the depthwise and the 1×1 convolution of those."""
    epochs: int = 10
    batch_size: int = 32
    """Images of one step, of all processes together."""
    optimizer: OptimizerName = "adam"
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    schedule: ScheduleName = "constant"
    amp: bool = False
    """Autocast: bf16 on the CPU, fp16 with a scaled loss on CUDA."""
    channels_last: bool = False
    compile: bool = False
    seed: int = 0
    start: str | None = None
    """Weights to begin with: the path of a checkpoint or of any weights that are known; those of the seed when None."""
    start_key: str | None = None
    """Which weights, where that file holds several."""
    widths: tuple[int, ...] | None = None
    """Channels of the stem and of each block of a network that was pruned before; those of `alpha` when None."""
    semantics: dict[str, Any] | None = None
    """What the weights of another implementation mean (`mnv1.net.semantics`); the paper's when None."""
    qat: bool = False
    """Train with the rounding of int8."""
    limit_train: int | None = None
    """Only so many images for training; all when None."""
    limit_test: int | None = None
    teacher: str | None = None
    """What is distilled: a checkpoint's path, `torchvision:NAME` or `timm:NAME`."""
    teacher_weights: str | None = None
    distill_weight: float = 0.3
    temperature: float = 4.0

    def __post_init__(self) -> None:
        for name, valid in _CHOICES.items():
            value = getattr(self, name)
            if value not in valid:
                raise TrainError(f"--{_option(name)}: unknown value {value!r}; valid values: {', '.join(valid)}")
        for name, (lowest, text) in _LOWEST.items():
            value = getattr(self, name)
            if value is not None and not lowest <= value < float("inf"):
                raise TrainError(f"--{_option(name)}: {value!r} is not valid; valid values: {text}")
        if not 0 <= self.distill_weight <= 1:
            raise TrainError(f"--distill-weight: {self.distill_weight!r} is not valid; valid values: from 0 to 1")
        if self.batch_size < 2:
            raise TrainError("--batch-size: BatchNorm needs at least 2 images in training")
        if self.teacher_weights and not self.teacher:
            raise TrainError("--teacher-weights: names weights of a teacher, but there is no --teacher")
        if self.start_key and not self.start:
            raise TrainError("--start-key: names weights in a file, but there is no --start")
        if self.replace and not self.network:
            raise TrainError("--replace: names convolutions of a network, but there is no --network")
        if self.network and (self.qat or self.alpha != 1 or self.block != "separable"):
            name = "qat" if self.qat else "alpha" if self.alpha != 1 else "block"
            raise TrainError(f"--{name}: is of MobileNetV1; leave it out with --network")
        if self.qat and (self.amp or self.compile):
            raise TrainError(f"--qat: rounding is learnt in fp32; leave --{'amp' if self.amp else 'compile'} out")

    @property
    def id(self) -> str:
        """A name for the run's folder, such as `cifar10-separable-a1.00-r224-s0`."""
        network = f"{self.block}-a{self.alpha:.2f}"
        if self.network:
            network = re.sub(r"\W+", "_", self.network)
            if self.replace:
                some = "" if self.replace == ALL else f"{zlib.crc32(repr(self.replace).encode()):08x}"
                network += f"-separable{some}" + ("-plain" if self.between == "none" else "")
        marks = {"-pruned": self.widths, "-tuned": self.start, "-qat": self.qat, "-distilled": self.teacher}
        marked = "".join(mark for mark, is_so in marks.items() if is_so)
        return f"{self.data}-{network}-r{self.resolution}{marked}-s{self.seed}"

    @property
    def what(self) -> str:
        """The network in words, such as `separable, α 0.5`."""
        if not self.network:
            return f"{self.block}, α {self.alpha:g}"
        if not self.replace:
            return self.network
        return f"{self.network}, {'all' if self.replace == ALL else len(self.replace)} convolutions separable"

    def as_dict(self) -> dict[str, Any]:
        """The recipe as plain values, for a file."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Recipe:
        """The recipe of a file. Raises `TrainError` when it is none of this version."""
        names = {field.name for field in fields(cls)}
        unknown = sorted(set(values) - names)
        if unknown:
            raise TrainError(f"a recipe with unknown settings ({', '.join(unknown)}): use the version that wrote it")
        try:
            known: dict[str, Any] = {name: tuple(one) if isinstance(one, list) else one for name, one in values.items()}
            return cls(**known)
        except TypeError as error:
            raise TrainError(f"a damaged recipe ({error})") from None


_CHOICES: dict[str, tuple[str, ...]] = {
    "data": DATA,
    "transform": TRANSFORMS,
    "block": BLOCKS,
    "between": BETWEEN,
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
}

_TINY = 1e-12
_LOWEST: dict[str, tuple[float, str]] = {
    "alpha": (_TINY, "positive numbers such as 0.5"),
    "resolution": (MIN_SIDE, f"whole numbers from {MIN_SIDE} up"),
    "epochs": (1, "whole numbers from 1 up"),
    "batch_size": (1, "whole numbers from 2 up"),
    "learning_rate": (_TINY, "positive numbers"),
    "weight_decay": (0, "numbers from 0 up"),
    "seed": (0, "whole numbers from 0 up"),
    "limit_train": (2, "whole numbers from 2 up"),
    "limit_test": (1, "whole numbers from 1 up"),
    "temperature": (_TINY, "positive numbers"),
}


def _option(name: str) -> str:
    return name.replace("_", "-")
