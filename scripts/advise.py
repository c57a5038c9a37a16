"""Would depthwise-separable convolutions pay in your network? `python scripts/advise.py torchvision.models:vgg16`

NETWORK is `package.module:callable` or `FILE.py:callable`; the callable takes no arguments and returns a module. Every
convolution that can be replaced is timed against its separable form, then the network against its twins, in turns. The
answer says which to replace, what that brings, and the lines of Python that do it. Run nothing else meanwhile.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from mnv1.advice import report
from mnv1.advice.advise import advise
from mnv1.base import console
from mnv1.base.errors import UserError
from mnv1.cases import DEVICES, MODES, PRECISIONS
from mnv1.net.architecture import Between

ROOT = Path(__file__).resolve().parent.parent


@console.command()
def main(argv: Sequence[str] | None = None) -> int:
    """Command line. Returns 1 when the answer cannot be had, 130 when it was interrupted."""
    args = vars(_parser().parse_args(argv))
    shape = _shape(args.pop("input"))
    try:
        document = advise(
            args.pop("network"),
            shape,
            stored=args.pop("json"),
            say=lambda line: print(line, flush=True),
            **args,
        )
    except KeyboardInterrupt:
        print("interrupted: what was measured is kept; go on with the same command and --resume", file=sys.stderr)
        return 130
    stored, page = document["files"]
    print("", report.text(document), "", f"stored: {stored}", f"The page: {page}", sep="\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Would depthwise-separable convolutions pay in your network?")
    parser.add_argument("network", metavar="NETWORK", help="package.module:callable or FILE.py:callable")
    parser.add_argument("--input", default="3x224x224", help="shape of one image (default: 3x224x224)")
    parser.add_argument("--batch-size", type=int, default=1, metavar="N", help="images a call (default: 1)")
    parser.add_argument("--device", choices=DEVICES, default="cpu", help="where to run (default: cpu)")
    parser.add_argument("--precision", choices=PRECISIONS, default="fp32", help="precision (default: fp32)")
    parser.add_argument("--mode", choices=MODES, default="eager", help="how to run it (default: eager)")
    parser.add_argument(
        "--between",
        choices=get_args(Between),
        default="bn-relu",
        help="what stands between depthwise and 1x1 convolution (default: BatchNorm and ReLU, as in the paper)",
    )
    parser.add_argument("--time-budget", type=float, default=240.0, metavar="SECONDS", help="default: 240")
    parser.add_argument("--case-timeout", type=float, default=300.0, metavar="SECONDS", help="default: 300")
    parser.add_argument("--json", type=Path, metavar="FILE", help="store the answer here, raw rounds included")
    parser.add_argument("--out", type=Path, metavar="FOLDER", default=ROOT / "results" / "advice", help="for the page")
    parser.add_argument("--resume", action="store_true", help="go on with what was interrupted")
    return parser


def _shape(text: str) -> tuple[int, ...]:
    if not re.fullmatch(r"[1-9]\d*(x[1-9]\d*)+", text):
        raise UserError(f"--input: {text!r} is no shape; one is such as 3x224x224: channels, then sides")
    return tuple(map(int, text.split("x")))


if __name__ == "__main__":
    console.run(main)
