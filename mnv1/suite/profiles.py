"""Which cases run: the profiles, the selection of their cases, and its shards.

Needs no torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from operator import attrgetter
from typing import Any

from mnv1.base.run_to_run import USUAL, RunToRun
from mnv1.cases import OWN_KINDS, Case, Gain, Pair, Workload
from mnv1.cases.devices import Device
from mnv1.cases.grids import CaseError, Grid, Overrides, cases_of, gains_of, pairs_of
from mnv1.cases.workloads import BLOCK_TYPES
from mnv1.cases.workloads.convolutions import KINDS as LAYER_KINDS
from mnv1.cases.workloads.convolutions import Convolution
from mnv1.cases.workloads.workload import LAYER
from mnv1.measure.timing import Policy

PAIR_VISIT_TIME = 0.16
"""Seconds of rounds in one visit to a speedup. Rounds within a second or so are alike on a shared machine, so many
short visits tell more than few long ones: of 50 visits over 7 minutes the means varied by 1.2 to 1.6 %, of 8 visits of
five times that length by 3 to 5 %."""

COLD_VISIT_TIME = 0.15
"""Seconds of a visit at least where caches are emptied before each call: that takes some 10 ms."""


@dataclass(frozen=True)
class Budget:
    """Seconds of rounds in a visit to a latency of some effort, and seconds that it, or a speedup, may take in all."""

    visit: float
    latency: float
    pair: float


@dataclass(frozen=True)
class Profile:
    """Which cases run, and how long they may be sampled, in seconds.

    `budgets` says how long a workload of each effort is sampled, in many short visits spread over the sweep: each case
    at least `min_visits` times. Once the sweep took `sweep_time`, there are no more visits than that.
    """

    layers: tuple[Grid, ...]
    models: tuple[Grid, ...]
    layer_pairs: tuple[Grid, ...]
    model_pairs: tuple[Grid, ...]
    budgets: Mapping[str, Budget]
    sweep_time: float
    min_visits: int = 4
    half_width: float = 0.02
    """Sampling stops when the 95 % intervals are within plus or minus this share of the figure."""
    run_to_run: RunToRun = USUAL
    """What figures differ by between runs of this machine: every stored interval has it as a component."""
    cold: bool = False
    """Whether caches are emptied before every call."""
    trainings: tuple[Grid, ...] = ()
    training_pairs: tuple[Grid, ...] = ()
    gains: tuple[Grid, ...] = ()
    """Networks in modes that are timed against plain eager code."""
    pair_weight: float = 3.0
    """Visits to a speedup for one to a latency, or to what a mode gains, of the same cost."""

    def policy_for(self, case: Case | Pair) -> Policy:
        """How a case is sampled."""
        budget = self.budgets[case.workload.effort.name]
        is_pair = isinstance(case, Pair)
        cold: dict[str, Any] = {"cold": True, "round_time": 0.0, "block_time": 0.0} if self.cold else {}
        usual = PAIR_VISIT_TIME if is_pair else budget.visit
        return Policy(
            **cold,
            visit_time=max(COLD_VISIT_TIME, usual) if self.cold else usual,
            max_time=budget.pair if is_pair else budget.latency,
            min_visits=self.min_visits,
            precision=self.half_width,
            run_to_run=self.run_to_run,
        )

    def weight_of(self, case: Case | Pair) -> float:
        """How often a case is visited, in comparison with others of the same cost."""
        return self.pair_weight if isinstance(case, Pair) and case.answers else 1.0

    def first(self, cases: Sequence[Case | Pair]) -> frozenset[str]:
        """Ids of the speedups that answer the suite's question: of the largest networks, or else of the largest blocks.

        Of training steps too.
        """
        pairs = [case for case in cases if isinstance(case, Pair) and case.answers]
        networks = [case for case in pairs if case.workload.effort is not LAYER] or pairs
        macs: dict[str, float] = {}
        for case in networks:
            effort = case.workload.effort.name
            macs[effort] = max(macs.get(effort, 0.0), case.workload.expected_macs(1))
        return frozenset(
            case.id for case in networks if case.workload.expected_macs(1) == macs[case.workload.effort.name]
        )

    def explained(self, cases: Sequence[Case | Pair]) -> dict[str, Case]:
        """What is looked at after the sweep to tell why figures are what they are: by the ids of their cases.

        Both sides of blocks first, whose rows say what ran; then the largest networks in any mode; then all other
        blocks; then, on accelerators, all other networks. Of each the cheapest first.
        """
        cases = [case for case in cases if case.conditions.how.leaves_trace]
        networks = [case for case in cases if isinstance(case, Case) and case.workload.is_profiled]
        most = max((case.workload.expected_macs(1) for case in networks), default=0.0)
        shapes = {case.workload.shape_id for case in networks if case.workload.expected_macs(1) == most}
        found = {case.id: case for case in networks if case.workload.shape_id in shapes}
        found |= {case.id: case.separable for case in cases if isinstance(case, Gain)}
        blocks = {case.id: case for case in cases if isinstance(case, Case) and case.workload.effort is LAYER}
        # On an accelerator a small network waits for the host: how long the device works is the figure to look at.
        swept = {case.id: case for case in networks if case.conditions.is_plain and not case.conditions.on.is_host}
        sides = {name: case for name, case in blocks.items() if case.workload.kind in STANDARD_AND_SEPARABLE}
        return {
            name: case
            for some in (sides, found, blocks, swept)
            for name, case in sorted(some.items(), key=lambda one: _cost(one[1]))
        }

    def expected_seconds(self, case: Case | Pair) -> float:
        """A guess of how long a case takes in all: only the proportions matter, and that every machine agrees."""
        policy = self.policy_for(case)
        # Two rounds of each visit; a round of long calls is one of each side.
        rate = case.conditions.on.usual_rate
        fewest = policy.min_rounds * sum(map(_macs, case.sides)) / rate
        spent = 0.1 + max(SPENT * self.weight_of(case) * policy.visit_time, fewest)
        if isinstance(case, Pair):
            return spent
        effort = case.workload.effort
        return spent + effort.beside_time + effort.beside_calls * _macs(case) / rate


SPENT = 16
"""Visits to a latency in a sweep, about."""


def _cost(case: Case | Pair) -> float:
    return sum(map(_macs, case.sides))


@cache
def _macs(case: Case) -> float:
    return case.workload.expected_macs(case.conditions.batch_size)


@dataclass(frozen=True)
class Cases:
    """The cases of one run, in the order in which they are measured."""

    layers: tuple[Case, ...]
    models: tuple[Case, ...]
    pairs: tuple[Pair, ...]
    trainings: tuple[Case, ...] = ()
    training_pairs: tuple[Pair, ...] = ()
    gains: tuple[Gain, ...] = ()


ALPHAS = (1.0, 0.75, 0.5, 0.25)
RESOLUTIONS = (224, 192, 160, 128)
STANDARD_AND_SEPARABLE = ("standard", "separable")

Sizes = Callable[[Device], tuple[int, ...]]


def _sizes(*sizes: int) -> Sizes:
    """The same batch sizes on every device."""
    return lambda _: sizes


_small, _every, _throughput, _training, _narrow_training = (
    attrgetter(f"batches.{name}") for name in ("small", "every", "throughput", "training", "narrow_training")
)

_PLAIN = ("fp32", "tf32")

_ALL_SHAPES = Grid(tuple(BLOCK_TYPES), (1.0,), (224,), _small, _PLAIN)
_ALPHA_SWEEP = Grid(STANDARD_AND_SEPARABLE, ALPHAS, (224,), _small, _PLAIN)
_RESOLUTION_SWEEP = replace(_ALPHA_SWEEP, alphas=(1.0,), resolutions=RESOLUTIONS)
_FULL_SIZE = replace(_ALPHA_SWEEP, alphas=(1.0,), batch_sizes=_throughput)
_ALL_VARIANTS = Grid(("separable",), ALPHAS, RESOLUTIONS, _sizes(1), _PLAIN)
# One image does not fill an accelerator: its variants differ by their time there where a batch does.
_FULL_VARIANTS = replace(_ALL_VARIANTS, batch_sizes=_throughput, of_host=False)


def _amp_on_host(grid: Grid, **changes: Any) -> Grid:
    return replace(grid, precisions=("amp",), of_host=True, **changes)


def _amp_on_accelerators(grid: Grid) -> Grid:
    return replace(grid, precisions=("amp",), of_host=False)


# Twice the cases would leave each half the time, so on the CPU autocast gets those that show most of it.
_AMP_SHAPES = (
    _amp_on_host(_ALL_SHAPES, kinds=STANDARD_AND_SEPARABLE, batch_sizes=_sizes(8)),
    _amp_on_accelerators(_ALL_SHAPES),
)
_AMP_FULL_SIZE = _amp_on_host(_FULL_SIZE, batch_sizes=_every)
_SWEEPS = (_ALPHA_SWEEP, _RESOLUTION_SWEEP, _FULL_SIZE)
_AMP_SWEEPS = tuple(map(_amp_on_accelerators, _SWEEPS))

# An early block, where activations are most of the traffic, and a late one, where weights are.
_SMOKE_SHAPES = Grid(tuple(BLOCK_TYPES), (1.0,), (224,), _sizes(1), shapes=("64x128-s2-d112", "512x512-s1-d14"))
_SMOKE_MODELS = Grid(STANDARD_AND_SEPARABLE, (0.25,), (128,), _sizes(1))
# What takes a cause of lost time away, at the sizes at which most visits are had for their time.
_CURES = ("channels_last", "folded", "folded+channels_last")
_GAINS = Grid(("separable",), (1.0,), (224,), _small, ("fp32", "amp"), of_host=True, modes=_CURES)
_EVERYTHING = Grid(OWN_KINDS, ALPHAS, RESOLUTIONS, _every)

# A step takes about four times as long as a forward pass, and of the twin at batch 32 some five seconds. One pair, with
# phases and memory of its sides, would take a tenth of the default profile's time, whose dearest speedups get hardly
# more than the fewest visits as it is. So training has a profile of its own. Claims are about α 1 at 224 px and batch
# 32; narrower networks at batch 32 would take two minutes to tell what batch 8 tells. Batch 1 shows what a step costs
# besides images. On an accelerator batch 256 fills the device.
_TRAINING = (
    Grid(STANDARD_AND_SEPARABLE, (1.0,), (224,), _training),
    Grid(STANDARD_AND_SEPARABLE, (0.5, 0.25), (224,), _narrow_training),
)
# Whether separable is faster on a GPU, and how it must run for that: the largest network, an early and a late block.
_ON_GPU = Grid(
    STANDARD_AND_SEPARABLE,
    (1.0,),
    (224,),
    _sizes(1, 8, 32, 128, 256, 512, 1024),
    ("fp32", "tf32", "amp", "bf16", "fp16"),
    of_host=False,
    modes=("eager", "cudnn-benchmark", "channels_last", "graph", "cuda-graph"),
)
_GPU_SHAPES = replace(_ON_GPU, shapes=("64x128-s2-d112", "512x512-s1-d14"))
# Latencies for what ran, in modes that leave a trace, at the ends of what fills the device.
_GPU_TRACED: dict[str, Any] = {"batch_sizes": _sizes(1, 256), "modes": ("eager", "channels_last")}
# Enough to see that a step trains and that its figures are there, in two seconds.
_SMOKE_TRAINING = Grid(("separable",), (0.25,), (128,), _sizes(2), ("fp32",))

_USUAL = {"layer": Budget(0.03, 8.0, 30.0), "model": Budget(0.06, 40.0, 90.0), "training": Budget(0.1, 40.0, 90.0)}

PROFILES: dict[str, Profile] = {
    "smoke": Profile(
        layers=(_SMOKE_SHAPES,),
        models=(_SMOKE_MODELS,),
        layer_pairs=(replace(_SMOKE_SHAPES, kinds=STANDARD_AND_SEPARABLE),),
        model_pairs=(_SMOKE_MODELS,),
        budgets=_USUAL,
        sweep_time=45.0,
        trainings=(_SMOKE_TRAINING,),
        training_pairs=(replace(_SMOKE_TRAINING, kinds=STANDARD_AND_SEPARABLE),),
    ),
    "default": Profile(
        layers=(_ALL_SHAPES, *_AMP_SHAPES),
        models=(*_SWEEPS, _ALL_VARIANTS, _FULL_VARIANTS, _amp_on_host(_ALPHA_SWEEP), _AMP_FULL_SIZE, *_AMP_SWEEPS),
        layer_pairs=(_ALL_SHAPES, _amp_on_accelerators(_ALL_SHAPES)),
        model_pairs=(*_SWEEPS, _AMP_FULL_SIZE, *_AMP_SWEEPS),
        budgets=_USUAL,
        sweep_time=455.0,
        gains=(_GAINS,),
    ),
    "full": Profile(
        layers=(_EVERYTHING,),
        models=(_EVERYTHING,),
        layer_pairs=(_EVERYTHING,),
        model_pairs=(_EVERYTHING,),
        budgets={
            "layer": Budget(0.05, 8.0, 30.0),
            "model": Budget(0.1, 40.0, 90.0),
            "training": Budget(0.1, 60.0, 120.0),
        },
        min_visits=6,
        sweep_time=math.inf,
        trainings=(_EVERYTHING,),
        training_pairs=(_EVERYTHING,),
    ),
    "gpu": Profile(
        layers=(replace(_GPU_SHAPES, **_GPU_TRACED),),
        models=(replace(_ON_GPU, **_GPU_TRACED),),
        layer_pairs=(_GPU_SHAPES,),
        model_pairs=(_ON_GPU,),
        budgets=_USUAL,
        sweep_time=900.0,
    ),
    "training": Profile(
        layers=(),
        models=(),
        layer_pairs=(),
        model_pairs=(),
        budgets=_USUAL,
        sweep_time=620.0,
        trainings=_TRAINING,
        training_pairs=_TRAINING,
    ),
}


def select(profile: str, overrides: Overrides | None = None, own: Sequence[Workload] = ()) -> Cases:
    """The cases of a profile, with overridden axes; each case once, however many grids name it.

    Of somebody's `own` workloads instead, where there are any; convolutions in every kind. Raises `CaseError` when the
    profile is unknown or nothing is left to measure.
    """
    if profile not in PROFILES:
        raise CaseError(f"unknown profile {profile!r}: choose one of {', '.join(PROFILES)}")
    chosen = PROFILES[profile]
    overrides = overrides or Overrides()
    if own:
        return _of_own(own, overrides)
    selected = Cases(
        layers=cases_of(chosen.layers, Grid.blocks, overrides),
        models=cases_of(chosen.models, Grid.networks, overrides),
        pairs=pairs_of(chosen.layer_pairs, Grid.blocks, overrides)
        + pairs_of(chosen.model_pairs, Grid.networks, overrides),
        trainings=cases_of(chosen.trainings, Grid.trainings, overrides),
        training_pairs=pairs_of(chosen.training_pairs, Grid.trainings, overrides),
        gains=gains_of(chosen.gains, overrides),
    )
    if not any(vars(selected).values()):
        raise CaseError(
            "the chosen axes leave no case to measure (tf32 and fp16 exist on cuda only, int8 on the cpu in compiled "
            "modes)"
        )
    return selected


def _of_own(own: Sequence[Workload], overrides: Overrides) -> Cases:
    grid = overrides.apply(Grid(LAYER_KINDS, (1.0,), (224,), _small))
    cases: list[Case] = []
    for one in own:
        if one.brings_input:  # its batch is in it; other precisions than fp32 are for whoever asks
            how = replace(grid, batch_sizes=_sizes(1), precisions=overrides.precisions or _PLAIN)
            cases += [Case(one, conditions) for conditions in how.conditions()]
        elif isinstance(one, Convolution):
            kinds = [kind for kind in LAYER_KINDS if kind in grid.kinds]
            cases += [Case(replace(one, kind=kind), conditions) for kind in kinds for conditions in grid.conditions()]
    cases = list(dict.fromkeys(cases))
    if not cases:
        raise CaseError(f"the chosen axes leave no case; layers have the kinds {', '.join(LAYER_KINDS)}")
    measured = set(cases)
    pairs = [
        Pair(standard=twin, separable=case)
        for case in cases
        if case.workload.twin is not None and (twin := _twin_of(case, measured))
    ]
    layers = tuple(case for case in cases if case.workload.effort is LAYER)
    models = tuple(case for case in cases if case.workload.effort is not LAYER)
    return Cases(layers=layers, models=models, pairs=tuple(pairs))


def _twin_of(case: Case, measured: Iterable[Case]) -> Case | None:
    """The case of a workload's twin, where that is measured too."""
    twin = case.workload.twin
    found = (one for one in measured if one.conditions == case.conditions and twin and one.workload.id == twin.id)
    return next(found, None)


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
