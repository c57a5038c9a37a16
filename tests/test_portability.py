"""What Windows and macOS lack is missed by nothing at import, and said where it belongs to the controlled state."""

import ast
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from mnv1.measure import child, children, environment, load, machine, memory, state
from tests.conftest import ROOT

GONE = ("fcntl", "resource", "termios", "pwd", "grp", "multiprocessing.forkserver")
"""Modules that Windows has not."""

LACKING = f"""
import importlib, importlib.util, multiprocessing, os, pkgutil, signal, sys
from pathlib import Path
import psutil, filelock, pytest, pandas, matplotlib.pyplot, scipy.stats  # what these need of the system is theirs
GONE = {GONE!r}
HEAVY = ("torch", "torchvision", "otava")  # a module that needs them is looked at by the next test alone
class Nowhere:
    def find_spec(self, name, path=None, target=None):
        if name in GONE or name.partition(".")[0] in HEAVY:
            raise ModuleNotFoundError(f"no module named {{name}}", name=name)
for name in GONE:
    sys.modules.pop(name, None)
sys.meta_path.insert(0, Nowhere())
for name in ("sched_getaffinity", "sched_setaffinity", "getuid", "fork", "killpg", "setsid", "uname"):
    delattr(os, name)
for name in ("SIGKILL", "SIGALRM", "SIGHUP", "setitimer", "pthread_sigmask"):
    delattr(signal, name)
multiprocessing.get_all_start_methods = lambda: ["spawn"]
import mnv1
done = []
def load(name, file):
    spec = importlib.util.spec_from_file_location(name, file) if file else importlib.util.find_spec(name)
    sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[name])
names = [(found.name, None) for found in pkgutil.walk_packages(mnv1.__path__, "mnv1.", onerror=lambda _: None)]
for name, file in [*names, *((f"script_{{path.stem}}", path) for path in sorted(Path("scripts").rglob("*.py")))]:
    try:
        load(name, file) if file else importlib.import_module(name)
        done.append(name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in HEAVY:
            raise
print(*done)
"""


def test_what_plans_stores_and_renders_is_imported_where_posix_is_missing():
    done = subprocess.run([sys.executable, "-c", LACKING], cwd=ROOT, capture_output=True, text=True, check=False)
    imported = done.stdout.split()
    assert {"mnv1.suite.journal", "mnv1.suite.run", "mnv1.measure.lock", "script_find_fastest"} <= set(imported), (
        done.stderr
    )
    assert len(imported) > 80


