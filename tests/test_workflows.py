"""The workflows and what they run: that every command in them exists, and what becomes of each exit status."""

import configparser
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import MADE_UP, ROOT, outside_of_this_run, sweep

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
HELPERS = sorted((ROOT / ".ci").iterdir())


def parsed(path):
    return yaml.safe_load(path.read_text())


def jobs():
    return [(path.stem, name, job) for path in WORKFLOWS for name, job in parsed(path)["jobs"].items()]


def commands(text):
    """The commands of a shell script, as lists of words; what the shell itself does is left out."""
    text = re.sub(r"\\\n\s*", " ", text)
    lines = [line.strip() for line in text.splitlines()]
    return [
        shlex.split(re.sub(r"\s*\|\|.*", "", line), comments=True)
        for line in lines
        if line and not line.startswith("#")
    ]


def documented():
    """The shell commands in the documentation of the workflows."""
    return "\n".join(re.findall(r"```sh\n(.*?)```", (ROOT / "docs" / "ci.md").read_text(), re.DOTALL))


def scripts_in(text):
    """(name, arguments) of every `python scripts/…` in a text."""
    return [
        (word.removeprefix("scripts/"), words[number + 1 :])
        for words in commands(text)
        for number, word in enumerate(words)
        if word.startswith("scripts/") and number and "python" in words[number - 1]
    ]


def all_runs():
    """Every script of a step, of the helpers, and of the documentation, by where it stands."""
    texts = {path.name: path.read_text() for path in HELPERS} | {"docs/ci.md": documented()}
    for workflow, name, job in jobs():
        for values in job.get("strategy", {"matrix": {"include": [{}]}})["matrix"]["include"]:
            filled = {f"${{{{ matrix.{key} }}}}": value for key, value in values.items()}
            for number, step in enumerate(job["steps"]):
                run = step.get("run", "")
                for expression, value in filled.items():
                    run = run.replace(expression, value)
                texts[f"{workflow}: {name}, step {number}, {values}"] = run
    return texts


@pytest.fixture(scope="module")
def help_of():
    """What `python scripts/NAME --help` prints, by the name: all of them in one process, which is much less work."""
    names = {"compare_revisions.py"} | {name for text in all_runs().values() for name, _ in scripts_in(text)}
    ask = (
        "import contextlib, io, json, runpy, sys\n"
        "found = {}\n"
        "for name in sys.argv[1:]:\n"
        "    sys.argv = [name, '--help']\n"
        "    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.suppress(SystemExit):\n"
        "        runpy.run_path(name, run_name='__main__')\n"
        "    found[name.rpartition('/')[2]] = out.getvalue()\n"
        "print(json.dumps(found))\n"
    )
    command = [sys.executable, "-c", ask, *(ROOT / "scripts" / name for name in sorted(names))]
    done = run(*command, PYTHONPATH=ROOT, COLUMNS="200")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_options_of_scripts_exist(help_of):
    seen = set()
    for where, text in all_runs().items():
        for name, arguments in scripts_in(text):
            known = set(re.findall(r"--[a-z][a-z-]*", help_of[name]))
            used = {word.split("=")[0] for word in arguments if word.startswith("--")}
            assert used <= known, f"{where}: {name} does not know {sorted(used - known)}"
            seen.add(name)
    assert seen >= {"compare_revisions.py", "track_history.py"}


def test_options_that_reach_the_comparison_through_a_helper_exist(help_of):
    known = set(re.findall(r"--[a-z][a-z-]*", help_of["compare_revisions.py"]))
    seen = set()
    for where, text in all_runs().items():
        for words in commands(text):
            if words[0] == ".ci/compare":
                used = {word for word in words if word.startswith("--")}
                assert used <= known, f"{where}: {sorted(used - known)}"
                seen |= used
    assert "--candidates" in seen


