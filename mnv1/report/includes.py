"""Measured tables in the documentation: copied from files, never typed.

A document holds `<!-- include: PATH -->` and `<!-- end -->`, and between them what the file has, PATH relative to the
repository.
"""

from __future__ import annotations

import re
from pathlib import Path

from mnv1.report.render import RenderError

_INCLUDE = re.compile(r"(<!-- include: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)


def refreshed(text: str, root: Path) -> str:
    """The document with every include as its file has it now. Raises `RenderError` for a file that is missing."""

    def include(found: re.Match[str]) -> str:
        path = root / found[2]
        try:
            content = path.read_text(encoding="utf8").strip()
        except OSError as error:
            raise RenderError(f"{path}: cannot be included: {error.strerror}") from None
        return f"{found[1]}\n{content}\n\n{found[3]}"

    return _INCLUDE.sub(include, text)
