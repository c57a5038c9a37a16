"""Somebody else's repository, with none of this project's code, whose suite counts its time instead of taking it."""

import subprocess

SUITE = '''
import time

from mnv1 import workload

import mine

ticks = [0.0]


def now():
    """A clock that goes on a little when it is read, and by what the code under test says when that runs."""
    ticks[0] += 0.01
    return ticks[0]


time.perf_counter = now


@workload(over={"size": [1, 2]}, facts=lambda output: {"bytes": output})
def work(size):
    def call():
        ticks[0] += 0.1 * size * mine.COST
        return 100 * size

    return call
'''


def git(root, *arguments):
    who = ("-c", "user.name=tests", "-c", "user.email=tests@localhost")
    return subprocess.run(
        ["git", "-C", root, *who, *arguments], capture_output=True, text=True, check=True
    ).stdout.strip()


def commit(root, files):
    """A revision with these files, by their paths; its hash."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    git(root, "add", "-A")
    git(root, "commit", "-q", "--allow-empty", "-m", "a revision")
    return git(root, "rev-parse", "HEAD")


def repository(root, cost="1.0"):
    """A repository with one module and a suite."""
    root.mkdir()
    git(root, "init", "-q", "-b", "main")
    commit(root, {"mine.py": f"COST = {cost}\n", "benchmarks/speed.py": SUITE})
    return root
