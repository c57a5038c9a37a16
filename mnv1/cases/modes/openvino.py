"""OpenVINO."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from mnv1.cases.devices import Device
from mnv1.cases.modes.mode import Made, Mode
from mnv1.cases.modes.onnx_runtime import EXPORT

if TYPE_CHECKING:
    import torch
    from torch import nn


@dataclass(frozen=True)
class OpenVino(Mode):
    """Exported to ONNX, run by OpenVINO."""

    in_torch: ClassVar[bool] = False
    leaves_trace: ClassVar[bool] = False

    def precisions(self, device: Device) -> tuple[str, ...]:
        """See `Mode.precisions`."""
        return ("fp32", "bf16") if device.is_host else ()

    def make(self, device: str, precision: str, module: nn.Module, images: torch.Tensor) -> Made:
        """See `Mode.make`."""
        import torch

        from mnv1.base.packages import require
        from mnv1.cases.making import exported

        core = require("openvino", "openvino").Core()
        # OpenVINO's own conversion of torch modules reports its use to its makers; reading a file does not.
        with exported(module, images) as path:
            settings = {
                "INFERENCE_PRECISION_HINT": _hint(precision),
                "PERFORMANCE_HINT": "LATENCY",
                "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            }
            request = core.compile_model(core.read_model(path), "CPU", settings).create_infer_request()
            inputs = [images.numpy()]
            return Made(lambda: request.infer(inputs, share_inputs=True, share_outputs=True)[0], path.stat().st_size)

    def imports(self) -> Sequence[str]:
        """See `Mode.imports`."""
        return ["import openvino"]

    def lines(self, device: Device, precision: str, batch_size: int) -> Iterator[str]:
        """See `Mode.lines`."""
        yield EXPORT
        yield f'settings = {{"INFERENCE_PRECISION_HINT": "{_hint(precision)}", "PERFORMANCE_HINT": "LATENCY"}}'
        yield 'compiled = openvino.Core().compile_model("model.onnx", "CPU", settings)'
        yield "logits = compiled.create_infer_request().infer([images.numpy()])[0]"


def _hint(precision: str) -> str:
    return "bf16" if precision == "bf16" else "f32"


MODES = (
    OpenVino(
        "openvino",
        100,
        "exported to ONNX, run by OpenVINO, which can compute in bf16",
        sought=("fp32", "bf16"),
        compared=("fp32", "bf16"),
        package="openvino",
        extra="openvino",
    ),
)
