"""The documented import and command of closed-form counts; they are made in `mnv1.net.counts`."""

from mnv1.base import console
from mnv1.net.counts import Counts, count, count_with_fvcore, count_with_torch, main, memory_floor, training_macs

__all__ = ["Counts", "count", "count_with_fvcore", "count_with_torch", "memory_floor", "training_macs"]

if __name__ == "__main__":
    console.run(main)
