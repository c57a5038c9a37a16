"""Text on terminals that know no `×` or `α`: written in the characters that they have. Files are always UTF-8."""

from __future__ import annotations

import codecs
import sys
import unicodedata
from collections.abc import Callable, Iterable
from typing import TextIO

PLAIN = {
    "×": "x",
    "÷": "/",
    "·": "*",
    "±": "+-",
    "→": "->",
    "≈": "~",
    "≠": "!=",
    "≤": "<=",
    "≥": ">=",
    "∝": "~",
    "‖": "||",
    "−": "-",
    "–": "-",
    "—": "-",
    "…": "...",
    "“": '"',
    "”": '"',
    "‘": "'",
    "’": "'",
    "α": "alpha",
    "ρ": "rho",
    "µ": "u",
    "μ": "u",
    "²": "^2",
    "√": "sqrt ",
    "σ": "sigma",
    "Σ": "sum ",
    "γ": "gamma",
}
"""What is written for characters that a terminal lacks."""

_HANDLER = "mnv1.plain"


def plain(text: str) -> str:
    """A text in ASCII: known characters by `PLAIN`, letters without their accents, and `?` for any other."""
    written = []
    for character in text:
        known = PLAIN.get(character) or unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
        written.append(character if character.isascii() else known or "?")
    return "".join(written)


def _instead(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return plain(error.object[error.start : error.end]), error.end


codecs.register_error(_HANDLER, _instead)


def write_what_can_be_shown(streams: Iterable[TextIO] | None = None) -> None:
    """From here on streams (standard output and errors) write other characters for those that they lack."""
    for stream in (sys.stdout, sys.stderr) if streams is None else streams:
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure:  # what has replaced the terminal, such as io.StringIO, may take every character
            reconfigure(errors=_HANDLER)


def run(main: Callable[[], int]) -> None:
    """A command: calls `main` with streams that take every character, and exits with its status."""
    write_what_can_be_shown()
    sys.exit(main())
