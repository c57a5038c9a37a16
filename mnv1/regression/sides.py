"""The two sides of a comparison: which code, which interpreter, and proof that a process runs them."""

from __future__ import annotations

import ast
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mnv1.base.errors import UserError
from mnv1.base.marks import in_a_line

WORKING_TREE = "working tree"

NOT_UNDER_TEST = frozenset(
    {"benchmarks", "tests", "test", "docs", "examples", "scripts", "setup", "conftest", "noxfile"}
)
"""Names beside the code under test that are none of it."""

NOT_COPIED = shutil.ignore_patterns(".*", "__pycache__", "node_modules")


class SideError(UserError):
    """A side cannot be made, or is not what it claims."""


class NoGitError(SideError):
    """There is no git to ask."""


@dataclass(frozen=True)
class Harness:
    """The suite that both sides run: a copy of its file, taken from the head, and where the code under test lies."""

    file: Path
    paths: tuple[str, ...]
    """Folders of a repository that are put on the path; none where each interpreter has the code installed."""
    helpers: str
    """The folder of the suite's own modules, put last on the path; empty where there is none."""
    names: frozenset[str]
    """Modules and packages under test."""
    needs_code: bool = True
    """Whether those must be loaded: where two interpreters are compared, the suite may use their packages alone."""


@dataclass(frozen=True)
class Side:
    """One side: a copy of its code, and the interpreter that runs it."""

    name: str
    """`base` or `head`."""
    revision: str
    """Full hash, or `working tree`."""
    root: Path
    """Holds the repository's files."""
    python: str
    hashes: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 of each Python file of the copy as it was made, by its path below `root`."""


def make_side(name: str, revision: str | None, repository: Path, folder: Path, python: str = sys.executable) -> Side:
    """Copy a revision's files (None: the working tree as it is) below `folder`.

    A copy is all that is needed: unlike a worktree it leaves nothing in the repository, and later edits of the working
    tree do not reach it. Raises `SideError` for a revision that does not exist, and for an interpreter that does not
    run.
    """
    root = folder / name
    found = WORKING_TREE if revision is None else resolve(revision, repository)
    try:
        root.mkdir(parents=True)
        if revision is None:
            _copy_working_tree(repository, root)
        else:
            with tarfile.open(fileobj=io.BytesIO(_git(repository, "archive", "--format=tar", found))) as files:
                files.extraction_filter = getattr(tarfile, "data_filter", None)  # not in Python before 3.11.4
                files.extractall(root)
    except (OSError, shutil.Error) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise SideError(f"{name}: its code cannot be copied to {root}: {why}") from None
    _check_interpreter(name, python)
    return Side(name, found, root, python, hashes_of(root))


def make_harness(suite: Path, repository: Path, sides: Sequence[Side], folder: Path, installed: bool) -> Harness:
    """Copy a suite's file, and the modules beside it, below `folder`; `sides` are base and head.

    The folders of the code under test are what the file says (`PATHS = ["src"]` at its top level); otherwise `src`
    where that holds modules, and else the repository itself. `installed`: each interpreter has the code. Raises
    `SideError`.
    """
    try:
        text = suite.read_text(encoding="utf8")
        said = paths_said_in(text)
    except FileNotFoundError:
        raise SideError(f"--suite: {suite}: there is no such file") from None
    except (OSError, SyntaxError, ValueError) as error:
        raise SideError(f"--suite: {suite}: cannot be used: {in_a_line(error)}") from None
    base, head = sides
    is_one_interpreter = base.python == head.python
    paths = tuple(said) if said is not None else ("src",) if _modules_in(head.root / "src") else (".",)
    missing = next((path for path in paths if not (head.root / path).is_dir()), None)
    if missing is not None:
        raise SideError(f"--suite: {suite}: its PATHS name {missing}, and head has no such folder")
    suites_own = _top(suite, repository)
    names = (
        frozenset(name for path in paths for name in _modules_in(head.root / path))
        - NOT_UNDER_TEST
        - {suites_own, suite.stem}
    )
    if not names and is_one_interpreter:
        raise SideError(
            f"--suite: {suite}: head has no Python module in {', '.join(paths)}: say where with PATHS = [...]"
        )
    file = folder / "suite" / suite.name
    beside = suite.resolve().parent
    holds_code = beside in {(repository / path).resolve() for path in paths} or beside == repository.resolve()
    try:
        if holds_code:  # what lies beside it is under test, and comes from each side
            file.parent.mkdir()
            file.write_text(text, encoding="utf8")
        else:
            shutil.copytree(beside, file.parent, ignore=NOT_COPIED)
    except (OSError, shutil.Error) as error:
        raise SideError(f"--suite: {suite}: cannot be copied: {error}") from None
    helpers = "" if holds_code else str(file.parent)
    return Harness(file, () if installed else paths, helpers, names, is_one_interpreter)


def paths_said_in(text: str) -> list[str] | None:
    """What a suite's file says at its top level as `PATHS = [...]`; None where it does not. Raises `ValueError`."""
    for one in ast.parse(text).body:
        if isinstance(one, ast.Assign) and any(isinstance(to, ast.Name) and to.id == "PATHS" for to in one.targets):
            paths = ast.literal_eval(one.value)
            if not isinstance(paths, list | tuple) or not all(isinstance(path, str) for path in paths):
                raise ValueError("PATHS must be a list of folders")
            return list(paths)
    return None


