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
ACTIONS = sorted((ROOT / ".github" / "actions").glob("*/action.yml"))
HELPERS = sorted((ROOT / ".ci").iterdir())


def parsed(path):
    return yaml.safe_load(path.read_text())


def jobs():
    """Jobs with steps of their own; one that calls a workflow has none."""
    every = [(path.stem, name, job) for path in WORKFLOWS for name, job in parsed(path)["jobs"].items()]
    return [(workflow, name, job) for workflow, name, job in every if "steps" in job]


def calls():
    """What the jobs hand to workflows and actions of this repository: (where, its file, inputs)."""
    for path in WORKFLOWS:
        for name, job in parsed(path)["jobs"].items():
            for one in (job, *job.get("steps", [])):
                place = str(one.get("uses", "")).removeprefix("./").removeprefix(".mnv1/")
                if place.startswith(".github/"):
                    file = ROOT / place
                    yield f"{path.stem}: {name}", file / "action.yml" if file.is_dir() else file, one.get("with", {})


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
    texts |= {f"{path.parent.name}, action": step["run"] for path in ACTIONS for step in parsed(path)["runs"]["steps"]}
    texts |= {f"{where}: install": inputs["install"] for where, _, inputs in calls() if "${{" not in inputs["install"]}
    for workflow, name, job in jobs():
        for values in job.get("strategy", {}).get("matrix", {}).get("include", [{}]):
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
            if words[0].endswith((".ci/compare", "mnv1.regression")) or words[1:3] == ["-m", "mnv1.regression"]:
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
            called = re.search(r"\.ci/\w+$", words[0])
            if called:
                assert os.access(ROOT / called[0], os.X_OK), f"{where}: {words[0]}"
                ran.add(called[0])
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
    is_called = "workflow_call" in workflow[True]  # YAML reads `on` as a truth value
    assert is_called or workflow["concurrency"]["group"]
    for name, job in workflow["jobs"].items():
        if "uses" in job:
            continue
        assert job["timeout-minutes"] <= 120, name
        writes = job.get("permissions", {"contents": "read"}) != {"contents": "read"}
        assert writes == ((path.stem, name) == ("nightly", "record"))
        for step in job["steps"]:
            assert re.fullmatch(r"actions/[a-z-]+@v\d+|\./\.mnv1/.*", step.get("uses", "actions/none@v1"))
            # What may write must not run what a checkout holds beyond git.
            assert not writes or "python" not in step.get("run", "")
    assert "pull_request_target" not in path.read_text()


def test_only_the_confirmation_judges_a_pull_request():
    judging = [(w, name) for w, name, job in jobs() if any(".ci/verdict" in s.get("run", "") for s in job["steps"])]
    assert judging == [("nightly", "measure"), ("regression", "confirm")]
    # Skipped, a required job counts as passed.
    confirm = parsed(ROOT / ".github" / "workflows" / "regression.yml")["jobs"]["confirm"]
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


def test_what_is_handed_to_workflows_and_actions_is_what_they_take():
    seen = set()
    for where, file, given in calls():
        taken = parsed(file)[True]["workflow_call"]["inputs"] if file.name != "action.yml" else parsed(file)["inputs"]
        assert set(given) <= set(taken), where
        needed = {name for name, about in taken.items() if about.get("required")}
        assert needed <= set(given), where
        seen.add(file.parent.name)
    assert seen == {"workflows", "compare"}


def test_the_workflow_of_another_repository_is_short_and_right():
    (text,) = re.findall(
        r"```yaml\n# .github/workflows/speed.yml\n(.*?)```", (ROOT / "docs/ci.md").read_text(), re.DOTALL
    )
    assert text.count("\n") <= 15
    (job,) = yaml.safe_load(text)["jobs"].values()
    called = job["uses"].removeprefix("OWNER/mnv1/").partition("@")[0]
    inputs = parsed(ROOT / called)[True]["workflow_call"]["inputs"]
    assert set(job["with"]) <= set(inputs)
    rows = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs/ci.md").read_text(), re.MULTILINE)
    assert set(rows) == set(inputs), "every input is documented"


@pytest.mark.parametrize(
    ("changed", "matters"),
    [
        ("docs/ci.md", False),
        ("mnv1/report/page.py", False),
        ("mnv1/suite/sweep.py", False),
        ("mnv1/net/blocks.py", True),
        ("mnv1/regression/worker.py", True),
        ("benchmarks/speed.py", True),
        ("constraints.txt", True),
    ],
)
def test_a_pull_request_is_compared_where_it_changes_what_a_comparison_runs(tmp_path, changed, matters):
    git("init", "--quiet", cwd=tmp_path)
    git("commit", "--quiet", "--allow-empty", "-m", "base", cwd=tmp_path)
    (tmp_path / changed).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / changed).write_text("changed\n")
    git("add", "--all", cwd=tmp_path)
    git("commit", "--quiet", "-m", "head", cwd=tmp_path)
    job = parsed(ROOT / ".github" / "workflows" / "benchmark.yml")["jobs"]["compare"]
    done = run("git", "diff", "--quiet", "HEAD^1", "HEAD", "--", *job["with"]["changed"].split(), cwd=tmp_path)
    assert done.returncode == matters
