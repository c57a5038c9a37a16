"""Commands in a terminal: what is wrong is said in one line, in the characters that the terminal has.

Files are always UTF-8; a terminal may know no `×` or `α`.
"""

from __future__ import annotations

import codecs
import sys
import unicodedata
from collections.abc import Callable, Iterable
from functools import wraps
from typing import ParamSpec, TextIO

from mnv1.base.errors import UserError

Arguments = ParamSpec("Arguments")

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


def command(failed: int = 1) -> Callable[[Callable[Arguments, int]], Callable[Arguments, int]]:
    """For the function of a command: what the user can mend is said in a line and gives the exit status `failed`."""

    def decorate(main: Callable[Arguments, int]) -> Callable[Arguments, int]:
        @wraps(main)
        def guarded(*arguments: Arguments.args, **named: Arguments.kwargs) -> int:
            try:
                return main(*arguments, **named)
            except UserError as error:
                said = str(error)
            except OSError as error:
                if error.filename is None:  # not about a file that the user could look at
                    raise
                said = f"{error.filename}: {error.strerror}"
            print(f"error: {said}", file=sys.stderr)
            return failed

        return guarded

    return decorate


def run(main: Callable[[], int]) -> None:
    """A command: calls `main` with streams that take every character, and exits with its status."""
    write_what_can_be_shown()
    sys.exit(main())
