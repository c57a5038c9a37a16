"""What `scripts/compress.py` can do, and what it leaves. Needs no torch."""

from __future__ import annotations

from typing import Literal, get_args

Method = Literal["ptq", "qat", "prune-unstructured", "prune-channels"]
METHODS: tuple[Method, ...] = get_args(Method)

Spread = Literal["layer", "network"]
SPREADS: tuple[Spread, ...] = get_args(Spread)

COMPRESSED = "compressed.json"
"""What is known of a compressed network: accuracy, outputs, counts, file sizes and latency, before and after."""
ACCURACY = "accuracy.json"
"""The accuracy of quantization after training, by the id of the network and precision, for the ladder."""
PRUNED = "pruned.pt"
"""A pruned network before it is trained on: a checkpoint without optimizer, for `scripts/train.py --start`."""

SCHEMA = 1
"""Version of `COMPRESSED`; a reader refuses another."""
