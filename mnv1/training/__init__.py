"""Training: data sets, the loop, checkpoints, several processes, distillation. `scripts/train.py` is its command."""
