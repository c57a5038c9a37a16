import subprocess
import sys

import pytest

from mnv1.regression.sides import (
    Harness,
    Side,
    SideError,
    hashes_of,
    make_harness,
    make_side,
    merge_base,
    resolve,
    top_of,
    what_is_wrong,
)
from tests.conftest import ROOT

FILES = ("mine/__init__.py", "mine/model.py", "benchmarks/speed.py", "benchmarks/helper.py", "data.json", "setup.py")


@pytest.fixture
def repository(tmp_path):
    root = tmp_path / "repository"
    for name in FILES:
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
    (repository / "mine/model.py").write_text("# changed\n")
    base, head = make_side("base", "HEAD", repository, tmp_path), make_side("head", None, repository, tmp_path)
    assert (base.revision, head.revision) == (first, "working tree")
    assert (base.root / "mine/model.py").read_text() == "# mine/model.py, first\n"
    assert (head.root / "mine/model.py").read_text() == "# changed\n"
    (repository / "mine/model.py").write_text("# edited while it is measured\n")
    assert (head.root / "mine/model.py").read_text() == "# changed\n"
    assert git(repository, "worktree", "list").count("\n") == 0, "nothing is left in the repository"


@pytest.mark.parametrize("revision", ["no-such-branch", "HEAD~99", "--help", "", "HEAD:mine"])
def test_a_revision_that_does_not_exist(repository, tmp_path, revision):
    with pytest.raises(SideError, match=r"^revision .* does not exist here; see `git log --all --oneline`$"):
        make_side("base", revision, repository, tmp_path)


def test_the_whole_repository_is_copied_but_for_what_git_ignores(repository, tmp_path):
    (repository / ".gitignore").write_text("*.log\n")
    (repository / "new.py").write_text("# not added yet")
    (repository / "big.log").write_text("ignored")
    (repository / "data.json").unlink()
    root = make_side("head", None, repository, tmp_path).root
    copied = {one.relative_to(root).as_posix() for one in root.rglob("*") if one.is_file()}
    assert copied == {*FILES, "new.py", ".gitignore"} - {"data.json"}
    base = make_side("base", "HEAD", repository, tmp_path)
    assert (base.root / "data.json").is_file()
    assert set(base.hashes) == {name for name in FILES if name.endswith(".py")}


def test_a_working_tree_without_git_is_copied(tmp_path):
    (tmp_path / "here" / ".hidden").mkdir(parents=True)
    (tmp_path / "here" / "mine.py").write_text("")
    root = make_side("head", None, tmp_path / "here", tmp_path / "copies").root
    assert [one.name for one in root.iterdir()] == ["mine.py"]


def harness_of(repository, tmp_path, suite="benchmarks/speed.py", installed=False):
    sides = [make_side(name, None, repository, tmp_path) for name in ("base", "head")]
    return make_harness(repository / suite, repository, sides, tmp_path, installed)


def test_the_code_under_test_is_found(repository, tmp_path):
    found = harness_of(repository, tmp_path)
    assert (found.paths, found.names) == ((".",), {"mine"})
    assert found.file.read_text() == "# benchmarks/speed.py, first\n"
    assert sorted(one.name for one in found.file.parent.iterdir()) == ["helper.py", "speed.py"]
    assert found.helpers == str(found.file.parent)


def test_code_in_src_is_found_there(repository, tmp_path):
    (repository / "src/other").mkdir(parents=True)
    (repository / "src/other/__init__.py").write_text("")
    found = harness_of(repository, tmp_path)
    assert (found.paths, found.names) == (("src",), {"other"})


def test_a_suite_says_where_the_code_is(repository, tmp_path):
    (repository / "benchmarks/speed.py").write_text('import torch\nPATHS = ["lib", "."]\n')
    (repository / "lib").mkdir()
    (repository / "lib/third.py").write_text("")
    found = harness_of(repository, tmp_path)
    assert (found.paths, found.names) == (("lib", "."), {"third", "mine", "lib"})
    assert harness_of(repository, tmp_path / "again", installed=True).paths == ()


def test_beside_the_code_a_suite_is_copied_alone(repository, tmp_path):
    (repository / "speed.py").write_text("")
    found = harness_of(repository, tmp_path, "speed.py")
    assert [one.name for one in found.file.parent.iterdir()] == ["speed.py"]
    assert found.helpers == ""
    assert found.names == {"mine"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "there is no such file"),
        ("def", "cannot be used: SyntaxError: invalid syntax"),
        ("PATHS = 3", "cannot be used: ValueError: PATHS must be a list of folders"),
        ("PATHS = found()", "cannot be used: ValueError: malformed node"),
        ('PATHS = ["lib"]', "its PATHS name lib, and head has no such folder"),
        ('PATHS = ["benchmarks"]', "head has no Python module in benchmarks: say where with PATHS"),
    ],
)
def test_a_suite_that_cannot_be_used(repository, tmp_path, text, message):
    file = repository / "benchmarks/speed.py"
    file.write_text(text) if text is not None else file.unlink()
    (repository / "benchmarks/helper.py").unlink()
    with pytest.raises(SideError, match=rf"^--suite: {file}: {message}|^--suite: .*{message}"):
        harness_of(repository, tmp_path)


def test_a_folder_that_cannot_be_made(repository, tmp_path):
    (tmp_path / "full").write_text("a file where the folder should be")
    with pytest.raises(SideError, match=r"^base: its code cannot be copied to .*full/base: Not a directory$"):
        make_side("base", "HEAD", repository, tmp_path / "full")


def test_interpreters_that_cannot_be_used(repository, tmp_path):
    with pytest.raises(SideError, match=r"^base: /nonexistent/python does not run; name an interpreter of Python$"):
        make_side("base", "HEAD", repository, tmp_path / "1", "/nonexistent/python")
    with pytest.raises(SideError, match=r"^head: .*false does not run"):
        make_side("head", "HEAD", repository, tmp_path / "2", "/bin/false")
    assert make_side("head", "HEAD", repository, tmp_path / "3", sys.executable).python == sys.executable


def test_the_repository_of_a_folder(repository, tmp_path):
    assert top_of(repository / "mine") == repository
    assert top_of(tmp_path) == tmp_path


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
    harness = Harness(tmp_path / "speed.py", (".",), "", frozenset({"mine"}))
    right = {"mine": [str(side.root / "mine/__init__.py"), side.hashes["mine/__init__.py"]]}
    model = str(side.root / "mine/model.py")
    assert what_is_wrong(side, harness, right) is None
    changed = right | {"mine.model": [model, "other"]}
    assert what_is_wrong(side, harness, changed) == "head: mine/model.py changed while it was measured"
    elsewhere = right | {"mine.model": [str(ROOT / "mnv1/model.py"), "other"]}
    assert "was loaded from" in what_is_wrong(side, harness, elsewhere)
    (side.root / "mine/model.py").write_text("# edited in the copy")
    edited = right | {"mine.model": [model, hashes_of(side.root)["mine/model.py"]]}
    assert what_is_wrong(side, harness, edited) == "head: mine/model.py changed while it was measured"
    assert what_is_wrong(Side("head", "", side.root, ""), harness, {}).startswith("head: the code under test was not")
    packages = Harness(tmp_path / "speed.py", (".",), "", frozenset({"mine"}), needs_code=False)
    assert what_is_wrong(side, packages, {}) is None, "a suite of torch's own layers, for two versions of torch"
    installed = Harness(tmp_path / "speed.py", (), "", frozenset({"mine"}))
    assert what_is_wrong(side, installed, elsewhere) is None, "where it is installed is for the interpreter to say"
