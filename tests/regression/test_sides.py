import subprocess
import sys

import pytest

from mnv1.regression.sides import UNDER_TEST, Side, SideError, hashes_of, make_side, merge_base, resolve, what_is_wrong
from tests.conftest import ROOT


@pytest.fixture(autouse=True)
def fast_interpreter_check(monkeypatch):
    """Importing torch takes seconds; one test below checks that it is asked for."""
    monkeypatch.setattr("mnv1.regression.sides._NEEDED", "import json")


@pytest.fixture
def repository(tmp_path):
    root = tmp_path / "repository"
    for name in UNDER_TEST:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"# {name}, first\n")
    git(root, "init", "-q", "-b", "main")
    commit(root)
    return root


def git(root, *arguments):
    who = ("-c", "user.name=tests", "-c", "user.email=tests@localhost")
    done = subprocess.run(["git", "-C", root, *who, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def commit(root):
    git(root, "add", "-A")
    git(root, "commit", "-q", "--allow-empty", "-m", "a revision")
    return git(root, "rev-parse", "HEAD")


def test_a_revision_and_the_working_tree_are_copied(repository, tmp_path):
    first = git(repository, "rev-parse", "HEAD")
    (repository / "mnv1/model.py").write_text("# changed\n")
    base, head = make_side("base", "HEAD", repository, tmp_path), make_side("head", None, repository, tmp_path)
    assert (base.revision, head.revision) == (first, "working tree")
    assert (base.root / "mnv1/model.py").read_text() == "# mnv1/model.py, first\n"
    assert (head.root / "mnv1/model.py").read_text() == "# changed\n"
    (repository / "mnv1/model.py").write_text("# edited while it is measured\n")
    assert (head.root / "mnv1/model.py").read_text() == "# changed\n"
    assert git(repository, "worktree", "list").count("\n") == 0, "nothing is left in the repository"


@pytest.mark.parametrize("revision", ["no-such-branch", "HEAD~99", "--help", "", "HEAD:mnv1"])
def test_a_revision_that_does_not_exist(repository, tmp_path, revision):
    with pytest.raises(SideError, match=r"^revision .* does not exist here; see `git log --all --oneline`$"):
        make_side("base", revision, repository, tmp_path)


def test_a_revision_without_the_code(repository, tmp_path):
    git(repository, "rm", "-q", "mnv1/model.py")
    commit(repository)
    with pytest.raises(SideError, match=r"^base \(HEAD\): lacks mnv1/model.py, so it cannot be compared$"):
        make_side("base", "HEAD", repository, tmp_path)
    git(repository, "rm", "-qr", "mnv1")
    commit(repository)
    with pytest.raises(SideError, match=r"^revision HEAD: has no folder mnv1, so there is nothing to compare$"):
        make_side("other", "HEAD", repository, tmp_path)


def test_a_folder_that_cannot_be_made(repository, tmp_path):
    (tmp_path / "full").write_text("a file where the folder should be")
    with pytest.raises(SideError, match=r"^base: its code cannot be copied to .*full/base: Not a directory$"):
        make_side("base", "HEAD", repository, tmp_path / "full")


def test_interpreters_that_cannot_be_used(repository, tmp_path, monkeypatch):
    with pytest.raises(SideError, match=r"^base: /nonexistent/python does not run, or has no torch"):
        make_side("base", "HEAD", repository, tmp_path / "1", "/nonexistent/python")
    monkeypatch.setattr("mnv1.regression.sides._NEEDED", "import no_such_torch")
    with pytest.raises(SideError, match=r"^head: .*python.* does not run, or has no torch; install it there first$"):
        make_side("head", "HEAD", repository, tmp_path / "2", sys.executable)


def test_where_the_history_left_main(repository):
    left = git(repository, "rev-parse", "HEAD")
    git(repository, "checkout", "-q", "-b", "feature")
    commit(repository)
    assert merge_base(repository) == left
    git(repository, "branch", "-q", "-m", "main", "trunk")
    with pytest.raises(SideError, match=r"^there is no branch 'main' to find the base on"):
        merge_base(repository)
    git(repository, "update-ref", "refs/remotes/origin/main", left)
    assert merge_base(repository) == left, "a clone of a feature branch has main only at its origin"


def test_no_git_repository(tmp_path, monkeypatch):
    """A downloaded archive: what is missing is the repository, not the revision."""
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")  # git is understood whatever it speaks
    said = rf"^{tmp_path} is not a git repository, so it has no revisions: get the project with `git clone`, or compare"
    with pytest.raises(SideError, match=said):
        resolve("HEAD", tmp_path)
    with pytest.raises(SideError, match=said):
        merge_base(tmp_path)


def test_no_git(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    for ask in (lambda: resolve("HEAD", tmp_path), lambda: merge_base(tmp_path)):
        with pytest.raises(SideError, match=r"^git is not installed, so revisions cannot be found: install it, or "):
            ask()


def test_the_code_that_is_loaded_is_checked(repository, tmp_path):
    side = make_side("head", "HEAD", repository, tmp_path)
    names = {"mnv1.blocks": "mnv1/blocks.py", "mnv1.model": "mnv1/model.py"}
    right = {"files": {name: [str(side.root / file), side.hashes[file]] for name, file in names.items()}}
    assert what_is_wrong(side, right) is None
    changed = {"files": right["files"] | {"mnv1.model": [str(side.root / "mnv1/model.py"), "other"]}}
    assert what_is_wrong(side, changed) == "head: mnv1/model.py changed while it was measured"
    elsewhere = {"files": right["files"] | {"mnv1.model": [str(ROOT / "mnv1/model.py"), "other"]}}
    assert "was loaded from" in what_is_wrong(side, elsewhere)
    (side.root / "mnv1/model.py").write_text("# edited in the copy")
    now = hashes_of(side.root)["mnv1/model.py"]
    edited = {"files": right["files"] | {"mnv1.model": [str(side.root / "mnv1/model.py"), now]}}
    assert what_is_wrong(side, edited) == "head: mnv1/model.py changed while it was measured"
    assert what_is_wrong(Side("head", "", side.root, ""), {}) == "head: the code under test was not loaded"
