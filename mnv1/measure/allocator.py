"""Which library's memory this process gets: the C library's own, or what was put in its place. Needs no torch."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from contextlib import suppress
from pathlib import Path

GLIBC = "glibc"

_KNOWN = {
    **{name: name for name in ("jemalloc", "tcmalloc", "mimalloc", "musl")},
    **dict.fromkeys(("libc.so.6", "libc-2."), GLIBC),
}
"""What is in the file name of a library, and how the library is called."""

_ASKED = ("posix_memalign", "malloc")
"""Functions whose library is looked for: torch's tensors on the CPU come from the first."""


class _Found(ctypes.Structure):
    """`Dl_info` of dlfcn.h."""

    _fields_ = (
        ("file", ctypes.c_char_p),
        ("base", ctypes.c_void_p),
        ("symbol", ctypes.c_char_p),
        ("address", ctypes.c_void_p),
    )


def allocator() -> str:
    """What allocates here, such as `glibc`, `jemalloc 5.3.0 (LD_PRELOAD)` or `musl`.

    Found by where the functions are that programs call, not by what was asked for: a library that the loader could not
    find is not there.
    """
    file = _library()
    if file is None:
        return f"{platform.libc_ver()[0] or platform.system() or sys.platform}'s own (not looked at)"
    name = next((known for part, known in _KNOWN.items() if part in file.name), None)
    if name is None:  # linked into the executable, or something new
        name = f"malloc of {file.name}"
    if name == GLIBC:
        return GLIBC
    put_in = file.name in os.environ.get("LD_PRELOAD", "") or _is_preloaded(file)
    return " ".join(filter(None, [name, _version(name), "(LD_PRELOAD)" if put_in else ""]))


def _library() -> Path | None:
    """The file that the allocating functions are in; None where the system does not tell."""
    with suppress(OSError, AttributeError, TypeError, ValueError):
        whole = ctypes.CDLL(None)
        for name in _ASKED:
            found = _Found()
            address = ctypes.cast(getattr(whole, name), ctypes.c_void_p)
            if whole.dladdr(address, ctypes.byref(found)) and found.file:
                return Path(os.fsdecode(found.file))
    return None


def _is_preloaded(file: Path) -> bool:
    """Whether a library was named by LD_PRELOAD, perhaps by a link with another name."""
    named = os.environ.get("LD_PRELOAD", "").replace(":", " ").split()
    with suppress(OSError):
        return any(Path(one).samefile(file) for one in named if Path(one).exists())
    return False


def _version(name: str) -> str:
    """The version that a library says it has; empty where it does not say."""
    with suppress(OSError, AttributeError, TypeError, ValueError):
        whole = ctypes.CDLL(None)
        if name == "jemalloc":
            text, size = ctypes.c_char_p(), ctypes.c_size_t(ctypes.sizeof(ctypes.c_char_p))
            if whole.mallctl(b"version", ctypes.byref(text), ctypes.byref(size), None, ctypes.c_size_t(0)) == 0:
                return (text.value or b"").decode().partition("-")[0]
        if name == "tcmalloc":
            whole.tc_version.restype = ctypes.c_char_p
            return str(whole.tc_version(None, None, None).decode().rpartition(" ")[2])
        if name == "mimalloc":
            return ".".join(str(whole.mi_version()))
    return ""
