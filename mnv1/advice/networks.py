"""A network of the user's as a workload: as it is, or with some of its convolutions separable."""

from __future__ import annotations

import pickle
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from mnv1.cases.workloads.workload import Workload

if TYPE_CHECKING:
    from torch import nn

    from mnv1.net.architecture import Between

ORIGINAL, FULL, CHOSEN = "original", "full", "chosen"


@dataclass(frozen=True)
class OwnNetwork(Workload):
    """A network by its source, with counts of one image; `replaced` names the convolutions that are separable."""

    kind: str
    source: str
    shape: tuple[int, ...]
    output: tuple[int, ...]
    macs: int
    params: int
    replaced: tuple[str, ...] = ()
    between: Between = "bn-relu"
    pickled: Path | None = None
    """The network itself, in a file of this program's own, where it is not made by its source."""

    is_profiled: ClassVar[bool] = False

    @property
    def shape_id(self) -> str:
        """See `Workload.shape_id`: the source, the input and, of a twin, what is replaced."""
        parts = [re.sub(r"\W+", "_", self.source), "x".join(map(str, self.shape))]
        if self.kind != ORIGINAL:
            parts += [self.kind, f"{zlib.crc32(repr((self.replaced, self.between)).encode()):08x}"]
        return "-".join(parts)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """See `Workload.input_shape`."""
        return self.shape

    @property
    def output_shape(self) -> tuple[int, ...]:
        """See `Workload.output_shape`."""
        return self.output

    def columns(self) -> dict[str, object]:
        """See `Workload.columns`: its id tells it from others."""
        return {}

    def build(self) -> nn.Module:
        """See `Workload.build`."""
        from mnv1.advice.one_tensor import OneTensor
        from mnv1.net.source import made_by
        from mnv1.net.twin import separable_twin

        network = made_by(self.source) if self.pickled is None else pickle.loads(self.pickled.read_bytes())
        if self.replaced:
            network = separable_twin(network, self.replaced, between=self.between)
        return OneTensor(network)

    def counts(self, batch_size: int, element_size: int) -> Mapping[str, int]:  # noqa: ARG002  # of all workloads
        """See `Workload.counts`."""
        return {"macs": batch_size * self.macs, "params": self.params}

    def expected_macs(self, batch_size: int) -> float:
        """See `Workload.expected_macs`."""
        return batch_size * self.macs
