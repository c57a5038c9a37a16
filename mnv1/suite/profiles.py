"""Which cases run: the profiles, the selection of their cases, and its shards.

Needs no torch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from mnv1.cases.case import BLOCK_KINDS, OWN_KINDS, Block, Case, Device, Pair, Precision, Reference, Training, Workload
from mnv1.cases.grids import CaseError, Grid, Overrides, cases_of, pairs_of
from mnv1.measure.timing import Policy
from mnv1.net.counts import count, training_macs

PAIR_VISIT_TIME = 0.08
"""Seconds of rounds in one visit to a speedup. Rounds within a second or so are alike on a shared machine, so many
short visits tell more than few long ones: of 50 visits over 7 minutes the means varied by 1.2 to 1.6 %, of 8 visits of
five times that length by 3 to 5 %."""


@dataclass(frozen=True)
class Profile:
    """Which cases run, and how long they may be sampled, in seconds.

    `layer_time`, `model_time` and `training_time` are the budgets of a latency; `layer_pair_time`, `model_pair_time`
    and `training_pair_time` those of a speedup, which is sampled in many short visits spread over the sweep: at least
    `min_visits`. Once the sweep took `sweep_time`, speedups get no more visits than that.
    """

    layers: tuple[Grid, ...]
    models: tuple[Grid, ...]
    layer_pairs: tuple[Grid, ...]
    model_pairs: tuple[Grid, ...]
    layer_time: float
    model_time: float
    layer_pair_time: float
    model_pair_time: float
    min_visits: int
    sweep_time: float
    half_width: float = 0.02
    """Sampling stops when the 95 % interval is within plus or minus this share of the figure."""
    trainings: tuple[Grid, ...] = ()
    training_pairs: tuple[Grid, ...] = ()
    training_time: float = 0.4
    training_pair_time: float = 40.0

    def policy_for(self, case: Case | Pair) -> Policy:
        """How a case is sampled."""
        if isinstance(case, Pair):
            _, budget = self._budgets(case.separable.workload)
            return Policy(PAIR_VISIT_TIME, budget, min_visits=self.min_visits, precision=self.half_width)
        budget, _ = self._budgets(case.workload)
        return Policy(budget, max_time=3 * budget, precision=self.half_width)

    def _budgets(self, workload: Workload) -> tuple[float, float]:
        """Seconds of a latency and of a speedup."""
        if isinstance(workload, Block):
            return self.layer_time, self.layer_pair_time
        if isinstance(workload, Training):
            return self.training_time, self.training_pair_time
        return self.model_time, self.model_pair_time

    def expected_seconds(self, case: Case | Pair) -> float:
        """A guess of how long a case takes in all: only the proportions matter, and that every machine agrees."""
        policy = self.policy_for(case)
        if isinstance(case, Pair):
            # Two calls a side in each visit, at some 100 G MACs/s.
            fewest = 2 * self.min_visits * sum(_macs(one) for one in (case.standard, case.separable)) / 1e11
            return 0.1 + max(policy.max_time, fewest)
        # The fewest rounds that run even when the budget is spent, and the passes beside them.
        beside, calls = (0.3, 11) if isinstance(case.workload, Block) else (1.0, 18)
        return beside + max(0.6 * policy.visit_time, calls * _macs(case) / 1e11)

    def expected_shares(self, cases: Sequence[Case | Pair]) -> dict[str, float]:
        """Expected seconds of each case by its id, where all of them together keep to the sweep's time."""
        expected = {case.id: self.expected_seconds(case) for case in cases}
        pairs = [case.id for case in cases if isinstance(case, Pair)]
        of_pairs = sum(expected[name] for name in pairs)
        left = max(self.sweep_time - (sum(expected.values()) - of_pairs), 0.1 * of_pairs)
        return expected | {name: expected[name] * min(1.0, left / of_pairs) for name in pairs}


@cache
def _macs(case: Case) -> float:
    if isinstance(case.workload, Reference):
        return case.conditions.batch_size * case.workload.expected_macs
    if isinstance(case.workload, Training):
        return training_macs(case.workload.layers, case.conditions.batch_size)
    return count(case.workload.layers, case.conditions.batch_size).macs


@dataclass(frozen=True)
class Cases:
    """The cases of one run, in the order in which they are measured."""

    layers: tuple[Case, ...]
    models: tuple[Case, ...]
    pairs: tuple[Pair, ...]
    trainings: tuple[Case, ...] = ()
    training_pairs: tuple[Pair, ...] = ()


