"""What allocates is found where it is, not where it was asked for: real processes with real libraries."""

import ctypes.util
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mnv1.measure import allocator as module
from mnv1.measure.allocator import allocator
from tests.conftest import ROOT

OTHERS = {"jemalloc": "libjemalloc.so.2", "tcmalloc": "libtcmalloc_minimal.so.4", "mimalloc": "libmimalloc.so.2"}


def found_in_a_process(preload, **more):
    environment = {**os.environ, "LD_PRELOAD": preload, **more}
    command = [sys.executable, "-c", "from mnv1.measure.allocator import allocator; print(allocator())"]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc is not the C library here")
def test_glibc_is_found_also_where_a_library_was_asked_for_that_is_not_there():
    assert found_in_a_process("") == "glibc"
    assert found_in_a_process("/nonexistent/libjemalloc.so.2") == "glibc"


@pytest.mark.parametrize("name", OTHERS)
def test_an_allocator_that_was_put_in_is_found_with_its_version(name):
    if ctypes.util.find_library(OTHERS[name][3:].partition(".")[0]) is None:
        pytest.skip(f"{OTHERS[name]} is not installed")
    found = found_in_a_process(OTHERS[name])
    assert found.startswith(f"{name} ")
    assert found.endswith(" (LD_PRELOAD)")
    assert found.split()[1][0].isdigit()


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler here")
def test_an_allocator_that_nobody_has_heard_of_is_named_by_its_file(tmp_path):
    source, library = tmp_path / "own.c", tmp_path / "libown.so"
    source.write_text(
        "#include <stddef.h>\n"
        "extern void *__libc_memalign(size_t, size_t);\n"
        "int posix_memalign(void **where, size_t alignment, size_t size) {\n"
        "  *where = __libc_memalign(alignment, size); return *where ? 0 : 12; }\n"
    )
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
    assert found_in_a_process(str(library)) == "malloc of libown.so (LD_PRELOAD)"


@pytest.mark.parametrize(
    ("file", "found"),
    [
        ("/lib/x86_64-linux-gnu/libc.so.6", "glibc"),
        ("/lib/x86_64-linux-gnu/libc-2.31.so", "glibc"),
        ("/lib/ld-musl-x86_64.so.1", "musl"),
        ("/lib/libc.so.7", "malloc of libc.so.7"),
        ("/usr/bin/python3.11", "malloc of python3.11"),
        ("/usr/lib/system/libsystem_malloc.dylib", "malloc of libsystem_malloc.dylib"),
    ],
)
def test_libraries_are_known_by_their_files(monkeypatch, file, found):
    monkeypatch.setattr(module, "_library", lambda: Path(file))
    monkeypatch.delenv("LD_PRELOAD", raising=False)
    assert allocator() == found


def test_where_the_system_tells_nothing_that_is_said(monkeypatch):
    monkeypatch.setattr(module, "_library", lambda: None)
    assert allocator().endswith("'s own (not looked at)")


def test_without_dlopen_of_the_process_itself_nothing_is_found(monkeypatch):
    def windows(_):
        raise TypeError("expected str, bytes or os.PathLike object, not NoneType")

    monkeypatch.setattr(module.ctypes, "CDLL", windows)
    assert module._library() is None
