"""Where the weights of MobileNetV1 are among all that a file holds, and whether they are whole."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
import torch

from mnv1.net.architecture import IMAGE_CHANNELS, SHALLOW_ROWS, widths_of
from mnv1.net.blocks import Block, conv_dw, conv_standard
from mnv1.net.errors import PretrainedError
from mnv1.net.weights.layouts import LAYOUTS, Arrays, Layout
from mnv1.net.weights.others import identify

SHOWN = 3
"""So many names of a kind are in a message."""

FEWEST = 9 * 5 + 2
"""Where fewer of a layout's names are found, nobody meant MobileNetV1: the shallow standard twin has so many."""

COUNTER = "num_batches_tracked"
"""How many batches a BatchNorm has seen, which does not matter to what it computes."""

_HEAD = ("classifier.weight", "classifier.bias")
_CANDIDATES = (*LAYOUTS.values(), *(layout.bare for layout in LAYOUTS.values() if layout.root))


@dataclass(frozen=True)
class Network:
    """Weights by the names of one layout behind one prefix: MobileNetV1, whole or not.

    `entry` is the dotted name under which the file holds the state dict `arrays`; empty when it is the file itself.
    `only_prefixed` leaves out what the state dict holds beside the prefix.
    """

    layout: Layout
    prefix: str
    entry: str
    arrays: Arrays
    only_prefixed: bool = False

    @property
    def label(self) -> str:
        """What `key` chooses the network by."""
        inside = (self.prefix + self.layout.root).rstrip("./").replace("/", ".")
        return ".".join(part for part in (self.entry, inside) if part)

    @cached_property
    def _present(self) -> dict[str, str]:
        """Names in the file by the keys of `MobileNetV1`: what the layout knows."""
        found = {key: self.prefix + theirs for key, theirs in self.layout.keys.items()}
        return {key: name for key, name in found.items() if name in self.arrays}

    @cached_property
    def _head(self) -> dict[str, str]:
        """Names in the file of the classifier's weights: the layout's, or of the only linear layer that is left."""
        named = {key: name for key, name in self._present.items() if key in _HEAD}
        left = self._left(self._present.values())
        weight, bias = (self.layout.leaves[2][leaf] for leaf in ("weight", "bias"))
        first = left[0].removesuffix(weight).removesuffix(bias) if left else ""
        if named or sorted(left) != sorted((first + weight, first + bias)):
            return named
        other = dict(zip(_HEAD, (first + weight, first + bias), strict=True))
        kernel, offset = (self.layout.to_own(key, self.arrays[name]) for key, name in other.items())
        is_linear = kernel.dim() == 2 and kernel.shape == (*offset.shape, self.widths[-1])
        return other if is_linear else {}

    def _left(self, known: Iterable[str]) -> list[str]:
        known = set(known)
        inside = self.prefix + self.layout.root if self.only_prefixed else ""
        return [name for name in self.arrays if name not in known and name.startswith(inside)]

    @cached_property
    def own(self) -> dict[str, torch.Tensor]:
        """The weights as `MobileNetV1` has them, by its keys."""
        return self._body | {key: self.layout.to_own(key, self.arrays[name]) for key, name in self._head.items()}

    @cached_property
    def _body(self) -> dict[str, torch.Tensor]:
        """The weights but for the classifier's."""
        names = {key: name for key, name in self._present.items() if key not in _HEAD}
        return {key: self.layout.to_own(key, self.arrays[name]) for key, name in names.items()}

    @cached_property
    def is_shallow(self) -> bool:
        """Whether it is this project's network without the five stride-1 blocks of 512 channels."""
        stages = {int(key.split(".")[1]) for key in self._body}
        return self._may_be_a_variant and stages == set(range(len(SHALLOW_ROWS) + 1))

    @cached_property
    def block(self) -> Block:
        """What it is built of; only this project has standard convolutions."""
        is_separable = any(key.split(".")[2] in "34" for key in self._body)
        return conv_dw if is_separable or not self._may_be_a_variant else conv_standard

    @property
    def _may_be_a_variant(self) -> bool:
        # Names without "features." may be those of another network's first blocks, which has other strides.
        return self.layout.name == "mnv1" and bool(self.layout.root)

    @cached_property
    def widths(self) -> tuple[int, ...]:
        """Channels of the stem and of each block: those that most weights tell, so that a wrong one is named."""
        found: dict[int, Counter[int]] = defaultdict(Counter)
        for key, value in self._body.items():
            stage, part = (int(number) for number in key.split(".")[1:3])
            is_depthwise = self.block is conv_dw and stage > 0 and part < 3
            if value.dim():
                found[stage - is_depthwise][len(value)] += 1
        usual = widths_of("shallow" if self.is_shallow else "separable")
        return tuple(
            max(found[stage], key=found[stage].__getitem__, default=0) or width for stage, width in enumerate(usual)
        )

    @property
    def classes(self) -> int | None:
        """Classes of its classifier; None when it has none."""
        if not self._head:
            return None
        weight, bias = (self.own.get(key, torch.empty(0)) for key in _HEAD)
        return (len(weight) if weight.dim() == 2 else len(bias) if bias.dim() else 0) or 1

    @cached_property
    def _expected(self) -> dict[str, tuple[int, ...]]:
        """Shapes by the keys of `MobileNetV1`, as its widths and classes need them."""
        shapes: dict[str, tuple[int, ...]] = {}
        before = IMAGE_CHANNELS
        for stage, width in enumerate(self.widths):
            is_whole = stage == 0 or self.block is conv_standard
            halves = [(0, (before, 1, 3, 3)), (3, (width, before, 1, 1))]
            for part, shape in [(0, (width, before, 3, 3))] if is_whole else halves:
                shapes[f"features.{stage}.{part}.weight"] = shape
                for leaf in self.layout.leaves[1]:
                    shapes[f"features.{stage}.{part + 1}.{leaf}"] = () if leaf == COUNTER else shape[:1]
            before = width
        if self.classes:
            shapes |= {"classifier.weight": (self.classes, before), "classifier.bias": (self.classes,)}
        return shapes

    @cached_property
    def missing(self) -> list[str]:
        """Names that the layout has and the file lacks. How many batches BatchNorm has seen is not needed."""
        keys = [key for key in self._expected if key not in self.own and not key.endswith(COUNTER)]
        return [self.prefix + self.layout.keys[key] for key in keys]

    @cached_property
    def unexpected(self) -> list[str]:
        """Names in the state dict that MobileNetV1 has not."""
        known = {name for key, name in self._present.items() if key in self._expected} | set(self._head.values())
        return self._left(known)

    @cached_property
    def misshapen(self) -> list[str]:
        """What is of another shape than the others need, with both shapes."""
        names = self._present | self._head
        wrong = [
            key for key, shape in self._expected.items() if key in self.own and tuple(self.own[key].shape) != shape
        ]
        return [
            f"{names[key]} is {_shape(self.arrays[names[key]])} where the other weights need "
            f"{_shape(self.layout.from_own(key, torch.empty(self._expected[key])))}"
            for key in wrong
        ]

    @property
    def fitting(self) -> int:
        """How many weights have the name and the shape that MobileNetV1 has."""
        fits = (key in self.own and tuple(self.own[key].shape) == shape for key, shape in self._expected.items())
        return sum(fit for key, fit in zip(self._expected, fits, strict=True) if not key.endswith(COUNTER))

    @property
    def is_meant(self) -> bool:
        """Whether this is MobileNetV1, though perhaps damaged or with something added."""
        needed = sum(not key.endswith(COUNTER) for key in self._expected)
        return 2 * self.fitting >= needed and not identify(self.arrays)

    def check(self) -> None:
        """Raises `PretrainedError` that names what is missing, not expected, or of another shape."""
        named = {"missing": self.missing, "unexpected": self.unexpected, "of another shape": self.misshapen}
        if not any(named.values()):
            return
        if self.unexpected and not self.missing and not self.misshapen:
            inside = self.prefix + self.layout.root
            hint = f'; key="{self.label}" takes MobileNetV1 alone' if inside and not self.only_prefixed else ""
            what = (
                f"all {self.fitting} weights of MobileNetV1 (as {self.layout.name} has it) and {len(self.unexpected)} "
            )
            raise PretrainedError(f"it is more than MobileNetV1: {what}unexpected: {listed(self.unexpected)}{hint}")
        raise PretrainedError(
            f"does not fit MobileNetV1 as {self.layout.name} has it: "
            + "; ".join(f"{what}: {listed(names)}" for what, names in named.items() if names)
        )