ALPHAS = (1.0, 0.75, 0.5, 0.25)
RESOLUTIONS = (224, 192, 160, 128)
STANDARD_AND_SEPARABLE = ("standard", "separable")

# Batch 1 is latency, 8 a small server batch; the throughput batch is where images/s no longer grows much.
SMALL_BATCHES: dict[Device, tuple[int, ...]] = {"cpu": (1, 8), "cuda": (1, 8, 256)}
ALL_BATCHES: dict[Device, tuple[int, ...]] = {"cpu": (1, 8, 32), "cuda": (1, 8, 32, 256)}
THROUGHPUT_BATCH: dict[Device, tuple[int, ...]] = {"cpu": (32,), "cuda": (256,)}
ONE_IMAGE: dict[Device, tuple[int, ...]] = {"cpu": (1,), "cuda": (1,)}

_PLAIN: tuple[Precision, ...] = ("fp32", "tf32")

_ALL_SHAPES = Grid(BLOCK_KINDS, (1.0,), (224,), SMALL_BATCHES, _PLAIN)
_ALPHA_SWEEP = Grid(STANDARD_AND_SEPARABLE, ALPHAS, (224,), SMALL_BATCHES, _PLAIN)
_RESOLUTION_SWEEP = replace(_ALPHA_SWEEP, alphas=(1.0,), resolutions=RESOLUTIONS)
_FULL_SIZE = replace(_ALPHA_SWEEP, alphas=(1.0,), batch_sizes=THROUGHPUT_BATCH)
_ALL_VARIANTS = Grid(("separable",), ALPHAS, RESOLUTIONS, ONE_IMAGE, _PLAIN)


def _amp(grid: Grid, device: Device, **changes: Any) -> Grid:
    return replace(grid, precisions=("amp",), devices=(device,), **changes)


# Twice the cases would leave each half the time, so on the CPU autocast gets those that show most of it.
_AMP_SHAPES = (
    _amp(_ALL_SHAPES, "cpu", kinds=STANDARD_AND_SEPARABLE, batch_sizes={"cpu": (8,)}),
    _amp(_ALL_SHAPES, "cuda"),
)
_AMP_FULL_SIZE = _amp(_FULL_SIZE, "cpu", batch_sizes={"cpu": ALL_BATCHES["cpu"]})
_SWEEPS = (_ALPHA_SWEEP, _RESOLUTION_SWEEP, _FULL_SIZE)
_AMP_ON_CUDA = tuple(_amp(grid, "cuda") for grid in _SWEEPS)

# An early block, where activations are most of the traffic, and a late one, where weights are.
_SMOKE_SHAPES = Grid(BLOCK_KINDS, (1.0,), (224,), ONE_IMAGE, shapes=("64x128-s2-d112", "512x512-s1-d14"))
_SMOKE_MODELS = Grid(STANDARD_AND_SEPARABLE, (0.25,), (128,), ONE_IMAGE)
_EVERYTHING = Grid(OWN_KINDS, ALPHAS, RESOLUTIONS, ALL_BATCHES)

# A step takes about four times as long as a forward pass, and of the twin at batch 32 some five seconds. One pair, with
# phases and memory of its sides, would take a tenth of the default profile's time, whose dearest speedups get hardly
# more than the fewest visits as it is. So training has a profile of its own. Claims are about α 1 at 224 px and batch
# 32; narrower networks at batch 32 would take two minutes to tell what batch 8 tells. Batch 1 shows what a step costs
# besides images. On CUDA batch 256 fills the device.
_TRAINING_BATCHES: dict[Device, tuple[int, ...]] = {"cpu": (1, 8, 32), "cuda": (32, 256)}
_TRAINING = (
    Grid(STANDARD_AND_SEPARABLE, (1.0,), (224,), _TRAINING_BATCHES),
    Grid(STANDARD_AND_SEPARABLE, (0.5, 0.25), (224,), _TRAINING_BATCHES | {"cpu": (1, 8)}),
)
# Enough to see that a step trains and that its figures are there, in two seconds.
_SMOKE_TRAINING = Grid(("separable",), (0.25,), (128,), {"cpu": (2,), "cuda": (2,)}, ("fp32",))

