"""Benchmark suite: how much faster is a depthwise-separable convolution really, and why?

What a user's program needs, by one import. Each name is loaded when it is first used: `import mnv1` alone loads
neither torch nor pandas.

- `MobileNetV1`: the network; `conv_standard` as its `block` gives the standard-convolution twin.
- `network_layers`, `count`: a network's layers as data, and their MACs, parameters and bytes. Need no torch.
- `separable_twin`: a copy of any network whose convolutions are depthwise-separable.
- `advise`: measures whether separable convolutions would pay in a network of one's own.
- `workload`: marks a function of a file as a workload of `pytest benchmarks --workloads FILE.py` and of
  `python -m mnv1.regression --suite FILE.py`. Needs no torch.
- `find_runs`, `load`: the stored runs below a folder, and their cases as a table. Need no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mnv1.advice.advise import advise
    from mnv1.base.marks import workload
    from mnv1.net.architecture import network_layers
    from mnv1.net.blocks import conv_standard
    from mnv1.net.counts import count
    from mnv1.net.model import MobileNetV1
    from mnv1.net.twin import separable_twin
    from mnv1.store.runs import find_runs, load

__all__ = [
    "MobileNetV1",
    "advise",
    "conv_standard",
    "count",
    "find_runs",
    "load",
    "network_layers",
    "separable_twin",
    "workload",
]

_HOMES = {
    "MobileNetV1": "mnv1.net.model",
    "advise": "mnv1.advice.advise",
    "conv_standard": "mnv1.net.blocks",
    "count": "mnv1.net.counts",
    "find_runs": "mnv1.store.runs",
    "load": "mnv1.store.runs",
    "network_layers": "mnv1.net.architecture",
    "separable_twin": "mnv1.net.twin",
    "workload": "mnv1.base.marks",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(import_module(_HOMES[name]), name)
    globals()[name] = found  # so that the next use does not come here
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
