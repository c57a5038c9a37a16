"""Modes of torch.compile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from mnv1.cases.devices import Device
from mnv1.cases.modes.mode import Made, Mode

if TYPE_CHECKING:
    import torch
    from torch import nn


@dataclass(frozen=True)
class Compiled(Mode):
    """The module is compiled at its first call."""

    freezes: bool = False
    """Whether weights may be taken for constants: folded, reordered and packed."""
    preset: str = ""
    """torch.compile's own `mode`."""

    compiles: ClassVar[bool] = True
    leaves_trace: ClassVar[bool] = False

    def replays(self, device: Device) -> bool:
        """See `Mode.replays`: the preset that tunes records graphs on CUDA."""
        return bool(self.preset) and not device.is_host

    def precisions(self, device: Device) -> tuple[str, ...]:
        """See `Mode.precisions`; int8 kernels need weights that are constants."""
        return (*device.precisions, *(("int8",) if self.freezes and device.is_host else ()))

    def make(self, device: str, precision: str, module: nn.Module, images: torch.Tensor) -> Made:
        """See `Mode.make`."""
        import torch

        from mnv1.cases.making import called, compiler_settings, state_size, transformed
        from mnv1.net.compiling import own_function

        module, images = transformed(self, precision, module, images)
        # As it would be for a program's first batch; for later ones of another size torch would leave sizes open.
        compiled = torch.compile(own_function(module), dynamic=False)
        settings = compiler_settings(self.preset, self.freezes)
        return Made(called(self, device, precision, compiled, images), state_size(module), settings)

    def imports(self) -> Sequence[str]:
        """See `Mode.imports`."""
        return ["import torch._inductor.config"] if self.freezes else []

    def made_ready(self, precision: str, batch_size: int) -> Iterator[str]:
        """See `Mode.made_ready`."""
        yield from super().made_ready(precision, batch_size)
        if self.freezes:
            yield "torch._inductor.config.freezing = True  # weights may be folded, reordered and packed"
        how = f', mode="{self.preset}"' if self.preset else ""
        yield f"model = torch.compile(model{how})  # compiled at the first call"


MODES = (
    Compiled("compiled", 50, "torch.compile as it comes"),
    Compiled(
        "compiled+freezing",
        60,
        "torch.compile that may take weights for constants: it folds, reorders and packs them",
        freezes=True,
        sought=("fp32", "tf32", "amp", "bf16", "int8"),
        compared=("fp32", "tf32", "bf16", "int8"),
    ),
    # Beside the network that is sought it would time kernels of the classifier alone.
    Compiled(
        "max-autotune",
        70,
        "the same, and torch.compile times several kernels for each matrix product and keeps the fastest",
        freezes=True,
        preset="max-autotune",
        sought=("fp32", "tf32", "bf16", "int8"),
    ),
)
