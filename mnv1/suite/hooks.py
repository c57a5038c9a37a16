"""The suite within pytest: the sweep runs before the first test, and each test then replays what it found of its case.

So pytest and its plugins meet ordinary tests, in whatever order and however often they run them. Tests of others run as
they would anywhere. This process plans, shows and stores; another one measures. Needs no torch.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pytest_benchmark.session import PerformanceRegression
from pytest_benchmark.utils import load_storage

from mnv1.base.console import write_what_can_be_shown
from mnv1.base.errors import UserError
from mnv1.cases import Case, Pair
from mnv1.cases.availability import why_not_here
from mnv1.measure import supervisor as measuring
from mnv1.measure.lock import machine_lock
from mnv1.measure.messages import Failed
from mnv1.store.shards import WHOLE
from mnv1.suite.journal import JournalError
from mnv1.suite.options import (
    KEPT_OPTIONS,
    NO_STORAGE,
    changed_options,
    chosen_shard,
    components,
    positive,
    resume,
    selected,
    storage_folder,
    why_refused,
)
from mnv1.suite.profiles import PROFILES, shard
from mnv1.suite.run import Run
from mnv1.suite.storage import Replay, WholeFiles, try_to_write

FIXTURE = "sweep"
"""What a test of the suite uses, beside its case."""

BYTES_A_CASE = 50_000
"""About what a case takes on disk, in the journal and in the stored run together."""

NAME = "mnv1-suite"


def configure(config: pytest.Config, folder: Path) -> None:
    """Check the options and register the hooks of the suite in a folder. Raises `pytest.UsageError`."""
    write_what_can_be_shown()
    if not hasattr(config.option, "profile"):
        raise pytest.UsageError("the suite has options of its own, so name its folder: pytest benchmarks")
    if not hasattr(config.option, "benchmark_storage"):
        raise pytest.UsageError("the suite stores with pytest-benchmark: leave -p no:benchmark out")
    if getattr(config.option, "dist", "no") != "no" or "PYTEST_XDIST_WORKER" in os.environ:
        raise pytest.UsageError("-n, --dist: two cases at a time would spoil each other: leave pytest-xdist out (-n 0)")
    if config.option.benchmark_storage.startswith("elasticsearch+"):
        raise pytest.UsageError("--benchmark-storage: runs are kept in a folder: file://PATH")
    try:
        suite = Suite(config, folder)
    except UserError as error:
        raise pytest.UsageError(str(error)) from None
    config.pluginmanager.register(suite, NAME)
    config.add_cleanup(suite.close)


def suite_of(config: pytest.Config) -> Suite:
    """The suite of a session."""
    suite = config.pluginmanager.get_plugin(NAME)
    assert isinstance(suite, Suite)
    return suite


class Suite:
    """The hooks, and what they share. Raises `UserError` for options that make no sense."""

    def __init__(self, config: pytest.Config, folder: Path) -> None:
        self._config, self._options, self._folder = config, config.option, folder
        options = self._options
        self._results = results = folder.parent / "results"
        self._journal = resume(options, results) if options.resume else None
        cases = selected(options)
        chosen_shard(options)
        half_width = positive("--half-width", options.half_width, float)
        timeout = positive("--case-timeout", options.case_timeout, float)
        assert half_width is not None
        assert timeout is not None
        self._timeout = timeout
        self._profile = replace(
            PROFILES[options.profile],
            half_width=half_width / 100,
            run_to_run=components(options),
            cold=options.cache == "cold",
        )
        self._threads = positive("--threads", options.threads, int)
        self._cases: dict[str, Sequence[Case | Pair]] = {
            "layer_case": cases.layers,
            "model_case": cases.models,
            "pair": cases.pairs,
            "training_case": cases.trainings,
            "training_pair": cases.training_pairs,
            "gain": cases.gains,
        }
        """By the name of the fixture through which a test gets its case."""
        self._by_id = {case.id: case for group in self._cases.values() for case in group}
        self._replay = Replay()
        self._ours: frozenset[str] = frozenset()
        """Ids of the session's tests that are the suite's."""
        self._run: Run | None = None
        self._replayed: set[str] = set()
        self._interruption: BaseException | None = None
        self._alone = False
        """Whether the session has no other tests than the suite's."""
        self._of_all_shards: list[Case | Pair] = []
        self._held = ExitStack()
        # The folder is known with the machine. Until then pytest-benchmark makes none, and compares with none.
        self._storage, self._compare = options.benchmark_storage, options.benchmark_compare
        options.benchmark_compare = []
        if self._storage == NO_STORAGE:
            options.benchmark_storage = f"file://{results}"

    # Collecting.

    def parametrize(self, metafunc: pytest.Metafunc) -> None:
        """Give a test of the suite its cases."""
        for name, cases in self._cases.items():
            if {name, FIXTURE} <= set(metafunc.fixturenames):
                metafunc.parametrize(name, [case.id for case in cases], indirect=True)

    def case(self, case_id: str) -> Case | Pair:
        """A case by its id."""
        return self._by_id[case_id]

    def _case_of(self, item: pytest.Item) -> Case | Pair | None:
        """The case that a test measures; None of a test of others, and of pytest's placeholder for no case at all."""
        return self._by_id.get(str(next(iter(self._cases_of(item)), None)))

    def _cases_of(self, item: pytest.Item) -> list[object]:
        """What a test of the suite was parametrized with; empty for a test of others."""
        if FIXTURE not in _fixtures(item) or self._folder not in item.path.parents:
            return []
        parameters = item.callspec.params if hasattr(item, "callspec") else {}
        return [parameters[name] for name in self._cases if name in parameters]

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> Generator[None, None, None]:
        """Leave out placeholders, and after -k and -m what belongs to another shard or sweep."""
        items[:] = [item for item in items if self._case_of(item) or not self._cases_of(item)]
        yield
        chosen = chosen_shard(self._options)
        if chosen:
            cases = {case.id: case for item in items if (case := self._case_of(item))}  # a repeated test's one once
            self._of_all_shards = list(cases.values())
            self._keep(items, shard(cases.values(), *chosen, self._profile))
        if self._journal:
            self._keep(items, frozenset(self._journal.header["cases"]))

    def _keep(self, items: list[pytest.Item], ids: frozenset[str]) -> None:
        cases = [self._case_of(item) for item in items]
        dropped = [item for item, case in zip(items, cases, strict=True) if case and case.id not in ids]
        self._config.hook.pytest_deselected(items=dropped)
        items[:] = [item for item in items if item not in dropped]

    # The sweep.

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """Measure every case before the first test runs. Raises `pytest.UsageError` when nothing can be measured."""
        options = self._options
        broken = session.testsfailed and not options.continue_on_collection_errors
        if not (broken or options.collectonly or options.setuponly or options.setupplan):
            ours = [item for item in session.items if self._case_of(item)]
            self._ours = frozenset(item.nodeid for item in ours)
            self._alone = len(ours) == len(session.items)
            if not ours:
                self._store_as_anywhere()
            elif not self._benchmark.skip:
                try:
                    self._measure(session, ours)
                except UserError as error:
                    raise pytest.UsageError(str(error)) from None
        done = yield
        if self._interruption:
            raise self._interruption
        return done

    def _measure(self, session: pytest.Session, items: Sequence[pytest.Item]) -> None:
        options = self._options
        refused = why_refused(self._config)
        if refused:
            raise pytest.UsageError(refused)
        if not self._benchmark.disabled:
            try:
                self._held.enter_context(machine_lock())  # before anything is started: that disturbs who measures
            except SystemExit as left:
                pytest.exit("nothing was measured", returncode=int(str(left)))
        supervisor = measuring.Supervisor(options.machine_state, self._threads, self._timeout)
        self._held.callback(supervisor.close)
        about = {"profile": options.profile, "half_width": self._profile.half_width}
        about |= {"shard": options.shard} if options.shard else {}
        about |= {"caches": "cold"} if self._profile.cold else {}
        about["options"] = changed_options(options)
        run = self._run = Run(self._profile, supervisor, self._journal, about)
        if options.shard:
            run.environment[WHOLE] = sorted(one.id for one in self._of_all_shards if not self._why_not_here(one, run))
        folder = storage_folder(options, self._results, run.environment["machine"])
        reporter = self._reporter
        if reporter and reporter.showheader:
            for line in run.header(folder):
                self._say(line)
        cases = self._available(items, run)
        if self._benchmark.disabled:
            return
        if not cases:
            self._store_as_anywhere()
            return
        try_to_write(folder, BYTES_A_CASE * len(cases))
        self._store_in(WholeFiles(folder, **self._of_storage))
        self._benchmark.save_data = True  # raw rounds
        try:
            try:
                run.begin(cases, {name: getattr(options, name) for name in KEPT_OPTIONS}, folder)
            finally:
                self._journal = run.journal
            run.measure(cases, self._say, options.maxfail)
            run.trace(cases, self._say)
        except (KeyboardInterrupt, JournalError) as error:
            if run.sweep is None:  # nothing is there to be replayed
                raise
            # Raised again when what is finished has been replayed.
            full_disk = pytest.exit.Exception(str(error), pytest.ExitCode.INTERNAL_ERROR)
            self._interruption = full_disk if isinstance(error, JournalError) else error
        supervisor.close()
        if not any("benchmark" in _fixtures(item) for item in session.items if item.nodeid not in self._ours):
            self._held.close()
        if self._alone and self._is_terse and reporter:
            reporter.showfspath = False

    def _available(self, items: Sequence[pytest.Item], run: Run) -> list[Case | Pair]:
        """Cases that can be measured here, in the profile's order; tests of the others are skipped."""
        ids = set()
        for item in items:
            case = self._case_of(item)
            assert case is not None
            reason = self._why_not_here(case, run)
            if reason:
                item.add_marker(pytest.mark.skip(reason=reason))
            elif not item.get_closest_marker("skip"):
                ids.add(case.id)
            item.add_marker(pytest.mark.benchmark(timer=self._replay))
            # By a case that failed, which has no rounds to replay.
            item.add_marker(pytest.mark.filterwarnings("ignore:Benchmark fixture was not used"))
        return [case for case in self._by_id.values() if case.id in ids]

    def _why_not_here(self, case: Case | Pair, run: Run) -> str | None:
        """Why a case cannot be measured on this machine; None where it can."""
        options = self._options
        return why_not_here(case, run.environment, options.precisions is not None, options.devices is not None)

    # The tests.

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """After Ctrl-C what is finished is replayed, but no test of others begins."""
        if self._interruption and item.nodeid not in self._ours:
            raise self._interruption

    def replay(self, case: Case | Pair, benchmark: Any) -> None:
        """Hand a case's rounds to pytest-benchmark for its statistics and its file; fail if the case has failed.

        pytest-benchmark decides its rounds from the first, cold call and never synchronises a GPU, so the rounds are
        timed by this suite. It learns of them through its own interface: a clock that replays them. Where nothing is
        measured, the case is built and its output checked.
        """
        assert self._run is not None
        if self._run.sweep is None:
            failed = self._run.supervisor.check(case)
            if failed:
                pytest.fail(failed.reason, pytrace=False)
            benchmark.pedantic(lambda: None)
            return
        figures = self._run.figures.get(case.id)
        if figures is None:
            pytest.skip("not finished when the sweep ended; pytest benchmarks --resume goes on")
        if isinstance(figures, Failed):
            pytest.fail(figures.reason, pytrace=False)
        self._replay.load([sample * figures.calls_per_round for sample in figures.samples])
        benchmark.pedantic(lambda: None, rounds=len(figures.samples), iterations=figures.calls_per_round)
        benchmark.extra_info.update(figures.facts)
        self._replayed.add(case.id)

    # What is stored.

    def pytest_benchmark_update_machine_info(self, machine_info: dict[str, Any]) -> None:
        """Add the environment."""
        if self._run and self._run.sweep:
            machine_info["mnv1"] = self._run.environment

    def pytest_benchmark_update_json(self, output_json: dict[str, Any]) -> None:
        """Add what is known of the run as a whole, and keep each case once, however often it was replayed."""
        if self._run and self._run.sweep:
            output_json["mnv1"] = self._run.summary()
            seen: set[str] = set()
            kept = []
            for one in output_json["benchmarks"]:
                case_id = one["extra_info"].get("id")
                if case_id not in self._replayed or case_id not in seen:
                    kept.append(one)
                seen.add(case_id)
            output_json["benchmarks"] = kept

    @pytest.hookimpl(tryfirst=True)
    def pytest_benchmark_group_stats(self, benchmarks: list[dict[str, Any]]) -> None:
        """Leave the suite's hundreds of rows out of pytest-benchmark's table unless something in it was asked for."""
        wanted = ("benchmark_columns", "benchmark_verbose", "benchmark_histogram")
        if not (self._compare or any(map(self._config.getoption, wanted))):
            benchmarks[:] = [one for one in benchmarks if one["fullname"] not in self._ours]

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, object, object]:
        """Say by the exit status that nothing was measured, when every case was skipped."""
        nothing = self._ours and self._alone and not (self._run and self._run.facts) and not self._benchmark.disabled
        if nothing and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.NO_TESTS_COLLECTED
        try:
            return (yield)
        except PerformanceRegression as error:  # of --benchmark-compare-fail
            pytest.exit(str(error), returncode=pytest.ExitCode.TESTS_FAILED)

    # What is said.

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        """Write no dots beside the lines of the sweep."""
        said = self._alone and self._is_terse and self._run and self._run.sweep
        known = report.outcome in ("passed", "failed", "skipped") and (report.when == "call" or report.skipped)
        return (report.outcome, "", "") if said and known and report.nodeid in self._ours else None

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say what was skipped and why, the verdict, and what is left to do."""
        write = terminalreporter.write_line
        skipped = [one for one in terminalreporter.stats.get("skipped", []) if one.nodeid in self._ours]
        reasons = [report.longrepr[2].removeprefix("Skipped: ") for report in skipped]
        for reason in sorted(set(reasons)):
            write(f"{reasons.count(reason)} cases skipped: {reason}")
        run = self._run
        if not run:
            return
        lines = run.closing()
        if run.facts:
            terminalreporter.section("verdict")
        for line in lines:
            write(line, red=line.startswith("failed: "))
        if run.complete and run.facts:
            if not run.facts.keys() <= self._replayed:
                write("not every case is stored: pytest ended before; store them with: pytest benchmarks --resume")
            elif not (self._is_stored or self._options.benchmark_json):
                write("not stored: add --benchmark-autosave to keep this run under results/")

    def _say(self, line: str, **markup: bool) -> None:
        if self._reporter:
            self._reporter.write_line(line, **markup)
            self._reporter.flush()  # into a pipe, too, while the sweep goes on

    # What others provide.

    @property
    def _is_terse(self) -> bool:
        return self._config.get_verbosity() <= 0

    @property
    def _reporter(self) -> pytest.TerminalReporter | None:
        return self._config.pluginmanager.get_plugin("terminalreporter")

    @property
    def _benchmark(self) -> Any:
        """pytest-benchmark's session."""
        return self._config.pluginmanager.get_plugin("pytest-benchmark")

    @property
    def _of_storage(self) -> dict[str, Any]:
        return {"logger": self._benchmark.logger, "default_machine_id": self._benchmark.machine_id}

    def _store_in(self, storage: Any) -> None:
        """Let pytest-benchmark store there, and compare with what is there when that was asked for."""
        self._benchmark.storage, self._benchmark.compare = storage, self._compare
        self._benchmark.handle_loading()

    def _store_as_anywhere(self) -> None:
        self._store_in(load_storage(self._storage, **self._of_storage, netrc=self._options.benchmark_netrc))

    @property
    def _is_stored(self) -> bool:
        return isinstance(self._benchmark.storage, WholeFiles) and self._benchmark.storage.saved

    def close(self) -> None:
        """End what is under way; the journal stays when the sweep is not over or its results are not kept."""
        self._held.close()
        if self._journal:
            run, options = self._run, self._journal.header["options"]
            stored = self._is_stored or not (options["benchmark_autosave"] or options["benchmark_save"])
            whole = run is not None and run.complete and run.facts.keys() <= self._replayed
            self._journal.close(complete=whole and stored)


def _fixtures(item: pytest.Item) -> Sequence[str]:
    return getattr(item, "fixturenames", ())
