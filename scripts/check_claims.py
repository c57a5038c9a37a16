"""Reproduce or refute what others published about MobileNetV1: `python scripts/check_claims.py`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mnv1.base import console
from mnv1.base.errors import UserError
from mnv1.claims.judge import VERDICTS, judge
from mnv1.claims.measured import stored_runs
from mnv1.claims.report import FIRST, FORMATS, render, summary
from mnv1.net.published import SOURCES, claims
from mnv1.store.runs import find_runs

ROOT = Path(__file__).parent.parent


def main(argv: list[str] | None = None) -> int:
    """Command line. Returns 0 when every claim has a verdict, 1 for files that cannot be used, 2 for wrong usage."""
    parser = argparse.ArgumentParser(description="Judge every published figure: counted, measured, or what is needed.")
    parser.add_argument("runs", nargs="*", type=Path, help="judge by these runs (default: all below --results)")
    parser.add_argument("--results", type=Path, default=ROOT / "results", help="where runs are stored")
    parser.add_argument("--published", type=Path, help="a folder with other files of claims than the package's own")
    parser.add_argument("--source", choices=tuple(SOURCES), action="append", help="only claims of this source")
    parser.add_argument(
        "--verdict",
        choices=VERDICTS,
        action="append",
        help=f"only claims with this verdict (default: {' and '.join(FIRST)} as text, every verdict in another format)",
    )
    parser.add_argument("--format", choices=FORMATS, default="text", help="how to write them (default: text)")
    parser.add_argument("--out", type=Path, help="write to this file instead of the terminal")
    args = parser.parse_args(argv)
    try:
        runs, complaints = stored_runs(args.runs or find_runs(args.results))
        judged = judge(claims(args.published), runs)
        judged = [one for one in judged if one.claim.source in (args.source or SOURCES)]
        shown = args.verdict or (FIRST if args.format == "text" else VERDICTS)
        text = render([one for one in judged if one.verdict in shown], args.format)
        if args.out:
            args.out.write_text(text, encoding="utf8")
            print(f"wrote {args.out}")
        else:
            print(text, end="")
            if args.format == "text":
                print(f"\n{summary(judged, shown)}")
    except UserError as error:
        complaints = [str(error)]
    except OSError as error:
        complaints = [f"{args.out}: cannot be written: {error.strerror}"]
    for complaint in complaints:
        print(f"error: {complaint}", file=sys.stderr)
    return 1 if complaints else 0


if __name__ == "__main__":
    console.run(main)
