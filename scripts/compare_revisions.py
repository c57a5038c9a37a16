"""Is one revision of this suite slower than another? `python scripts/compare_revisions.py BASE [HEAD]`

The command of `python -m mnv1.regression`, for this repository and its own cases.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mnv1.base import console
from mnv1.regression import command

ROOT = Path(__file__).resolve().parent.parent
SUITE = ROOT / "benchmarks" / "speed.py"


@console.command(failed=2)
def main(argv: Sequence[str] | None = None) -> int:
    """Command line."""
    return command.main(argv, ROOT, SUITE)


if __name__ == "__main__":
    console.run(main)
