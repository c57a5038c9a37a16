"""What the scripts that render a table do with it."""

from __future__ import annotations

from pathlib import Path

from mnv1.store.runs import ResultError


def tell(text: str, out: Path | None) -> None:
    """Print a rendered text, and write it to a file where one is given. Raises `ResultError` when it cannot."""
    if out:
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_text(text + "\n", encoding="utf8")
        except OSError as error:
            raise ResultError(f"{out}: cannot be written: {error.strerror}") from None
    print(text)
