"""What others published about MobileNetV1, as data with its source: figures to check against, not truths.

Sources: `paper` is Howard et al. 2017, arXiv 1704.04861; `tensorflow` is the table of checkpoints of 2018-02-22 in
tensorflow/models, research/slim/nets/mobilenet_v1.md; `shufflenetv2` is Ma et al. 2018, arXiv 1807.11164, Table 8.
"""

from __future__ import annotations

from importlib.resources import files

import pandas as pd


def accuracy() -> pd.DataFrame:
    """Top-1 and top-5 accuracy on ImageNet in percent, by source, alpha and resolution."""
    return _table("accuracy.csv")


def speed() -> pd.DataFrame:
    """How fast the widths ran on the devices of their time: batches or images a second, by source, device and alpha."""
    return _table("speed.csv")


def _table(name: str) -> pd.DataFrame:
    with (files(__package__) / name).open(encoding="utf8") as file:
        return pd.read_csv(file)
