"""The separable twin of any network: its convolutions replaced by depthwise-separable ones, all else untouched."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from copy import deepcopy
from typing import Any

import torch
from torch import nn

from mnv1.base.errors import UserError
from mnv1.net.architecture import Between

_NORMS: dict[type, type[nn.Module]] = {
    nn.Conv1d: nn.BatchNorm1d,
    nn.Conv2d: nn.BatchNorm2d,
    nn.Conv3d: nn.BatchNorm3d,
}
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)

Conv = nn.modules.conv._ConvNd  # the common class of all three has no public name


class TwinError(UserError, ValueError):
    """A network of which no separable twin can be made, or a name that is no convolution to replace."""


class Convolutions(dict[str, Conv]):
    """The convolutions of a network that can be replaced, by name; `kept` says why of every other one."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.kept: dict[str, str] = {}
        shared = _shared_weights(module)
        for name, part in module.named_modules(remove_duplicate=False):
            if isinstance(part, Conv):
                reason = _why_kept(part, shared)
                if reason:
                    self.kept[name] = reason
                else:
                    self[name] = part


def _why_kept(part: Conv, shared: set[int]) -> str | None:
    """Why a convolution is not replaced, or None."""
    if isinstance(part, _TRANSPOSED):
        return "transposed"
    if type(part) not in _NORMS:
        return f"a class of its own: {type(part).__name__}"
    if set(part._parameters) - {"weight", "bias"} or not isinstance(part._parameters.get("weight"), nn.Parameter):
        return "its weight is computed from others"
    if id(part.weight) in shared:
        return "its weights are shared with another layer"
    if math.prod(part.kernel_size) == 1:
        return "its kernel is 1 already"
    if part.groups > 1:
        return "depthwise already" if part.groups == part.in_channels else "grouped already"
    return None


def _shared_weights(module: nn.Module) -> set[int]:
    """Weights that several modules hold, or that one module holds which is there under several names."""
    places = Counter(id(weight) for _, weight in module.named_parameters(remove_duplicate=False))
    return {weight for weight, number in places.items() if number > 1}


def separable(convolution: Conv, between: Between = "bn-relu") -> nn.Sequential:
    """What takes a convolution's place: one filter a channel, then a 1x1 convolution; same input and output shapes.

    Stride, padding and dilation belong to the first, the bias to the last. Weights are fresh, by He's initialisation
    with fan-in as in `mnv1.net.model.initialise`.
    """
    kind: Any = type(convolution)
    about = {"device": convolution.weight.device, "dtype": convolution.weight.dtype}
    channels = convolution.in_channels
    depthwise = kind(
        channels,
        channels,
        convolution.kernel_size,
        convolution.stride,
        convolution.padding,
        convolution.dilation,
        groups=channels,
        bias=False,
        padding_mode=convolution.padding_mode,
        **about,
    )
    pointwise = kind(channels, convolution.out_channels, 1, bias=convolution.bias is not None, **about)
    for one in (depthwise, pointwise):
        nn.init.kaiming_normal_(one.weight, mode="fan_in", nonlinearity="relu")
    if pointwise.bias is not None:
        nn.init.zeros_(pointwise.bias)
    norm: Any = _NORMS[kind]
    middle = [] if between == "none" else [norm(channels, **about), nn.ReLU(inplace=True)]
    return nn.Sequential(depthwise, *middle, pointwise).train(convolution.training)


def separable_twin(
    module: nn.Module, names: Iterable[str] | None = None, *, between: Between = "bn-relu", seed: int = 0
) -> nn.Module:
    """A copy of a network in which the named convolutions are depthwise-separable, by default all that can be.

    Everything else stays, in the same places and with the same weights, so that `twin(images)` has the original's
    output shape. The new layers' weights are random, seeded by `seed`, so the twin must be trained. Raises `TwinError`
    where nothing can be replaced, or a name is no convolution that can be.
    """
    found = Convolutions(module)
    chosen = list(found) if names is None else list(dict.fromkeys(names))
    for name in chosen:
        if name not in found:
            raise TwinError(f"{name}: {found.kept.get(name, 'there is no such convolution')}; {_choices(found)}")
    if not chosen:
        raise TwinError(f"{type(module).__name__} has no convolution to replace{_reasons(found)}")
    twin = deepcopy(module)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for name in chosen:
            if not name:
                return separable(found[name], between)  # the network is a single convolution
            twin.set_submodule(name, separable(found[name], between))
    return twin


def _choices(found: Convolutions) -> str:
    names = list(found)
    return f"choose from {', '.join(names[:5])}{', …' if len(names) > 5 else ''}" if names else "none can be replaced"


def _reasons(found: Convolutions) -> str:
    reasons = Counter(found.kept.values())
    return f": {', '.join(f'{number} {reason}' for reason, number in reasons.items())}" if reasons else ""
