"""Modes that call the module: as it is, or with BatchNorm folded and channels innermost."""

from __future__ import annotations

from mnv1.cases.modes.mode import Mode

_EVERYWHERE = ("fp32", "tf32", "amp", "bf16")

MODES = (
    Mode("eager", 10, "the module is called as it is", sought=_EVERYWHERE, compared=("fp32",)),
    Mode("channels_last", 20, "weights and images have their channels innermost in memory", channels_last=True),
    Mode("folded", 30, "each BatchNorm is folded into the convolution before it", folds=True),
    Mode(
        "folded+channels_last",
        40,
        "BatchNorm folded, channels innermost",
        folds=True,
        channels_last=True,
        sought=_EVERYWHERE,
        compared=("fp32",),
    ),
)
