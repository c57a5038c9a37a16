"""What two revisions of mnv1 are compared by: `python scripts/compare_revisions.py BASE [HEAD]`

Early, middle and late blocks of both kinds, and networks of three sizes. All are short, so that many fit into one run.
On an accelerator a batch fills the device: with one image it would wait for the host, however slow its kernels are.
"""

import itertools

import torch
from torch import nn

from mnv1 import workload
from mnv1.blocks import conv_dw, conv_standard
from mnv1.model import MobileNetV1

PATHS = ["."]

IMAGES = {"cpu": 1} | ({"cuda": 256} if torch.cuda.is_available() else {})
"""Of a case, by device."""
AUTOCAST = {"cpu": torch.bfloat16, "cuda": torch.float16}
PRECISIONS = ("fp32", "amp")
KINDS = {"separable": conv_dw, "standard": conv_standard}
SHAPES = ((32, 64, 1, 112), (128, 128, 1, 56), (256, 512, 2, 28), (512, 512, 1, 14))
NETWORKS = (("separable", 1.0, 224, 1), ("separable", 0.5, 160, 1), ("separable", 0.25, 128, 1))
NETWORKS += (("separable", 0.25, 128, 8), ("standard", 0.25, 128, 1))


class Under(nn.Module):
    """A module in a precision."""

    def __init__(self, module, device, precision):
        super().__init__()
        self.module, self.device, self.is_amp = module.to(device), device, precision == "amp"

    def forward(self, images):
        with torch.autocast(self.device, AUTOCAST[self.device], enabled=self.is_amp):
            return self.module(images)


def images(*shape, device):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0)).to(device)


def tolerance(precision, **_):
    """How far outputs may differ, as a share of the largest element: amp rounds to 8 bits."""
    return 2e-2 if precision == "amp" else 1e-4


def conditions():
    return itertools.product(PRECISIONS, IMAGES.items())


@workload(
    name="layer-{kind}-{inputs}x{outputs}-s{stride}-d{side}-b{batch}-{device}-{precision}",
    over=[
        {"kind": kind, "inputs": inputs, "outputs": outputs, "stride": stride, "side": side}
        | {"batch": batch, "device": device, "precision": one}
        for one, (device, batch) in conditions()
        for inputs, outputs, stride, side in SHAPES
        for kind in KINDS
    ],
    tolerance=tolerance,
)
def layer(kind, inputs, outputs, stride, side, batch, device, precision):
    torch.manual_seed(0)
    block = KINDS[kind](inputs, outputs, stride)
    return Under(block, device, precision), images(batch, inputs, side, side, device=device)


@workload(
    name="model-{kind}-a{alpha:.2f}-r{pixels}-b{batch}-{device}-{precision}",
    over=[
        {"kind": kind, "alpha": alpha, "pixels": pixels, "batch": times * batch, "device": device, "precision": one}
        for one, (device, batch) in conditions()
        for kind, alpha, pixels, times in NETWORKS
    ],
    tolerance=tolerance,
)
def model(kind, alpha, pixels, batch, device, precision):
    torch.manual_seed(0)
    network = MobileNetV1(1000, alpha, KINDS[kind])
    return Under(network, device, precision), images(batch, 3, pixels, pixels, device=device)
