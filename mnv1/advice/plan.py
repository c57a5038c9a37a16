"""What there is to replace in a network: its convolutions with their shapes, and why others stay."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import nn

from mnv1.advice.one_tensor import OneTensor
from mnv1.cases.workloads.convolutions import Convolution
from mnv1.net.architecture import Between
from mnv1.net.counts import count_with_torch
from mnv1.net.source import SourceError, made_by
from mnv1.net.twin import Conv, Convolutions, TwinError, separable_twin


@dataclass(frozen=True)
class Place:
    """A convolution of the network: its name, its shape, and how often a call runs it."""

    name: str
    layer: Convolution
    """The standard convolution, without what follows it."""
    calls: int = 1


@dataclass(frozen=True)
class Counted:
    """Counts of one image."""

    macs: int
    params: int


@dataclass(frozen=True)
class Plan:
    """A network, what of it can be replaced, and what counting says."""

    source: str
    """Where the network comes from, or its class where it was passed."""
    shape: tuple[int, ...]
    """Of the input, without the batch."""
    output: tuple[int, ...]
    between: Between
    places: tuple[Place, ...]
    kept: dict[str, str]
    """Why other convolutions are not replaced, by name."""
    original: Counted
    full: Counted
    passed: nn.Module | None = None
    """The network itself where it is not made by its source."""

    @property
    def network(self) -> nn.Module:
        """The network, which must not be changed."""
        return made_by(self.source) if self.passed is None else self.passed


def plan(asked: str | nn.Module, shape: Sequence[int], between: Between = "bn-relu", device: str = "cpu") -> Plan:
    """The plan of a network, or of what a source makes, that takes images of a shape, without the batch.

    Raises `SourceError` or `TwinError`.
    """
    shape, passed = tuple(shape), None if isinstance(asked, str) else deepcopy(asked).cpu().eval()
    source = asked if isinstance(asked, str) else type(asked).__name__
    with torch.device(device):
        network = made_by(source) if passed is None else passed
    found, kept = Convolutions(network), dict[str, str]()
    seen, output = _called(network, shape, source)
    places: list[Place] = []
    for name, convolution in found.items():
        shapes, why = seen.get(name, []), _why_not(convolution)
        if why or not shapes:
            kept[name] = why or "it is not called as a module"
            continue
        places += [Place(name, layer_of(convolution, one, between), shapes.count(one)) for one in dict.fromkeys(shapes)]
    if not places:
        raise TwinError(f"{source} has no convolution to replace: {_reasons(found.kept | kept)}")
    twin = separable_twin(network, dict.fromkeys(place.name for place in places), between=between)
    _, of_twin = _called(twin, shape, source)
    if of_twin != output:
        raise TwinError(f"{source}: its twin's output has shape {of_twin}, and the original's {output}")
    original, full = (_counted(one, shape) for one in (network, twin))
    return Plan(source, shape, output, between, tuple(places), found.kept | kept, original, full, passed)


def _why_not(convolution: Conv) -> str | None:
    """Why a convolution is not measured as a shape, or None."""
    uneven = convolution.padding == "same" and any(size % 2 == 0 for size in convolution.kernel_size)
    if convolution.padding_mode != "zeros" or uneven:
        return "its padding is not the same on both sides, or not of zeros"
    return None


def layer_of(convolution: Conv, shape: tuple[int, ...], between: Between) -> Convolution:
    """A convolution as a workload, by the shape of its input without the batch."""
    kernel, dilation = tuple(convolution.kernel_size), tuple(convolution.dilation)
    padding = convolution.padding
    if isinstance(padding, str):
        same = tuple(step * (size - 1) // 2 for size, step in zip(kernel, dilation, strict=True))
        padding = same if padding == "same" else (0,) * len(kernel)
    return Convolution(
        "standard",
        convolution.in_channels,
        convolution.out_channels,
        kernel,
        tuple(convolution.stride),
        dilation,
        tuple(padding),
        shape[1:],
        norm="between" if between == "bn-relu" else "none",
    )


def _called(
    network: nn.Module, shape: tuple[int, ...], source: str
) -> tuple[dict[str, list[tuple[int, ...]]], tuple[int, ...]]:
    """Shapes of what each convolution was called with, by name, and of the network's output; without the batch."""
    seen: dict[str, list[tuple[int, ...]]] = {}
    handles = [
        part.register_forward_pre_hook(
            lambda _, given, name=name: seen.setdefault(name, []).append(tuple(given[0].shape[1:]))
        )
        for name, part in network.named_modules()
        if isinstance(part, Conv)
    ]
    parameter = next(network.parameters(), None)
    images = torch.zeros(2, *shape, device=None if parameter is None else parameter.device)
    try:
        with torch.no_grad():
            output = OneTensor(network)(images)
    except SourceError as error:
        raise SourceError(f"{source}: {error}") from None
    except Exception as error:
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SourceError(f"{source}: does not run on images of {'x'.join(map(str, shape))}: {text}") from None
    finally:
        for handle in handles:
            handle.remove()
    return seen, tuple(output.shape[1:])


def _counted(network: nn.Module, shape: tuple[int, ...]) -> Counted:
    parameter = next(network.parameters())
    macs = count_with_torch(network, torch.zeros(1, *shape, device=parameter.device))
    return Counted(macs, sum(one.numel() for one in network.parameters()))


def twin_counts(planned: Plan, names: Sequence[str]) -> Counted:
    """Counts of the twin in which the named convolutions are replaced."""
    twin = separable_twin(planned.network, names, between=planned.between)
    return _counted(twin, planned.shape)


def _reasons(kept: dict[str, str]) -> str:
    return ", ".join(f"{name} ({why})" for name, why in list(kept.items())[:4]) or "it has none"
