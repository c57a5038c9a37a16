"""Grids of cases: full products of axes, the options that replace an axis, and the cases that they make."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from mnv1.base.errors import UserError
from mnv1.cases.case import Case, Gain, Pair
from mnv1.cases.conditions import Conditions
from mnv1.cases.devices import DEVICES, Device, device_named
from mnv1.cases.modes import exists
from mnv1.cases.workloads import BLOCK_TYPES, NETWORK_TYPES, REFERENCES, Block, Network, Reference, Training, Workload
from mnv1.net.architecture import network_layers


class CaseError(UserError, ValueError):
    """An axis value that does not exist, or a choice that leaves no case."""


@dataclass(frozen=True)
class Grid:
    """A full product of axes. A grid of blocks covers every distinct block shape of the networks that it names."""

    kinds: tuple[str, ...]
    alphas: tuple[float, ...]
    resolutions: tuple[int, ...]
    batch_sizes: Callable[[Device], tuple[int, ...]]
    precisions: tuple[str, ...] = ("fp32", "tf32", "amp")
    devices: tuple[str, ...] = tuple(name for name, device in DEVICES.items() if device.by_default)
    of_host: bool | None = None
    """Only for the CPU (True), only for accelerators (False), or for both."""
    shapes: tuple[str, ...] = ()
    """Blocks only: keep these shape ids alone (all when empty)."""
    modes: tuple[str, ...] = ("eager",)

    def conditions(self) -> Iterator[Conditions]:
        """Every combination of device, batch size, precision and mode that exists: TF32 does on CUDA only."""
        for device in map(device_named, self.devices):
            if self.of_host not in (None, device.is_host):
                continue
            sizes = self.batch_sizes(device)
            for batch_size, precision, mode in itertools.product(sizes, self.precisions, self.modes):
                if exists(mode, precision, device.name):
                    yield Conditions(batch_size, device.name, precision, mode)

    def blocks(self) -> Iterator[Block]:
        """Distinct blocks, the stem first. The stem is a standard convolution only: the network has no other stem."""
        for alpha, resolution in itertools.product(self.alphas, self.resolutions):
            for layer in network_layers("standard", alpha, resolution):
                if layer.op != "standard":
                    continue
                kinds = ("standard",) if layer.name == "stem" else tuple(BLOCK_TYPES)
                for kind in kinds:
                    block = Block(kind, layer.in_channels, layer.out_channels, layer.stride, layer.side)
                    if kind in self.kinds and (not self.shapes or block.shape_id in self.shapes):
                        yield block

    def networks(self) -> Iterator[Network | Reference]:
        """Networks of every kind, width and resolution; those of other packages have a width only where it exists."""
        for alpha, resolution, kind in itertools.product(self.alphas, self.resolutions, NETWORK_TYPES):
            if kind in self.kinds:
                yield Network(kind, alpha, resolution)
        for resolution, reference in itertools.product(self.resolutions, REFERENCES):
            if reference in self.kinds:
                for width in self.alphas if REFERENCES[reference].has_alpha else (None,):
                    yield Reference(reference, resolution, width)

    def trainings(self) -> Iterator[Training]:
        """Training steps of this suite's own networks, of every kind, width and resolution."""
        for alpha, resolution, kind in itertools.product(self.alphas, self.resolutions, NETWORK_TYPES):
            if kind in self.kinds:
                yield Training(kind, alpha, resolution)


@dataclass(frozen=True)
class Overrides:
    """Axis values that replace a profile's own, and devices that are left of it; an empty tuple keeps the profile's."""

    devices: tuple[str, ...] = ()
    precisions: tuple[str, ...] = ()
    alphas: tuple[float, ...] = ()
    resolutions: tuple[int, ...] = ()
    batch_sizes: tuple[int, ...] = ()
    kinds: tuple[str, ...] = ()
    modes: tuple[str, ...] = ()

    def apply(self, grid: Grid) -> Grid:
        """The grid with every axis given here replaced."""
        return replace(
            grid,
            devices=self.devices or grid.devices,
            precisions=self.precisions or grid.precisions,
            alphas=self.alphas or grid.alphas,
            resolutions=self.resolutions or grid.resolutions,
            batch_sizes=(lambda _: self.batch_sizes) if self.batch_sizes else grid.batch_sizes,
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
        if workload.exists_under(conditions)
    )
    return tuple(dict.fromkeys(cases))


def gains_of(grids: Iterable[Grid], overrides: Overrides) -> tuple[Gain, ...]:
    """Networks of grids in each mode but plain eager code, against that. Only modes are taken that the grid names."""
    found = []
    for grid in grids:
        modes = tuple(mode for mode in grid.modes if mode in (overrides.modes or grid.modes))
        for case in cases_of([grid], Grid.networks, replace(overrides, modes=())):
            if case.conditions.mode in modes:
                plain = replace(case, conditions=replace(case.conditions, mode="eager"))
                found.append(Gain(standard=plain, separable=case))
    return tuple(dict.fromkeys(found))


def pairs_of(
    grids: Iterable[Grid], workloads: Callable[[Grid], Iterator[Workload]], overrides: Overrides
) -> tuple[Pair, ...]:
    """Pairs of workloads with their twins, from grids that have both kinds."""
    found = []
    for grid in grids:
        kinds = overrides.apply(grid).kinds
        for case in cases_of([grid], workloads, overrides):
            twin = case.workload.twin
            if twin is not None and twin.kind in kinds:
                found.append(Pair(standard=replace(case, workload=twin), separable=case))
    return tuple(dict.fromkeys(found))
