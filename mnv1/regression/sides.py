"""The two sides of a comparison: which code, which interpreter, and proof that a process runs them."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mnv1.base.errors import UserError

UNDER_TEST = ("mnv1/__init__.py", "mnv1/blocks.py", "mnv1/model.py")
"""What a process under test loads; a revision must have it."""

WORKING_TREE = "working tree"

_NEEDED = "import importlib.util, sys; sys.exit(importlib.util.find_spec('torch') is None)"
"""What an interpreter must be able to do. torch is found, not imported: that takes seconds, and its process does it."""


class SideError(UserError):
    """A side cannot be made, or is not what it claims."""


class NoGitError(SideError):
    """There is no git to ask."""


@dataclass(frozen=True)
class Side:
    """One side: a copy of its code, and the interpreter that runs it."""

    name: str
    """`base` or `head`."""
    revision: str
    """Full hash, or `working tree`."""
    root: Path
    """Holds the folder `mnv1`."""
    python: str
    hashes: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 of each file of the copy as it was made, by its path below `root`."""


def make_side(name: str, revision: str | None, repository: Path, folder: Path, python: str = sys.executable) -> Side:
    """Copy a revision's code (None: the working tree as it is) below `folder`.

    A copy is all that is needed: unlike a worktree it leaves nothing in the repository, and later edits of the working
    tree do not reach it. Raises `SideError` for a revision that does not exist or has no such code, and for an
    interpreter that does not run.
    """
    root = folder / name
    found = WORKING_TREE if revision is None else resolve(revision, repository)
    try:
        root.mkdir(parents=True)
        if revision is None:
            shutil.copytree(repository / "mnv1", root / "mnv1", ignore=shutil.ignore_patterns("__pycache__"))
        else:
            with tarfile.open(fileobj=io.BytesIO(_archive(revision, found, repository))) as files:
                files.extractall(root, filter="data")
    except (OSError, shutil.Error) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise SideError(f"{name}: its code cannot be copied to {root}: {why}") from None
    missing = [one for one in UNDER_TEST if not (root / one).is_file()]
    if missing:
        raise SideError(f"{name} ({revision or found}): lacks {', '.join(missing)}, so it cannot be compared")
    _check_interpreter(name, python)
    return Side(name, found, root, python, hashes_of(root))


def hashes_of(root: Path) -> dict[str, str]:
    """SHA-256 of each Python file below a folder."""
    files = sorted(root.rglob("*.py"))
    return {file.relative_to(root).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def _archive(revision: str, found: str, repository: Path) -> bytes:
    try:
        return _git(repository, "archive", "--format=tar", found, "mnv1")
    except SideError:
        raise SideError(f"revision {revision}: has no folder mnv1, so there is nothing to compare") from None


def resolve(revision: str, repository: Path) -> str:
    """The full hash of a revision. Raises `SideError` when there is none, or no repository."""
    _check_repository(repository)
    try:
        return (
            _git(repository, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
            .decode()
            .strip()
        )
    except SideError:
        raise SideError(f"revision {revision!r} does not exist here; see `git log --all --oneline`") from None


def merge_base(repository: Path, main: str = "main") -> str:
    """Where the working tree's history left that of `main`, here or at the origin.

    Raises `SideError` when there is no such branch, or no repository.
    """
    _check_repository(repository)
    for branch in (main, f"origin/{main}"):
        try:
            return _git(repository, "merge-base", branch, "HEAD").decode().strip()
        except SideError:  # a clone of another branch has main only at its origin
            continue
    raise SideError(f"there is no branch {main!r} to find the base on; name it: compare_revisions.py BASE")


def what_is_wrong(side: Side, proof: Mapping[str, Any]) -> str | None:
    """Why a process is not the side that it should be, or None when it is."""
    loaded = {name: (Path(file), digest) for name, (file, digest) in proof.get("files", {}).items()}
    for name, (file, digest) in loaded.items():
        if side.root.resolve() not in file.resolve().parents:
            return f"{side.name}: {name} was loaded from {file}, not from {side.root}"
        relative = file.resolve().relative_to(side.root.resolve()).as_posix()
        if side.hashes.get(relative) != digest:
            return f"{side.name}: {relative} changed while it was measured"
    if not {"mnv1.model", "mnv1.blocks"} <= set(loaded):
        return f"{side.name}: the code under test was not loaded"
    return None


def _check_interpreter(name: str, python: str) -> None:
    try:
        subprocess.run([python, "-c", _NEEDED], capture_output=True, check=True, timeout=300)
    except (OSError, subprocess.SubprocessError):
        raise SideError(f"{name}: {python} does not run, or has no torch; install it there first") from None


def _check_repository(repository: Path) -> None:
    """A downloaded archive has no revisions, so none that could be missing. Raises `SideError`."""
    try:
        _git(repository, "rev-parse", "--git-dir")
    except NoGitError:
        raise
    except SideError as error:
        wrong = str(error).splitlines()[0].removeprefix("fatal: ")
        if wrong.startswith("not a git repository"):
            wrong = f"{repository} is not a git repository, so it has no revisions"
        raise SideError(f"{wrong}: get the project with `git clone`, or {_WITHOUT_GIT}") from None


_WITHOUT_GIT = "compare two interpreters instead: --base-python, --head-python"


def _git(repository: Path, *arguments: str) -> bytes:
    try:
        command = ["git", "-C", str(repository), *arguments]
        speaking_english = os.environ | {"LC_ALL": "C"}
        return subprocess.run(command, capture_output=True, check=True, env=speaking_english).stdout
    except FileNotFoundError:
        raise NoGitError(f"git is not installed, so revisions cannot be found: install it, or {_WITHOUT_GIT}") from None
    except subprocess.CalledProcessError as error:
        raise SideError(error.stderr.decode(errors="replace").strip() or f"git {arguments[0]} failed") from None
