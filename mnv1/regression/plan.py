"""Which cases a comparison runs, and how often."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mnv1.cases import Block, Case, Conditions, Network, device_named

CONTROLS = ("python", "gemm", "copy")
"""Work without code under test: a loop in Python, a matrix product, a copy beyond the caches."""


@dataclass(frozen=True)
class Plan:
    """How much is measured. Times are in seconds."""

    first_pairs: int = 8
    """Pairs of processes for all cases."""
    second_pairs: int = 10
    """Pairs of processes for candidates."""
    blocks: int = 6
    """Blocks of A B B A for each case in each pair."""
    sample_time: float = 0.03
    """Calls of one sample take about this long on base: above the timer's and the caches' noise, short enough that what
    disturbs the machine meets both sides."""
    time: float = 565.0
    """The second stage ends early, but not before `fewest_pairs`, when another pair would take the run beyond this."""
    fewest_pairs: int = 6


QUICK = Plan(first_pairs=6, second_pairs=6, blocks=4, sample_time=0.02, time=225.0, fewest_pairs=5)


def regression_cases(device: str, precisions: tuple[str, ...]) -> list[Case]:
    """The default set: early, middle and late blocks of both kinds, and networks of three sizes.

    Each is measured in time and, exactly, in memory and counts. All are short, so that many fit into one run. Beside
    the host a batch fills the device: with one image it would wait for the host, however slow its kernels are.
    """
    images = device_named(device).fills_with
    shapes = ((32, 64, 1, 112), (128, 128, 1, 56), (256, 512, 2, 28), (512, 512, 1, 14))
    networks = ((1.0, 224), (0.5, 160), (0.25, 128))
    cases = []
    for precision in precisions:
        one = Conditions(images, device, precision)
        cases += [Case(Block(kind, *shape), one) for shape in shapes for kind in ("separable", "standard")]
        cases += [Case(Network("separable", alpha, pixels), one) for alpha, pixels in networks]
        cases.append(Case(Network("separable", 0.25, 128), Conditions(8 * images, device, precision)))
        cases.append(Case(Network("standard", 0.25, 128), one))
    return cases


def described(case: Case) -> dict[str, Any]:
    """A case as a worker needs it: plain JSON."""
    workload = case.workload
    about: dict[str, Any] = {
        "kind": workload.kind,
        "device": case.conditions.device,
        "precision": case.conditions.precision,
        "amp_dtype": case.conditions.on.amp_dtype,
        "input_shape": list(case.input_shape),
    }
    built_from = ("alpha", "in_channels", "out_channels", "stride")
    return about | {name: value for name, value in workload.columns().items() if name in built_from}
