"""How much a comparison measures."""

from __future__ import annotations

from dataclasses import dataclass

CONTROLS = ("python", "gemm", "copy")
"""Work without code under test: a loop in Python, a matrix product, a copy beyond the caches."""


@dataclass(frozen=True)
class Plan:
    """How often and how long is measured. Times are in seconds."""

    sample_time: float = 0.005
    """Calls of one sample take about this long on base. What disturbs a machine lasts longer, and so meets both sides:
    samples of 30 ms scattered twice as much in the same time."""
    pair_time: float = 4.0
    """A pair of processes is measured about this long, its start apart; all cases share it. More pairs tell more than
    longer ones: most of the scatter is between processes, by 1 to 3 % of the same code."""
    least_case_time: float = 0.25
    most_case_time: float = 1.0
    """What a case gets of that, at least and at most."""
    control_time: float = 0.15
    """What a control gets."""
    fewest_blocks: int = 4
    """Blocks of A B B A for each case in each pair, however long its calls are."""
    patience: float = 140.0
    """After this, an undecided case is measured on only if it looks slower."""
    time: float = 565.0
    """No pair is begun that would take the run beyond this, once all cases have had their first look."""

    def case_time(self, cases: int) -> float:
        """Seconds for each of so many cases in a pair of processes."""
        return min(max(self.pair_time / cases, self.least_case_time), self.most_case_time)

    def blocks(self, case_time: float, sample_time: float) -> int:
        """Blocks of four samples, each so long, that take as much time."""
        return max(self.fewest_blocks, round(case_time / (4 * sample_time)))


QUICK_PLAN = Plan(patience=80.0, time=165.0)