def test_no_module_imports_what_only_posix_has_unless_it_handles_its_absence():
    """Also the modules that need torch: an import at the top must stand in a `try`."""
    files = [path for folder in ("mnv1", "scripts", "benchmarks") for path in Path(ROOT / folder).rglob("*.py")]
    for path in files:
        for node in ast.parse(path.read_text(encoding="utf8")).body:
            names = [one.name for one in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            module = getattr(node, "module", None)
            full = {module, *names, *(f"{module}.{name}" for name in names)}
            assert not full & set(GONE), path
    assert len(files) > 100


def test_short_lived_processes_are_spawned_where_none_can_be_forked(monkeypatch):
    monkeypatch.setattr(children, "HAS_SERVER", False)
    started = []
    spawn = multiprocessing.get_context("spawn")
    monkeypatch.setattr(multiprocessing, "get_context", lambda method: started.append(method) or spawn)
    children.start_server()
    assert children.ask(abs, -3) == 3
    assert started == ["spawn"]


def test_a_child_gets_its_socket_through_its_input_where_no_descriptor_is_inherited(monkeypatch):
    """As Windows has it: the one side shares a socket for a process, the other takes it from what it read."""
    seen = {}

    class Popen:
        pid = 77

        def __init__(self, command, **options):
            seen.update(options, command=command)
            self.stdin = Stdin()

    class Stdin:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            seen["closed"] = True

        def write(self, data):
            seen["written"] = data

    class Socket:
        def share(self, pid):
            return f"for {pid}".encode()

    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(child.subprocess, "Popen", Popen)
    monkeypatch.setattr(child.subprocess, "CREATE_NEW_PROCESS_GROUP", 512, raising=False)
    child.start(["python", "-m", "x"], ["a"], Socket(), {"A": "1"}, None)
    assert seen["command"] == ["python", "-m", "x", child.SHARED, "a"]
    assert (seen["written"], seen["closed"], seen["creationflags"]) == (b"for 77", True, 512)
    assert "pass_fds" not in seen


def test_where_the_kernel_counts_nothing_for_a_process_nothing_is_recorded(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "resource", None)
    assert memory.kernel_work(pytest.fail, 0.1) == {}
    monkeypatch.setattr(memory, "RESET", tmp_path / "clear_refs")
    monkeypatch.setattr(memory, "ask", pytest.fail)
    assert memory.process_peak("any case") is None
    assert load.own_work() > 0


def test_another_allocator_hands_no_memory_back_so_that_no_peak_is_told(monkeypatch):
    monkeypatch.setattr(state, "allocator", lambda: "jemalloc 5.3.0 (LD_PRELOAD)")
    assert not state.hand_back_freed_memory()


def test_the_environment_is_described_without_proc_and_sys(monkeypatch, tmp_path):
    def missing(*_, **__):
        raise FileNotFoundError(2, "No such file or directory", "/proc/stat")

    for name in ("cpu_freq", "virtual_memory", "cpu_percent", "cpu_count"):
        monkeypatch.setattr(psutil, name, missing)
    for module in (environment, machine):
        monkeypatch.setattr(module, "read", lambda _: "")
    monkeypatch.setattr(environment.quota, "PROC", tmp_path)
    described = environment.described({"left_out": ["the binding of threads to CPUs (why)"], "threads": 1})
    found = described.environment
    assert (found["memory"], found["cpu_clock"], found["governor"]) == ("not reported",) * 3
    assert found["cores"] == found["cpus"] == len(state.CPUS)
    assert described.warnings[0] == "controlled leaves out the binding of threads to CPUs (why)"


@pytest.mark.parametrize(
    ("allocating", "kept", "flushed", "binds", "said"),
    [
        ("glibc", True, True, True, []),
        ("glibc", False, True, True, ["the allocator (glibc refused its settings)"]),
        ("musl", False, True, True, ["the allocator (musl treats freed memory in its own way)"]),
        (
            "jemalloc 5.3.0 (LD_PRELOAD)",
            False,
            True,
            True,
            [
                "the allocator (jemalloc 5.3.0 (LD_PRELOAD) treats freed memory in its own way; "
                "unset LD_PRELOAD to have glibc keep it)"
            ],
        ),
        ("glibc", True, False, False, ["flushing of denormal numbers", "the binding of threads to CPUs"]),
    ],
)
def test_what_controlled_cannot_control_is_named(monkeypatch, allocating, kept, flushed, binds, said):
    if not binds:
        monkeypatch.delattr(state.os, "sched_setaffinity", raising=False)
    found = state._left_out(allocating, kept, True, flushed)
    assert len(found) == len(said)
    assert all(one.startswith(part) for one, part in zip(found, said, strict=True))


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ("always madvise [never]", "they are off: echo madvise > "),
        ("always [madvise] never", "the allocator got none: glibc 2.35 or newer"),
        (None, "this kernel has none"),
    ],
)
def test_why_there_are_no_huge_pages_is_said(monkeypatch, tmp_path, told, said):
    switch = tmp_path / "enabled"
    if told:
        switch.write_text(told)
    monkeypatch.setattr(state, "HUGE_PAGES", switch)
    (found,) = state._left_out(state.GLIBC, True, False, True)
    assert found.startswith(f"huge pages ({said}")


def test_huge_pages_are_asked_for_when_a_process_starts_and_handed_on_to_no_other(monkeypatch):
    for before, after in (("", None), ("glibc.malloc.check=3", "glibc.malloc.check=3")):
        monkeypatch.setenv(state.TUNABLES, before)
        variables = state.variables_of("controlled")
        assert variables[state.TUNABLES].endswith(state.WANT_HUGE_PAGES)
        monkeypatch.setenv(state.TUNABLES, variables[state.TUNABLES])
        assert state.take_huge_pages()
        assert os.environ.get(state.TUNABLES) == after
        assert not state.take_huge_pages()
    assert state.variables_of("as-is") == {}
    monkeypatch.setenv(state.TUNABLES, "glibc.malloc.hugetlb=2")  # whoever has chosen is left alone
    assert state.variables_of("controlled") == {}


def test_what_stays_lies_outside_of_the_heap_where_freed_memory_is_kept(monkeypatch):
    asked = []
    monkeypatch.setattr(state.ctypes, "CDLL", lambda _: SimpleNamespace(mallopt=lambda *what: asked.append(what) or 1))
    monkeypatch.setattr(state, "_kept", [])
    with state.outside_of_the_heap():
        assert asked == []  # the allocator is as it comes
    assert state._keep_freed_memory()
    asked.clear()
    with state.outside_of_the_heap():
        assert asked == [(state._M_MMAP_THRESHOLD, state._LARGE)]
    assert asked[1:] == [(state._M_MMAP_THRESHOLD, state._IN_HEAP)]


def test_whether_a_process_has_huge_pages(tmp_path):
    told = tmp_path / "smaps_rollup"
    for text, has in (("AnonHugePages:    4096 kB\n", True), ("AnonHugePages:       0 kB\n", False), ("", False)):
        told.write_text(f"Rss: 1 kB\n{text}")
        assert state._has_huge_pages(told) is has
    assert not state._has_huge_pages(tmp_path / "missing")


@pytest.mark.parametrize(("numbers", "text"), [((0, 1, 2, 3, 6), "0-3,6"), ((5,), "5"), ((), ""), ((0, 2), "0,2")])
def test_cpus_are_written_as_the_kernel_does(numbers, text):
    assert environment._ranges(numbers) == text
