"""Smaller and faster networks with nearly the same answers: int8 and pruning. `scripts/compress.py` is its command."""
