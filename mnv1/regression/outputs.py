"""What a call gave, in short, so that two sides are compared by it.

The file runs by itself, with Python alone: a process under test loads it beside whatever code it tests. torch and numpy
are asked where they are loaded already.
"""

from __future__ import annotations

import hashlib
import math
import sys
from collections.abc import Iterator, Mapping
from statistics import fmean, pstdev
from typing import Any

SAMPLED = 64
"""Numbers of an output that are compared, at fixed places."""


def digest(output: object) -> dict[str, Any]:
    """An output in short: some of its numbers at fixed places, with their mean and deviation, and the rest exactly."""
    numbers: list[float] = []
    others = hashlib.sha256()
    for one in _leaves(output):
        if isinstance(one, list):
            numbers += one
        else:
            others.update(one.encode(errors="replace") + b"\n")
    return {"numbers": numbers, "others": others.hexdigest()}


def difference(base: Mapping[str, Any], head: Mapping[str, Any]) -> float:
    """The largest difference of two outputs' numbers, as a share of the largest number; infinite where they differ
    otherwise. What is not a number in both is alike."""
    ones, others = base["numbers"], head["numbers"]
    if len(ones) != len(others) or base["others"] != head["others"]:
        return math.inf
    pairs = [(one, other) for one, other in zip(ones, others, strict=True) if repr(one) != repr(other)]
    if not all(math.isfinite(one) and math.isfinite(other) for one, other in pairs):
        return math.inf
    largest = max((abs(one) for one in ones if math.isfinite(one)), default=0.0)
    return max((abs(one - other) for one, other in pairs), default=0.0) / max(largest, 1e-12)


def _leaves(output: object) -> Iterator[list[float] | str]:
    """What an output consists of, in its order: lists of numbers, and texts for everything else."""
    torch, numpy = sys.modules.get("torch"), sys.modules.get("numpy")
    if torch is not None and isinstance(output, torch.Tensor):
        flat = output.detach().float().cpu().flatten()
        places = torch.linspace(0, max(0, flat.numel() - 1), min(SAMPLED, flat.numel())).long()
        yield str(tuple(output.shape))
        yield [*flat[places].tolist(), *([float(flat.mean()), float(flat.std(correction=0))] if flat.numel() else [])]
    elif numpy is not None and isinstance(output, numpy.ndarray | numpy.generic) and output.dtype.kind in "fiub":
        flat = numpy.asarray(output, dtype=float).ravel()
        places = numpy.linspace(0, max(0, flat.size - 1), min(SAMPLED, flat.size)).astype(int)
        yield str(output.shape)
        yield [*flat[places].tolist(), *([float(flat.mean()), float(flat.std())] if flat.size else [])]
    elif numpy is not None and isinstance(output, numpy.ndarray | numpy.generic):
        yield repr(output.tolist())
    elif isinstance(output, int | float) and not isinstance(output, bool):
        yield [float(output)]
    elif (
        isinstance(output, list | tuple)
        and len(output) > SAMPLED
        and all(isinstance(one, int | float) for one in output)
    ):
        yield str(len(output))
        yield [
            *(float(output[len(output) * place // SAMPLED]) for place in range(SAMPLED)),
            fmean(output),
            pstdev(output),
        ]
    elif isinstance(output, list | tuple):
        yield f"{type(output).__name__} {len(output)}"
        for one in output:
            yield from _leaves(one)
    elif isinstance(output, Mapping):
        for name, one in output.items():
            yield repr(name)
            yield from _leaves(one)
    elif isinstance(output, set | frozenset):
        yield repr(sorted(map(repr, output)))
    elif output is None or isinstance(output, str | bytes | bool | complex):
        yield repr(output)
    else:  # whose text may hold its address
        yield f"{type(output).__module__}.{type(output).__qualname__}"


def tensors_of(output: object) -> Iterator[Any]:
    """The tensors of torch in an output, among its first elements at any depth."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(output, torch.Tensor):
        yield output
        return
    inner = output.values() if isinstance(output, Mapping) else output if isinstance(output, list | tuple) else ()
    for one in list(inner)[:SAMPLED]:
        yield from tensors_of(one)
