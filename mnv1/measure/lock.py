"""One measurement at a time on a machine: whatever times something holds one lock, and the next one waits for it.

The lock is the system's, on a file in a folder of the whole machine, so that it is free as soon as its holder is gone,
however that ended. Containers share it where they share that folder (`MNV1_LOCK_FOLDER`). Needs no torch.
"""

from __future__ import annotations

import json
import os
import platform
import shlex
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

HAS_LOCKS = False
"""Whether the package is there: a comparison runs where it is not."""
with suppress(ImportError):
    from filelock import FileLock, Timeout

    HAS_LOCKS = True

FOLDER = "MNV1_LOCK_FOLDER"
"""The environment variable that puts the lock elsewhere."""

HELD = "MNV1_LOCK_HELD"
"""The environment variable by which children of the holder know that the lock is held for them."""

POLL = 1.0
"""Seconds between two looks at a lock that somebody else holds."""


def lock_folder() -> Path:
    """The folder of the lock: the same for all users of a machine, whatever their TMPDIR is."""
    named = os.environ.get(FOLDER)
    if named:
        return Path(named)
    if sys.platform == "win32":
        return Path(os.environ.get("PROGRAMDATA", tempfile.gettempdir())) / "mnv1"
    return Path("/tmp/mnv1")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


@contextmanager
def machine_lock(tell: Callable[[str], None] = _say) -> Iterator[None]:
    """Hold the machine's lock. Waits until it is free, and tells who holds it; Ctrl-C ends the wait.

    A wait that is ended so raises `SystemExit` with 130. Does nothing in a process that was started by the holder.
    Where no lock can be made, that is told, and there is none.
    """
    folder = lock_folder()
    holder = folder / "holder.json"
    if not HAS_LOCKS:
        tell("warning: filelock is not installed, so no lock can be held: make sure that nothing else is measured")
        yield
        return
    try:
        lock = _acquired(folder, holder, tell)
    except OSError as error:
        tell(f"warning: no lock can be held in {folder} ({error.strerror}): make sure that nothing else is measured")
        lock = None
    if lock is None:
        yield
        return
    before = os.environ.get(HELD)
    os.environ[HELD] = token = uuid.uuid4().hex
    _write(holder, token)
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(HELD, None)
        else:
            os.environ[HELD] = before
        with suppress(OSError):
            holder.unlink()
        lock.release()


def _acquired(folder: Path, holder: Path, tell: Callable[[str], None]) -> FileLock | None:
    """The lock, when it is free; None when it is held by this process, or by one that started it. Raises `OSError`."""
    _make(folder)
    lock = FileLock(folder / "measuring.lock", timeout=0, mode=0o666)
    try:
        lock.acquire()
    except Timeout:
        found = _read(holder)
        if found.get("token") == os.environ.get(HELD, ""):
            return None
        tell(f"waiting: {_who(found)} measures on this machine, and two at once would spoil each other (Ctrl-C leaves)")
        try:
            _wait(lock)
        except KeyboardInterrupt:
            tell("left: nothing was measured")
            raise SystemExit(130) from None
        tell("the machine is free: going on")
    return lock


def _wait(lock: FileLock) -> None:
    lock.acquire(timeout=-1, poll_interval=POLL)


def _make(folder: Path) -> None:
    """Every user may write there. A sticky folder, as /tmp itself is, would let nobody open a file of somebody else."""
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o777)


def _write(holder: Path, token: str) -> None:
    """Under another name first: a reader sees it whole, and a file of another user is replaced, not opened."""
    about = {
        "command": _command(),
        "pid": os.getpid(),
        "host": platform.node(),
        "since": datetime.now().astimezone().isoformat(timespec="seconds"),
        "token": token,
    }
    with suppress(OSError):  # it only tells others
        number, name = tempfile.mkstemp(dir=holder.parent, prefix=".holder-")
        os.close(number)
        Path(name).write_text(json.dumps(about), encoding="utf8")
        Path(name).chmod(0o644)
        Path(name).replace(holder)


def _read(holder: Path) -> dict[str, object]:
    try:
        found = json.loads(holder.read_text(encoding="utf8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _who(found: dict[str, object]) -> str:
    if not found:
        return "something else"
    return f"`{found.get('command')}` (process {found.get('pid')} on {found.get('host')}, since {found.get('since')})"


def _command() -> str:
    """What the user typed, about: of `python -m pytest` the first argument is a path."""
    program = Path(sys.argv[0] or sys.executable)
    name = program.parent.name if program.stem == "__main__" else program.name
    return shlex.join([name, *sys.argv[1:]])