def test_options_of_pytest_exist():
    used = {
        word
        for text in all_runs().values()
        for words in commands(text)
        if words[:2] == ["pytest", "benchmarks"]
        for word in words
        if word.startswith("--")
    }
    assert used
    shown = sweep(*MADE_UP, "--help")
    assert shown.returncode == 0, shown.stderr
    assert used <= set(re.findall(r"--[a-z][a-z-]*", shown.stdout))


def test_files_and_tox_environments_exist():
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini")
    known = {name.removeprefix("testenv:") for name in tox.sections() if name.startswith("testenv:")}
    assert set(tox["tox"]["env_list"].split(", ")) <= known
    ran, tried = set(), set()
    for where, text in all_runs().items():
        for words in commands(text):
            if words[0].startswith(".ci/"):
                assert os.access(ROOT / words[0], os.X_OK), f"{where}: {words[0]}"
                ran.add(words[0])
            if words[0] == ".ci/run":
                tried |= {name for word in words[1:] for name in word.split(",")}
    assert ran == {f".ci/{path.name}" for path in HELPERS}
    assert tried == {"lint", "typecheck", "smoke", "test", "slow", "lowest"}
    assert tried <= known


def test_the_tests_command_of_the_readme_is_what_ci_runs():
    """`.ci/run` takes the line out of README; the environments that it runs instead go to its end."""
    lines = (ROOT / "README.md").read_text().splitlines()
    assert [line for line in lines if line.endswith("tox run -e test")]
    assert "grep --max-count=1 'tox run -e test$' README.md" in (ROOT / ".ci" / "run").read_text()


def requirements(*extras):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    optional = project["optional-dependencies"]
    named = [text for extra in extras or optional for text in optional[extra]]
    return [Requirement(text) for text in (*project["dependencies"], *named) if not text.startswith("mnv1[")]


@pytest.mark.parametrize("version", ["3.11", "3.14", "3.15"])
def test_every_requirement_is_pinned_once_for_each_python(version):
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [Requirement(line) for line in lines if not line.startswith("#")]
    here = [pin for pin in pins if pin.marker is None or pin.marker.evaluate({"python_version": version})]
    names = [canonicalize_name(pin.name) for pin in here]
    assert len(names) == len(set(names))
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini")
    needed = [*requirements(), *map(Requirement, tox["testenv:lint"]["deps"].split())]
    assert {canonicalize_name(one.name) for one in needed} <= set(names)
    pinned = dict(zip(names, here, strict=True))
    for one in needed:
        (pin,) = pinned[canonicalize_name(one.name)].specifier
        assert one.specifier.contains(pin.version), one


def test_every_requirement_has_a_lowest_version():
    for one in requirements("test", "parity", "pretrained", "tensorboard", "onnx", "openvino", "quantize"):
        assert [part.operator for part in one.specifier] == [">="], one


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_may_and_take_as_little_as_they_need(path):
    workflow = parsed(path)
    assert workflow["permissions"] == {"contents": "read"}
    assert workflow["concurrency"]["group"]
    for name, job in workflow["jobs"].items():
        assert job["timeout-minutes"] <= 60, name
        writes = job.get("permissions", {"contents": "read"}) != {"contents": "read"}
        assert writes == ((path.stem, name) == ("nightly", "record"))
        for step in job["steps"]:
            assert re.fullmatch(r"actions/[a-z-]+@v\d+", step.get("uses", "actions/none@v1"))
            # What may write must not run what a checkout holds beyond git.
            assert not writes or "python" not in step.get("run", "")
    assert "pull_request_target" not in path.read_text()


def test_only_the_confirmation_judges_a_pull_request():
    judging = [(w, name) for w, name, job in jobs() if any(".ci/verdict" in s.get("run", "") for s in job["steps"])]
    assert judging == [("benchmark", "confirm"), ("nightly", "measure")]
    # Skipped, a required job counts as passed.
    confirm = parsed(ROOT / ".github" / "workflows" / "benchmark.yml")["jobs"]["confirm"]
    assert confirm["if"] == "${{ !cancelled() }}"


