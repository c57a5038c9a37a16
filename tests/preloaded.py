"""What processes of `tests.forked` have imported when they begin: the training script and what it needs."""

import torchvision  # noqa: F401  # with it torch's compiler, the longest import of all

import scripts.train  # noqa: F401
from mnv1.train import distill, loop  # noqa: F401
