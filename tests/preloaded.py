"""What processes of `tests.forked` have imported when they begin."""

# Sweeps whose figures are made up.
import pytest_benchmark.plugin  # noqa: F401

# Training; with torchvision comes torch's compiler, the longest import of all.
import torchvision  # noqa: F401

import mnv1.suite.hooks  # noqa: F401
import scripts.train  # noqa: F401
from mnv1.training import distill, loop  # noqa: F401
