"""Grids of cases: full products of axes, the options that replace an axis, and the cases that they make.

Needs no torch.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from mnv1.base.errors import UserError
from mnv1.cases.case import (
    BLOCK_KINDS,
    DEVICES,
    NETWORK_KINDS,
    Block,
    Case,
    Conditions,
    Device,
    Mode,
    Network,
    Pair,
    Precision,
    Reference,
    Training,
    Workload,
)
from mnv1.cases.modes import exists, is_plain
from mnv1.cases.references import REFERENCE_KINDS, REFERENCES
from mnv1.net.architecture import network_layers


class CaseError(UserError, ValueError):
    """An axis value that does not exist, or a choice that leaves no case."""


@dataclass(frozen=True)
class Grid:
    """A full product of axes. A grid of blocks covers every distinct block shape of the networks that it names."""

    kinds: tuple[str, ...]
    alphas: tuple[float, ...]
    resolutions: tuple[int, ...]
    batch_sizes: dict[Device, tuple[int, ...]]
    precisions: tuple[Precision, ...] = ("fp32", "tf32", "amp")
    devices: tuple[Device, ...] = DEVICES
    shapes: tuple[str, ...] = ()
    """Blocks only: keep these shape ids alone (all when empty)."""
    modes: tuple[Mode, ...] = ("eager",)

    def conditions(self) -> Iterator[Conditions]:
        """Every combination of device, batch size, precision and mode that exists: TF32 does on CUDA only."""
        for device in self.devices:
            for batch_size, precision, mode in itertools.product(self.batch_sizes[device], self.precisions, self.modes):
                if exists(mode, precision, device):
                    yield Conditions(batch_size, device, precision, mode)

    def blocks(self) -> Iterator[Block]:
        """Distinct blocks, the stem first. The stem is a standard convolution only: the network has no other stem."""
        for alpha, resolution in itertools.product(self.alphas, self.resolutions):
            for layer in network_layers("standard", alpha, resolution):
                if layer.op != "standard":
                    continue
                kinds = ("standard",) if layer.name == "stem" else BLOCK_KINDS
                for kind in kinds:
                    block = Block(kind, layer.in_channels, layer.out_channels, layer.stride, layer.side)
                    if kind in self.kinds and (not self.shapes or block.shape_id in self.shapes):
                        yield block

    def networks(self) -> Iterator[Network | Reference]:
        """Networks of every kind, width and resolution; those of other packages have a width only where it exists."""
        for alpha, resolution, kind in itertools.product(self.alphas, self.resolutions, NETWORK_KINDS):
            if kind in self.kinds:
                yield Network(kind, alpha, resolution)
        for resolution, reference in itertools.product(self.resolutions, REFERENCE_KINDS):
            if reference in self.kinds:
                for width in self.alphas if REFERENCES[reference].has_alpha else (None,):
                    yield Reference(reference, resolution, width)

    def trainings(self) -> Iterator[Training]:
        """Training steps of this suite's own networks, of every kind, width and resolution."""
        for network in self.networks():
            if isinstance(network, Network):
                yield Training(network.kind, network.alpha, network.resolution)


@dataclass(frozen=True)
class Overrides:
    """Axis values that replace a profile's own, and devices that are left of it; an empty tuple keeps the profile's."""

    devices: tuple[Device, ...] = ()
    precisions: tuple[Precision, ...] = ()
    alphas: tuple[float, ...] = ()
    resolutions: tuple[int, ...] = ()
    batch_sizes: tuple[int, ...] = ()
    kinds: tuple[str, ...] = ()
    modes: tuple[Mode, ...] = ()

    def apply(self, grid: Grid) -> Grid:
        """The grid with every axis given here replaced."""
        return replace(
            grid,
            devices=tuple(device for device in grid.devices if device in (self.devices or DEVICES)),
            precisions=self.precisions or grid.precisions,
            alphas=self.alphas or grid.alphas,
            resolutions=self.resolutions or grid.resolutions,
            batch_sizes={device: self.batch_sizes or grid.batch_sizes.get(device, ()) for device in DEVICES},
            kinds=self.kinds or grid.kinds,
            modes=self.modes or grid.modes,
            # The chosen shapes belong to the profile's own widths and resolutions.
            shapes=() if self.alphas or self.resolutions else grid.shapes,
        )


def cases_of(
    grids: Iterable[Grid], workloads: Callable[[Grid], Iterator[Workload]], overrides: Overrides
) -> tuple[Case, ...]:
    """The cases of grids with overridden axes, each once."""
    cases = (
        Case(workload, conditions)
        for grid in map(overrides.apply, grids)
        for workload, conditions in itertools.product(workloads(grid), grid.conditions())
        if is_plain(conditions) or not isinstance(workload, Training)  # steps of other modes do not exist
    )
    return tuple(dict.fromkeys(cases))


def pairs_of(
    grids: Iterable[Grid], workloads: Callable[[Grid], Iterator[Workload]], overrides: Overrides
) -> tuple[Pair, ...]:
    """Pairs of the separable workloads with their standard twins, from grids that have both kinds."""
    both = [grid for grid in grids if {"standard", "separable"} <= set(overrides.apply(grid).kinds)]
    return tuple(
        Pair(standard=replace(case, workload=replace(case.workload, kind="standard")), separable=case)
        for case in cases_of(both, workloads, overrides)
        if case.workload.kind == "separable"
    )