PROFILES: dict[str, Profile] = {
    "smoke": Profile(
        layers=(_SMOKE_SHAPES,),
        models=(_SMOKE_MODELS,),
        layer_pairs=(replace(_SMOKE_SHAPES, kinds=STANDARD_AND_SEPARABLE),),
        model_pairs=(_SMOKE_MODELS,),
        layer_time=0.2,
        model_time=0.3,
        layer_pair_time=0.8,
        model_pair_time=1.2,
        min_visits=4,
        sweep_time=25.0,
        trainings=(_SMOKE_TRAINING,),
        training_pairs=(replace(_SMOKE_TRAINING, kinds=STANDARD_AND_SEPARABLE),),
        training_time=0.2,
        training_pair_time=1.2,
    ),
    "default": Profile(
        layers=(_ALL_SHAPES, *_AMP_SHAPES),
        models=(*_SWEEPS, _ALL_VARIANTS, _amp(_ALPHA_SWEEP, "cpu"), _AMP_FULL_SIZE, *_AMP_ON_CUDA),
        layer_pairs=(_ALL_SHAPES, _amp(_ALL_SHAPES, "cuda")),
        model_pairs=(*_SWEEPS, _AMP_FULL_SIZE, *_AMP_ON_CUDA),
        layer_time=0.2,
        model_time=0.4,
        layer_pair_time=8.0,
        model_pair_time=40.0,
        min_visits=6,
        sweep_time=555.0,
    ),
    "full": Profile(
        layers=(_EVERYTHING,),
        models=(_EVERYTHING,),
        layer_pairs=(_EVERYTHING,),
        model_pairs=(_EVERYTHING,),
        layer_time=1.0,
        model_time=3.0,
        layer_pair_time=8.0,
        model_pair_time=40.0,
        min_visits=10,
        sweep_time=math.inf,
        trainings=(_EVERYTHING,),
        training_pairs=(_EVERYTHING,),
        training_time=3.0,
        training_pair_time=40.0,
    ),
    "training": Profile(
        layers=(),
        models=(),
        layer_pairs=(),
        model_pairs=(),
        layer_time=0.2,
        model_time=0.4,
        layer_pair_time=8.0,
        model_pair_time=40.0,
        min_visits=6,
        sweep_time=620.0,
        trainings=_TRAINING,
        training_pairs=_TRAINING,
        training_time=1.0,
        training_pair_time=60.0,
    ),
}


def select(profile: str, overrides: Overrides | None = None) -> Cases:
    """The cases of a profile, with overridden axes; each case once, however many grids name it.

    Raises `CaseError` when the profile is unknown or nothing is left to measure.
    """
    if profile not in PROFILES:
        raise CaseError(f"unknown profile {profile!r}: choose one of {', '.join(PROFILES)}")
    chosen = PROFILES[profile]
    overrides = overrides or Overrides()
    selected = Cases(
        layers=cases_of(chosen.layers, Grid.blocks, overrides),
        models=cases_of(chosen.models, Grid.networks, overrides),
        pairs=pairs_of(chosen.layer_pairs, Grid.blocks, overrides)
        + pairs_of(chosen.model_pairs, Grid.networks, overrides),
        trainings=cases_of(chosen.trainings, Grid.trainings, overrides),
        training_pairs=pairs_of(chosen.training_pairs, Grid.trainings, overrides),
    )
    if not any((selected.layers, selected.models, selected.pairs, selected.trainings, selected.training_pairs)):
        raise CaseError(
            "the chosen axes leave no case to measure (tf32 exists on cuda only, int8 on the cpu in compiled modes)"
        )
    return selected


def shard(cases: Iterable[Case | Pair], number: int, shards: int, profile: Profile) -> frozenset[str]:
    """Ids of the cases in one of several shards of about the same expected cost.

    The same cases always fall into the same shards, on any machine: the dearest case goes to the cheapest shard so
    far, for each device by itself, because another machine may have no GPU and skip those.
    """
    spent: dict[tuple[str, int], float] = {}
    chosen = set()
    for case in sorted(cases, key=lambda one: (-profile.expected_seconds(one), one.id)):
        device = case.conditions.device
        cheapest = min(range(1, shards + 1), key=lambda one: (spent.get((device, one), 0.0), one))
        spent[device, cheapest] = spent.get((device, cheapest), 0.0) + profile.expected_seconds(case)
        if cheapest == number:
            chosen.add(case.id)
    return frozenset(chosen)
