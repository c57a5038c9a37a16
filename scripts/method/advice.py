"""Answers of `scripts/advise.py` as a table and a figure: `python scripts/method/advice.py FILES --out FOLDER`"""

from __future__ import annotations

import argparse
import io
from collections.abc import Sequence
from pathlib import Path

from mnv1.advice import overview, report
from mnv1.advice.measured import SCHEMA
from mnv1.base import console
from mnv1.base.documents import checked, read_json
from mnv1.base.errors import UserError
from mnv1.base.files import write_whole
from mnv1.report import plots


@console.command()
def main(argv: Sequence[str] | None = None) -> int:
    """Command line. Returns 1 for a file that is no answer."""
    parser = argparse.ArgumentParser(description="Several answers beside each other.")
    parser.add_argument("answers", nargs="+", type=Path, metavar="FILE", help="what advise.py stored")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where table, details and figure go")
    args = parser.parse_args(argv)
    documents = []
    for path in args.answers:
        found = read_json(path, UserError)
        documents.append(checked(found, path, UserError, "an answer of scripts/advise.py", SCHEMA, {"layers", "full"}))
    with plots.style():
        buffer = io.BytesIO()
        overview.draw(documents).savefig(buffer, format="svg", metadata={"Date": None})
    details = "\n\n".join(map(report.markdown, documents))
    for name, content in (("advice.md", overview.table(documents)), ("advice-details.md", details)):
        write_whole(args.out / name, lambda file, text=content: file.write(f"{text}\n".encode()))  # type: ignore[misc]
    write_whole(args.out / "advice.svg", lambda file: file.write(buffer.getvalue()))
    print(overview.table(documents))
    return 0


if __name__ == "__main__":
    console.run(main)
