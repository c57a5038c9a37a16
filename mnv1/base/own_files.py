"""Files of the user's own: run as modules, and what is wrong with them in a line."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from mnv1.base.errors import UserError
from mnv1.base.marks import in_a_line


class OwnFileError(UserError):
    """A file of the user's that cannot be used."""


def module_of(path: Path) -> ModuleType:
    """A file as a module, with its folder on the path as `python FILE.py` has it. Raises `OwnFileError`."""
    if not path.is_file():
        raise OwnFileError(f"{path}: there is no such file")
    name = f"mnv1_own_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise OwnFileError(f"{path}: is no Python file; its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    folder = str(path.resolve().parent)
    sys.path.insert(0, folder)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise OwnFileError(f"{path}: raises when it is run: {in_a_line(error)}") from None
    finally:
        sys.path.remove(folder)
    return module