def _top(suite: Path, repository: Path) -> str:
    """The first part of a suite's path in its repository: `benchmarks`, or its own name."""
    file = suite.resolve()
    below = file.relative_to(repository.resolve()) if file.is_relative_to(repository.resolve()) else Path(suite.name)
    return Path(below.parts[0]).stem


def _modules_in(folder: Path) -> set[str]:
    """The modules and packages that lie directly in a folder."""
    if not folder.is_dir():
        return set()
    modules = {one.stem for one in folder.glob("*.py")}
    return modules | {one.name for one in folder.iterdir() if one.name.isidentifier() and any(one.glob("*.py"))}


def _copy_working_tree(repository: Path, root: Path) -> None:
    """The files that git knows or would add; without git, all but hidden ones."""
    try:
        listed = _git(repository, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    except SideError:
        shutil.copytree(repository, root, ignore=NOT_COPIED, dirs_exist_ok=True)
        return
    for name in filter(None, listed.decode(errors="surrogateescape").split("\0")):
        source, target = repository / name, root / name
        if source.is_file():  # one that was deleted is listed still
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)


def hashes_of(root: Path) -> dict[str, str]:
    """SHA-256 of each Python file below a folder."""
    files = sorted(root.rglob("*.py"))
    return {file.relative_to(root).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


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


def top_of(folder: Path) -> Path:
    """The repository that a folder lies in; the folder itself where there is none."""
    try:
        return Path(_git(folder, "rev-parse", "--show-toplevel").decode().strip())
    except SideError:
        return folder


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
    raise SideError(f"there is no branch {main!r} to find the base on; name the base")


def what_is_wrong(side: Side, harness: Harness, files: Mapping[str, Sequence[str]]) -> str | None:
    """Why a process that has loaded these files is not the side that it should be, or None when it is."""
    loaded = {name: (Path(file), digest) for name, (file, digest) in files.items()}
    if not loaded and harness.needs_code:
        return (
            f"{side.name}: the code under test was not loaded: the suite's cases import none of {_some(harness.names)}"
        )
    if not harness.paths:  # installed: where, is for its interpreter to say
        return None
    root = side.root.resolve()
    for name, (file, digest) in loaded.items():
        if root not in file.resolve().parents:
            return f"{side.name}: {name} was loaded from {file}, not from {side.root}"
        relative = file.resolve().relative_to(root).as_posix()
        if relative in side.hashes and side.hashes[relative] != digest:
            return f"{side.name}: {relative} changed while it was measured"
    return None


def _some(names: Collection[str]) -> str:
    listed = sorted(names)
    return ", ".join(listed[:5]) + (", …" if len(listed) > 5 else "")


def _check_interpreter(name: str, python: str) -> None:
    try:
        subprocess.run([python, "-c", ""], capture_output=True, check=True, timeout=300)
    except (OSError, subprocess.SubprocessError):
        raise SideError(f"{name}: {python} does not run; name an interpreter of Python") from None


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
