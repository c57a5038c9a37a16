"""ONNX Runtime."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from mnv1.cases.devices import Device
from mnv1.cases.modes.mode import Made, Mode

if TYPE_CHECKING:
    import torch
    from torch import nn

EXPORT = 'torch.onnx.export(model, (images,), "model.onnx", input_names=["images"], external_data=False)'
"""The line of a program that writes a network for other runtimes."""


@dataclass(frozen=True)
class OnnxRuntime(Mode):
    """Exported to ONNX, run by ONNX Runtime."""

    in_torch: ClassVar[bool] = False
    leaves_trace: ClassVar[bool] = False

    def precisions(self, device: Device) -> tuple[str, ...]:
        """See `Mode.precisions`."""
        return ("fp32",) if device.is_host else ()

    def make(self, device: str, precision: str, module: nn.Module, images: torch.Tensor) -> Made:
        """See `Mode.make`."""
        import torch

        from mnv1.base.packages import require
        from mnv1.cases.making import exported

        runtime = require("onnxruntime", "onnx")
        with exported(module, images) as path:
            options = runtime.SessionOptions()
            options.intra_op_num_threads = torch.get_num_threads()
            # Its threads would go on waiting busily after a call, for longer than the next visit to another rung takes.
            options.add_session_config_entry("session.force_spinning_stop", "1")
            session = runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
            inputs = {"images": images.numpy()}
            return Made(lambda: session.run(["logits"], inputs)[0], path.stat().st_size)

    def imports(self) -> Sequence[str]:
        """See `Mode.imports`."""
        return ["import onnxruntime"]

    def lines(self, device: Device, precision: str, batch_size: int) -> Iterator[str]:
        """See `Mode.lines`."""
        yield EXPORT
        yield "options = onnxruntime.SessionOptions()"
        yield "options.intra_op_num_threads = torch.get_num_threads()"
        yield 'session = onnxruntime.InferenceSession("model.onnx", options, providers=["CPUExecutionProvider"])'
        yield '(logits,) = session.run(None, {"images": images.numpy()})'


MODES = (
    OnnxRuntime(
        "onnxruntime",
        90,
        "exported to ONNX, run by ONNX Runtime",
        compared=("fp32",),
        package="onnxruntime",
        extra="onnx",
    ),
)