def run(*command, cwd=ROOT, **environment):
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        env=outside_of_this_run(**{name: str(value) for name, value in environment.items()}),
    )


@pytest.mark.parametrize(
    ("arguments", "level"),
    [
        (["pull-request", "unchanged", ""], "notice"),
        (["pull-request", "0", ""], "notice"),
        (["pull-request", "3", ""], "warning"),
        (["pull-request", "2", ""], "error"),
        (["pull-request", "4", ""], "error"),
        (["pull-request", "", ""], "error"),
        (["pull-request", "137", ""], "error"),
        (["pull-request", "1", "0"], "notice"),
        (["pull-request", "1", "1"], "error"),
        (["pull-request", "1", "3"], "warning"),
        (["pull-request", "1", "2"], "error"),
        (["pull-request", "1", "4"], "error"),
        (["pull-request", "1", ""], "error"),
        (["self-test", "0"], "notice"),
        (["self-test", "1"], "error"),
        (["self-test", "3"], "warning"),
        (["self-test", "2"], "error"),
        (["self-test", ""], "error"),
        (["history", "0"], "notice"),
        (["history", "3"], "warning"),
        (["history", "2"], "error"),
        (["history", ""], "error"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_what_becomes_of_each_exit_status(arguments, level):
    done = run(ROOT / ".ci" / "verdict", *arguments)
    assert done.stdout.startswith(f"::{level} title=Benchmark::")
    assert done.stdout.count("\n") == 1
    assert done.returncode == (level == "error")
    assert not done.stderr


def test_a_verdict_of_something_else_is_wrong_usage():
    assert run(ROOT / ".ci" / "verdict", "weather", "0").returncode == 2
    assert run(ROOT / ".ci" / "verdict").returncode == 2


def git(*arguments, cwd):
    done = run("git", "-c", "user.name=a", "-c", "user.email=a@localhost", *arguments, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def clone(tmp_path):
    """A shallow clone of one commit, as a workflow has it, and its origin."""
    origin = tmp_path / "origin"
    origin.mkdir()
    git("init", "--quiet", "--initial-branch=main", cwd=origin)
    for name in ("first", "second"):
        (origin / "code.txt").write_text(name)
        git("add", "--all", cwd=origin)
        git("commit", "--quiet", "-m", name, cwd=origin)
    git("clone", "--quiet", "--depth=1", f"file://{origin}", "clone", cwd=tmp_path)
    return tmp_path / "clone"


def data(what, folder, clone):
    done = run(ROOT / ".ci" / "data", what, folder, cwd=clone)
    assert done.returncode == 0, done.stderr
    # Nothing is left behind, and the checkout is as it was.
    assert git("worktree", "list", cwd=clone).count("\n") == 0
    assert git("status", "--porcelain", cwd=clone) == ""


def test_stored_runs_gather_on_a_branch_of_their_own(clone, tmp_path):
    for night, name in ((1, "0001_a.json"), (2, "0001_b.json")):
        new = tmp_path / f"new{night}"
        (new / "results").mkdir(parents=True)
        (new / "results" / name).write_text(name)
        stored = tmp_path / f"stored{night}"
        data("get", stored, clone)
        assert len(list(stored.rglob("*.json"))) == night - 1
        data("put", new, clone)
    everything = tmp_path / "everything"
    data("get", everything, clone)
    assert sorted(path.name for path in everything.rglob("*") if path.is_file()) == ["0001_a.json", "0001_b.json"]
    origin = tmp_path / "origin"
    assert git("rev-list", "--count", "benchmark-data", cwd=origin) == "2"
    assert git("log", "--format=%s", "-1", "main", cwd=origin) == "second"


def test_an_origin_that_does_not_answer_is_not_taken_for_one_without_runs(clone, tmp_path):
    shutil.rmtree(tmp_path / "origin")
    assert run(ROOT / ".ci" / "data", "get", tmp_path / "stored", cwd=clone).returncode != 0
    assert run(ROOT / ".ci" / "data", "get", cwd=clone).returncode == 2


FAKE_PYTHON = """\
#!/usr/bin/env bash
# Makes environments whose pip brings a uv that does nothing, and whose python is this one; says how both are called.
if [ "$1 $2" = "-m venv" ]; then
  mkdir -p "$3/bin" && cp "$0" "$3/bin/python"
  printf '#!/bin/sh\\necho "uv $*" >>"$CALLS"\\n' >"$3/uv" && chmod +x "$3/uv"
  printf '#!/bin/sh\\nmv "$(dirname "$0")/../uv" "$(dirname "$0")/uv"\\n' >"$3/bin/pip" && chmod +x "$3/bin/pip"
else
  echo "$@" >>"$CALLS" && exit "$COMPARISON"
fi
"""


@pytest.fixture
def merge(tmp_path):
    """Runs a copy of `.ci/compare` in a repository whose last commit changed `changed`; the comparison is a fake."""

    def compare(changed, comparison):
        folder = tmp_path / "repository"
        (folder / ".ci").mkdir(parents=True)
        shutil.copy(ROOT / ".ci" / "compare", folder / ".ci" / "compare")
        (folder / "constraints.txt").write_text("torch\n")
        git("init", "--quiet", cwd=folder)
        git("add", "--all", cwd=folder)
        git("commit", "--quiet", "-m", "base", cwd=folder)
        (folder / changed).parent.mkdir(parents=True, exist_ok=True)
        (folder / changed).write_text("changed\n")
        git("add", "--all", cwd=folder)
        git("commit", "--quiet", "-m", "head", cwd=folder)
        fakes, calls, output = tmp_path / "bin", tmp_path / "calls", tmp_path / "output"
        fakes.mkdir()
        (fakes / "python3").write_text(FAKE_PYTHON)
        (fakes / "python3").chmod(0o755)
        calls.write_text("")
        environment = {"CALLS": calls, "COMPARISON": comparison, "GITHUB_OUTPUT": output, "TMPDIR": tmp_path / "tmp"}
        (tmp_path / "tmp").mkdir()
        path = f"{fakes}{os.pathsep}{os.environ['PATH']}"
        done = run(folder / ".ci" / "compare", "--json", "a b.json", cwd=tmp_path, PATH=path, **environment)
        assert done.returncode == 0, done.stderr
        assert list((tmp_path / "tmp").iterdir()) == []
        assert git("worktree", "list", cwd=folder).count("\n") == 0
        revisions = [git("rev-parse", name, cwd=folder) for name in ("HEAD^1", "HEAD")]
        return output.read_text(), calls.read_text().splitlines(), revisions

    return compare


@pytest.mark.parametrize("status", [0, 1, 2, 3, 4])
def test_the_comparison_of_a_pull_request_hands_its_status_on(merge, status):
    output, calls, (base, head) = merge("mnv1/model.py", status)
    assert output == f"status={status}\n"
    uv, comparison = calls
    assert uv.startswith("uv pip install")
    assert comparison.startswith(f"scripts/compare_revisions.py {base} {head} --base-python ")
    assert comparison.endswith("--json a b.json")
    interpreters = re.findall(r"--(?:base|head)-python (\S+)", comparison)
    assert interpreters[0] == interpreters[1]


def test_each_side_gets_its_own_packages_where_these_changed(merge):
    _, calls, _ = merge("constraints.txt", 0)
    assert [call.split()[0] for call in calls] == ["uv", "uv", "scripts/compare_revisions.py"]
    base, head = re.findall(r"--(?:base|head)-python (\S+)", calls[-1])
    assert base != head


@pytest.mark.parametrize("changed", ["docs/ci.md", "mnv1/report/page.py"])
def test_what_a_comparison_does_not_run_is_not_compared(merge, changed):
    output, calls, _ = merge(changed, 1)
    assert output == "status=unchanged\n"
    assert calls == []
