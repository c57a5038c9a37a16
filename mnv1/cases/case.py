"""Cases and pairs: workloads under conditions, with their stable ids."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from mnv1.base.facts import GAIN
from mnv1.cases.conditions import Conditions
from mnv1.cases.workloads.workload import Workload


@dataclass(frozen=True)
class Case:
    """One workload under some conditions: latency, throughput and memory are measured."""

    workload: Workload
    conditions: Conditions

    @property
    def id(self) -> str:
        """The case's id, such as `model-separable-a1.00-r224-b8-cpu-fp32`."""
        return f"{self.workload.id}-{self.conditions.id}"

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Input shape with the batch dimension."""
        return (self.conditions.batch_size, *self.workload.input_shape)

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Output shape with the batch dimension."""
        return (self.conditions.batch_size, *self.workload.output_shape)

    @property
    def sides(self) -> tuple[Case, ...]:
        """What is run for it: itself."""
        return (self,)

    @property
    def emptied(self) -> Case | None:
        """The same operators with next to nothing to compute: what it takes is Python and dispatch. None if unknown.

        Of two images: for a single tiny one torch takes another library's convolutions.
        """
        workload = self.workload.emptied
        return None if workload is None else Case(workload, replace(self.conditions, batch_size=2))


@dataclass(frozen=True)
class Pair:
    """A workload and its twin under the same conditions, the standard one first: their speedup is measured."""

    standard: Case
    separable: Case

    answers: ClassVar[bool] = True
    """Whether it answers the suite's question."""

    @property
    def id(self) -> str:
        """The pair's id, such as `speedup-model-a1.00-r224-b8-cpu-fp32`."""
        return f"{self.workload.pair_id}-{self.conditions.id}"

    @property
    def workload(self) -> Workload:
        """The workload whose speedup over its twin it is."""
        return self.separable.workload

    @property
    def measures(self) -> str:
        """What its speedup is called in stored facts."""
        return self.workload.pair_measures

    @property
    def conditions(self) -> Conditions:
        """What both sides are measured under."""
        return self.separable.conditions

    @property
    def sides(self) -> tuple[Case, ...]:
        """What is run for it: both, in turns."""
        return (self.standard, self.separable)


@dataclass(frozen=True)
class Gain(Pair):
    """A workload in a mode (`separable`) and in plain eager code (`standard`): what the mode gains is measured."""

    answers: ClassVar[bool] = False

    @property
    def id(self) -> str:
        """Its id, such as `gain-model-separable-a1.00-r224-b8-cpu-fp32-folded`."""
        return f"gain-{self.separable.id}"

    @property
    def measures(self) -> str:
        """See `Pair.measures`."""
        return GAIN
