"""What a training run's folder holds. Needs no torch.

Weights, and everything else to go on with, are in `CHECKPOINT`.
"""

from mnv1.base.files import CHECKPOINT

__all__ = ["CHECKPOINT", "FACTS", "INT8", "LOG", "PREDICTIONS", "SCHEMA"]

FACTS = "training.json"
"""What is known of the run: recipe, environment, every epoch."""
LOG = "log.csv"
"""The epochs alone."""
PREDICTIONS = "predictions.npz"
"""Some test images, their labels and what they were taken for."""
INT8 = "int8.pt"
"""The int8 network of a run with --qat."""

SCHEMA = 1
"""Version of checkpoints and facts; a reader refuses another."""
