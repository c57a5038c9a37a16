"""What a ledger of self-tests shows: `python scripts/method/false_alarms.py LEDGER [--out FILE]`

Lines are added by `python scripts/compare_revisions.py --self-test --ledger LEDGER`, with and without `--inject`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mnv1.base import console
from mnv1.regression.self_tests import self_test_tables
from mnv1.regression.stored import StoredError, read_ledger
from mnv1.report.output import tell


@console.command()
def main(argv: list[str] | None = None) -> int:
    """Command line: Markdown on standard output. Returns 1 when there is nothing to show."""
    parser = argparse.ArgumentParser(description="False alarms and power of comparisons, from a ledger of self-tests.")
    parser.add_argument("ledger", type=Path, help="file that compare_revisions.py --ledger wrote")
    parser.add_argument("--out", type=Path, help="also write it to this file")
    args = parser.parse_args(argv)
    try:
        tables = self_test_tables(read_ledger(args.ledger))
    except ValueError as error:
        raise StoredError(f"{args.ledger}: {error}") from None
    tell(tables, args.out)
    return 0


if __name__ == "__main__":
    console.run(main)