def find(tree: Mapping[str, Any], key: str | None = None) -> Network:
    """The whole MobileNetV1 among nested dictionaries: the only one, or the one that `key` names.

    Its layout is told by names, behind whatever prefix. Raises `PretrainedError`.
    """
    groups = dict(_state_dicts(tree))
    if not groups:
        raise PretrainedError("it holds no weights")
    candidates = [one for entry, arrays in groups.items() for one in _networks(entry, arrays)]
    meant = [one for one in candidates if one.is_meant]
    if not meant:
        raise PretrainedError(_refusal(candidates, groups))
    if key is not None:
        chosen = [one for one in meant if _has(one.label, key)]
        if not chosen:
            raise PretrainedError(f"key {key!r} names no network in it: {_choice(meant)}")
        meant = chosen
    if len(meant) > 1:
        raise PretrainedError(f"it holds {len(meant)} networks: {_choice(meant)}")
    network = meant[0]
    if key is not None and not _has(network.entry, key):
        network = Network(network.layout, network.prefix, network.entry, network.arrays, only_prefixed=True)
    network.check()
    return network


def recognise(names: Iterable[str]) -> Layout:
    """The layout that most of some names belong to, behind whatever prefix. Raises `PretrainedError`."""
    names = list(names)
    networks = _networks("", dict.fromkeys(names, torch.empty(0)))
    if not networks:
        raise PretrainedError(_unknown(names))
    return LAYOUTS[networks[0].layout.name]


