"""Files of JSON: what cannot be read, or is something else, is said in a line."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from mnv1.base.errors import UserError

Problem = Callable[[str], UserError]
"""Makes the error that is raised of a line for the user."""


def text_of(path: Path, problem: Problem) -> str:
    """The text of a file."""
    try:
        return path.read_text(encoding="utf8")
    except FileNotFoundError:
        raise problem(f"{path}: no such file") from None
    except UnicodeDecodeError:
        raise problem(f"{path}: cannot be read: it is not UTF-8 text") from None
    except OSError as error:
        raise problem(f"{path}: cannot be read: {error.strerror or error}") from None


def parsed(text: str, where: object, problem: Problem) -> Any:
    """What a text of JSON holds."""
    if not text.strip():
        raise problem(f"{where}: the file is empty; what wrote it was cut off, make it again")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise problem(f"{where}: damaged or truncated JSON ({error}); restore or delete the file") from None


def read_json(path: Path, problem: Problem) -> Any:
    """What a file of JSON holds."""
    return parsed(text_of(path, problem), path, problem)


def checked(
    document: Any, where: object, problem: Problem, what: str, schema: object, names: Collection[str] = ()
) -> dict[str, Any]:
    """A document that is an object of a layout, with some `names` in it; `what` it should be is told otherwise."""
    if not isinstance(document, dict) or "schema" not in document or not set(names) <= set(document):
        raise problem(f"{where}: not {what}")
    if document["schema"] != schema:
        raise problem(f"{where}: layout {document['schema']!r}, this version reads {schema}; use a matching mnv1")
    return document
