"""What is run: what a workload is asked for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from mnv1.base.facts import LATENCY, SPEEDUP
from mnv1.net.architecture import IMAGE_CHANNELS

if TYPE_CHECKING:
    from torch import nn

    from mnv1.cases.conditions import Conditions

NUM_CLASSES = 1000


@dataclass(frozen=True)
class Effort:
    """How much time workloads of a kind are worth: profiles have a budget for each."""

    name: str
    beside_time: float
    """Seconds that a case takes beside its rounds, about."""
    beside_calls: int
    """Calls beside its rounds: the fewest rounds that run even when the budget is spent, and other passes."""


LAYER, MODEL, STEP = Effort("layer", 0.3, 11), Effort("model", 1.0, 18), Effort("training", 1.0, 18)


class Workload(ABC):
    """What is run. A frozen dataclass: equal ones are the same, and another process gets it as it is.

    `id` keys stored results, so it never changes for the same content.
    """

    kind: str
    """Which of several that could do the same: separable, standard, another package's network, …"""
    subject: ClassVar[str] = "model"
    """What tables group it under: layer or model."""
    effort: ClassVar[Effort] = MODEL
    measures: ClassVar[str] = LATENCY
    """What its latency is called in stored facts, and what its speedup over its twin is."""
    pair_measures: ClassVar[str] = SPEEDUP
    trains: ClassVar[bool] = False
    """Whether a training step is run, in place of a forward pass."""
    brings_input: ClassVar[bool] = False
    """Whether its module holds its input and is called without one; of its output then no shape is known."""
    is_profiled: ClassVar[bool] = True
    """Whether its time is told apart by operator."""

    @property
    @abstractmethod
    def shape_id(self) -> str:
        """Its size without its kind, such as `64x128-s2-d112` or `a0.50-r160`."""

    @property
    def id(self) -> str:
        """Its id, such as `model-resnet18-r224`."""
        return f"{self.subject}-{self.kind}-{self.shape_id}"

    @property
    def pair_id(self) -> str:
        """The id of it against its twin, such as `speedup-model-a1.00-r224`."""
        return f"speedup-{self.subject}-{self.shape_id}"

    @property
    @abstractmethod
    def input_shape(self) -> tuple[int, ...]:
        """Input shape without the batch dimension."""

    @property
    @abstractmethod
    def output_shape(self) -> tuple[int, ...]:
        """Output shape without the batch dimension."""

    @abstractmethod
    def columns(self) -> dict[str, object]:
        """The columns that tell it from other workloads of its kind and shape."""

    @abstractmethod
    def build(self) -> nn.Module:
        """A new module with fresh weights. torch's generator was seeded before."""

    @property
    def smallest(self) -> Workload:
        """The workload with the same weights and the smallest input: one module serves every size."""
        return self

    @property
    def emptied(self) -> Workload | None:
        """The workload of the same operators with the fewest channels and pixels, or None where there is none."""
        return None

    @property
    def twin(self) -> Workload | None:
        """What it is timed against in alternation, or None."""
        return None

    def counts(self, batch_size: int, element_size: int) -> Mapping[str, int] | None:
        """Closed forms of a call: `macs`, `params` and, where they are known, `min_bytes` and `memory_floor`.

        None where the module has to be counted when it is measured.
        """
        return None

    @abstractmethod
    def expected_macs(self, batch_size: int) -> float:
        """About how many multiply-accumulates a call needs: for planning alone."""

    def why_not_here(self) -> str | None:
        """Why it cannot be built with what is installed here, in a line that says what to do, or None."""
        return None

    def why_not_under(self, conditions: Conditions) -> str | None:
        """Why it cannot be run under some conditions, in a line that says what to do, or None."""
        return None

    def exists_under(self, conditions: Conditions) -> bool:
        """Whether there is such a case on any machine."""
        return True


class Classifier(Workload):
    """A network that tells `NUM_CLASSES` kinds of square images apart: `resolution` is their side in pixels."""

    resolution: int

    @property
    def input_shape(self) -> tuple[int, ...]:
        """See `Workload.input_shape`."""
        return (IMAGE_CHANNELS, self.resolution, self.resolution)

    @property
    def output_shape(self) -> tuple[int, ...]:
        """See `Workload.output_shape`."""
        return (NUM_CLASSES,)


def alpha_id(alpha: float) -> str:
    """A width multiplier in an id: `a0.50`."""
    return f"a{alpha:.2f}" if round(alpha, 2) == alpha else f"a{alpha!r}"
