"""Cases and pairs: workloads under conditions, with their stable ids."""

from __future__ import annotations

from dataclasses import dataclass

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


@dataclass(frozen=True)
class Pair:
    """A workload and its twin under the same conditions, the standard one first: their speedup is measured."""

    standard: Case
    separable: Case

    @property
    def id(self) -> str:
        """The pair's id, such as `speedup-model-a1.00-r224-b8-cpu-fp32`."""
        return f"{self.workload.pair_id}-{self.conditions.id}"

    @property
    def workload(self) -> Workload:
        """The workload whose speedup over its twin it is."""
        return self.separable.workload

    @property
    def conditions(self) -> Conditions:
        """What both sides are measured under."""
        return self.separable.conditions

    @property
    def sides(self) -> tuple[Case, ...]:
        """What is run for it: both, in turns."""
        return (self.standard, self.separable)
