"""Networks that are taken for MobileNetV1, told by names that only they have."""

from __future__ import annotations

import re
from collections.abc import Iterable

_SIGNS = tuple(
    (network, re.compile(pattern))
    for network, pattern in (
        ("MobileNetV4", r"\.(dw_start|dw_mid)\.conv\.weight$"),
        ("MobileNetV3", r"(^|[./])expanded_conv(_\d+)?[_/](squeeze_excite|expand)"),  # Keras
        ("MobileNetV3", r"features\.\d+\.block\.\d+\.(0|fc1)\.weight$"),  # torchvision
        ("MobileNetV2", r"features\.\d+\.conv\.\d+\.0\.weight$"),  # torchvision
        ("MobileNetV2", r"(^|\.)layer\.\d+\.reduce_1x1\."),  # transformers
        ("MobileNetV2", r"(^|[./])block_\d+_(expand|project)/"),  # Keras
        ("ResNet", r"(^|\.)layer\d\.\d+\.conv\d\.weight$"),
    )
)
_TIMM_PROJECTION, _TIMM_SQUEEZE, _TIMM_HEAD = (
    re.compile(pattern)
    for pattern in (r"blocks\.\d+\.\d+\.conv_pwl\.", r"blocks\.\d+\.\d+\.se\.", r"(^|\.)bn2\.weight$")
)


def identify(names: Iterable[str]) -> str | None:
    """The network that has weights of these names, where it is known and another one than MobileNetV1."""
    names = list(names)

    def any_has(pattern: re.Pattern[str]) -> bool:
        return any(pattern.search(name) for name in names)

    for network, pattern in _SIGNS:
        if any_has(pattern):
            return network
    if not any_has(_TIMM_PROJECTION):
        return None
    if not any_has(_TIMM_SQUEEZE):
        return "MobileNetV2"
    has_head_norm = any(_TIMM_HEAD.search(name) and "blocks." not in name for name in names)
    return "EfficientNet" if has_head_norm else "MobileNetV3"
