"""How a network is run: what a mode does, where it exists, how it is made, and the lines of Python that use it.

torch is imported only where a mode is made.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, ClassVar

from mnv1.cases.devices import DEVICES, Device
from mnv1.cases.devices.clock import Call
from mnv1.cases.precisions import PRECISIONS

if TYPE_CHECKING:
    import torch
    from torch import nn


@dataclass(frozen=True)
class Made:
    """A module that was made ready in a mode, for the images that it was made with."""

    call: Call
    file_size: int
    """Bytes of the file that is run, or of the state dict where there is none."""
    at_first: AbstractContextManager[object] = field(default_factory=nullcontext)
    """What the first call runs in."""


@dataclass(frozen=True)
class Mode:
    """A way to run a network in torch: the module is called, transformed as the fields say.

    Subclasses make it in other ways. A module of this folder lists its `MODES`.
    """

    name: str
    place: int
    """Order among the modes."""
    what: str
    """What it does, in a sentence."""
    folds: bool = False
    """Whether each BatchNorm is folded into the convolution before it."""
    channels_last: bool = False
    """Whether weights and images have their channels innermost in memory."""
    sought: tuple[str, ...] = ("fp32",)
    """Precisions in which a ladder tries it for the network whose fastest way is sought: where it may win."""
    compared: tuple[str, ...] = ()
    """Precisions in which a ladder tries it for the networks beside that one."""
    package: str | None = None
    """What it needs beside torch, and the extra of this project that brings it."""
    extra: str | None = None

    compiles: ClassVar[bool] = False
    """Whether it needs a C++ compiler on the CPU, and triton on an accelerator."""
    in_torch: ClassVar[bool] = True
    """Whether torch's allocator sees its memory."""
    keeps_casts: ClassVar[bool] = True
    """Whether autocast may keep weights that it has cast, within a call."""
    leaves_trace: ClassVar[bool] = True
    """Whether libraries tell of every kernel that runs: not of fused code, and not in other runtimes."""

    @property
    def is_plain(self) -> bool:
        """Whether the module is called as it is."""
        return self.name == "eager"

    def replays(self, device: Device) -> bool:  # of modes that do
        """Whether it launches recorded kernels there, which find their memory taken before any call."""
        return False

    def precisions(self, device: Device) -> tuple[str, ...]:
        """The precisions in which it exists on a device; none where it does not exist there."""
        return device.precisions

    def why_not_here(self, precision: str, device: Device) -> str | None:
        """Why it cannot be run with what is installed here, in a line that says what to do; None when it can.

        Whether the device is here is not looked at.
        """
        if precision not in self.precisions(device):
            return self._where(precision)
        if self.package and find_spec(self.package) is None:
            return f"{self.package} is not installed: pip install -c constraints.txt -e '.[{self.extra}]'"
        if precision == "int8" and find_spec("torchao") is None:
            return "torchao is not installed: pip install -c constraints.txt -e '.[quantize]'"
        compiler = os.environ.get("CXX", "g++")
        if self.compiles and device.is_host and shutil.which(compiler) is None:
            return f"{self.name} needs a C++ compiler, and {compiler} is not found: install one, or name one in CXX"
        if self.compiles and device.name == "cuda" and find_spec("triton") is None:
            return f"{self.name} needs triton on CUDA: pip install triton"
        return None

    def _where(self, precision: str) -> str:
        devices = [one for one in DEVICES.values() if self.precisions(one)]
        if [one.name for one in devices] == ["cuda"]:
            return f"{self.name} needs CUDA"
        known = [one for one in PRECISIONS if any(one in self.precisions(device) for device in devices)]
        if precision not in known:
            return f"{self.name} does not exist in {precision}: it does in {', '.join(known)}"
        there = [one.name for one in devices if precision in self.precisions(one)]
        return f"{self.name} in {precision} exists on {' and '.join(there)} only"

    def make(self, device: str, precision: str, module: nn.Module, images: torch.Tensor) -> Made:
        """A module in evaluation mode, of which this may change what it wants, made ready for some images in fp32."""
        from mnv1.cases.making import called, state_size, transformed

        module, images = transformed(self, precision, module, images)
        return Made(called(self, device, precision, module, images), state_size(module))

    def imports(self) -> Sequence[str]:
        """Lines of imports, beside torch's and the network's, of a program that uses it."""
        return ()

    def lines(self, device: Device, precision: str, batch_size: int) -> Iterator[str]:
        """The lines of a program that has a `model` and `images`: they leave the outputs in `logits`."""
        yield from self.made_ready(precision, batch_size)
        yield f"with {', '.join(self._contexts(device, precision))}:"
        yield "    logits = model(images)"

    def made_ready(self, precision: str, batch_size: int) -> Iterator[str]:
        """The lines that make `model` and `images` ready, before the call."""
        if self.folds:
            yield "model = folded(model)  # BatchNorm into the convolutions"
        if weights := PRECISIONS[precision].weights:
            as_it = {"float16": "half"}.get(weights, weights)
            yield f"model, images = model.{as_it}(), images.{as_it}()"
        if precision == "int8":
            number = max(4, 32 // batch_size)
            yield f"calibration = [torch.randn_like(images) for _ in range({number})]  # put your own here"
            yield "model = post_training_quantized(model, calibration)"
        if self.channels_last:
            yield "model = model.to(memory_format=torch.channels_last)"
            yield "images = images.to(memory_format=torch.channels_last)"
        if precision == "tf32":
            yield "torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True"

    def _contexts(self, device: Device, precision: str) -> Iterator[str]:
        yield "torch.inference_mode()"
        if precision == "amp":
            cache = "" if self.keeps_casts else ", cache_enabled=False"
            yield f'torch.autocast("{device.name}", torch.{device.amp_dtype}{cache})'


@dataclass(frozen=True)
class OnCuda(Mode):
    """A mode that exists on CUDA alone."""

    def precisions(self, device: Device) -> tuple[str, ...]:
        """See `Mode.precisions`."""
        return device.precisions if device.name == "cuda" else ()