def listed(names: Sequence[str]) -> str:
    """The first few of many names."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _choice(networks: Sequence[Network]) -> str:
    return "choose with key= among " + ", ".join(f'"{network.label}"' for network in networks)


def _has(label: str, key: str) -> bool:
    """Whether a dotted name has these parts next to each other."""
    return label == key if "" in (label, key) else f".{key.strip('.')}." in f".{label}."


def _state_dicts(tree: Mapping[str, Any], entry: str = "") -> Iterator[tuple[str, Arrays]]:
    """Every dictionary of a tree that holds tensors, by its dotted name; one that occurs twice, once."""
    seen: set[int] = set()

    def visit(found: Mapping[Any, Any], entry: str) -> Iterator[tuple[str, Arrays]]:
        if id(found) in seen:
            return
        seen.add(id(found))
        arrays = {
            name: value
            for name, value in found.items()
            if isinstance(name, str) and isinstance(value, torch.Tensor | np.ndarray)
        }
        if arrays:
            yield entry, arrays
        for name, value in found.items():
            if isinstance(value, Mapping):
                yield from visit(value, f"{entry}.{name}" if entry else str(name))

    yield from visit(tree, entry)


@cache
def _known() -> dict[str, list[int]]:
    """The layouts (by their place among the candidates) that have a name."""
    known: dict[str, list[int]] = defaultdict(list)
    for number, layout in enumerate(_CANDIDATES):
        for key, name in layout.keys.items():
            if not key.endswith(COUNTER):
                known[name].append(number)
    return known


def _networks(entry: str, arrays: Arrays) -> list[Network]:
    """What may be MobileNetV1 in a state dict, by how many of a layout's names stand behind one prefix.

    No two share a weight. When none may, the one that has most, if any.
    """
    votes: dict[tuple[int, str], list[str]] = defaultdict(list)
    for name in arrays:
        for start in (0, *(place + 1 for place, letter in enumerate(name) if letter in "./")):
            for number in _known().get(name[start:], ()):
                votes[number, name[:start]].append(name)
    ranked = sorted(votes.items(), key=lambda vote: (-len(vote[1]), vote[0][0]))
    found: list[Network] = []
    taken: set[str] = set()
    for (number, prefix), names in ranked:
        layout = _CANDIDATES[number]
        if found and len(names) < FEWEST:
            break
        if taken.isdisjoint(names):
            found.append(Network(layout, prefix, entry, arrays))
            taken.update(names)
    return found


def _refusal(candidates: Sequence[Network], groups: Mapping[str, Arrays]) -> str:
    """Why a file without MobileNetV1 is refused: which network it is, and how much of it is MobileNetV1."""
    best = max(candidates, key=lambda one: one.fitting, default=None)
    arrays = best.arrays if best else max(groups.values(), key=len)
    names = [name for name in arrays if not name.endswith(COUNTER)]
    other = identify(names)
    if best is None and other is None:
        return _unknown(names)
    count = best.fitting if best else 0
    like = f" (as {best.layout.name} has it)" if best and count else ""
    return (
        f"another network{f', {other}' if other else ''}: {count or 'none'} of its {len(names)} weights "
        f"{'have' if count != 1 else 'has'} the name and the shape of one of MobileNetV1{like}"
    )


def _unknown(names: Sequence[str]) -> str:
    shown = f"they begin with {', '.join(names[:SHOWN])}" if names else "there are none"
    return f"its keys are those of no known layout ({', '.join(LAYOUTS)}): {shown}"


def _shape(value: Any) -> str:
    return "x".join(map(str, value.shape)) or "a number"
