"""How pytest runs the cases: options, selection, the `sweep` fixture, progress, storage and the closing verdict.

This process plans, shows and stores; another one measures (`mnv1.measure.supervisor`). So torch is not imported here.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import pytest
from _pytest.runner import runtestprotocol
from pytest_benchmark.storage.file import FileStorage
from pytest_benchmark.utils import safe_dumps

from mnv1 import results
from mnv1.cases import Pair
from mnv1.journal import Journal, JournalError, interrupted, is_running
from mnv1.measure.messages import Failed
from mnv1.measure.supervisor import Supervisor, SupervisorError
from mnv1.measure.timing import Policy
from mnv1.profiles import (
    PROFILES,
    CaseError,
    Overrides,
    parse_alphas,
    parse_batch_sizes,
    parse_devices,
    parse_kinds,
    parse_precisions,
    parse_resolutions,
    parse_shard,
    select,
    shard,
    why_unavailable,
)
from mnv1.report import tables
from mnv1.report.progress import Progress, progress_line, visit_line
from mnv1.report.units import duration, percent
from mnv1.sweep import Sweep, place_again, unlike

RESULTS = Path(__file__).parent.parent / "results"

AXES = {
    "devices": (parse_devices, "cpu,cuda"),
    "precisions": (parse_precisions, "fp32,tf32,amp"),
    "alphas": (parse_alphas, "width multipliers such as 1,0.75"),
    "resolutions": (parse_resolutions, "input sides in pixels such as 224,160"),
    "batch_sizes": (parse_batch_sizes, "images a call such as 1,8"),
    "kinds": (parse_kinds, "standard,separable,depthwise,pointwise,shallow"),
}

KEPT_OPTIONS = {
    "profile": "default",
    **dict.fromkeys(AXES),
    "machine_state": "controlled",
    "threads": None,
    "shard": None,
    "keyword": "",
    "markexpr": "",
    "benchmark_autosave": False,
    "benchmark_save": None,
}
"""Options that an interrupted sweep goes on with, and their defaults."""

BYTES_A_CASE = 50_000
"""About what a case takes on disk, in the journal and in the stored run together."""

CEILING_POLICY = Policy(visit_time=0.6, max_time=0.6, min_time=0.2)


def pytest_addoption(parser):
    group = parser.getgroup("mnv1", "what the sweep measures")
    group.addoption("--profile", default="default", help=f"which cases: {', '.join(PROFILES)} (default: default)")
    for name, (_, values) in AXES.items():
        group.addoption(f"--{name.replace('_', '-')}", metavar="LIST", help=f"replace this axis: {values}")
    group.addoption(
        "--machine-state",
        default="controlled",
        choices=("controlled", "as-is"),
        help="controlled keeps freed memory, flushes denormals, binds threads and leaves out rounds on a disturbed "
        "machine; as-is takes everything as it comes (default: controlled)",
    )
    group.addoption("--threads", metavar="N", help="number of threads (default: torch's own choice)")
    group.addoption("--shard", metavar="I/N", help="measure the I-th of N parts of about the same expected cost")
    group.addoption("--resume", action="store_true", help="continue the interrupted sweep that was begun last")
    group.addoption(
        "--case-timeout",
        metavar="SECONDS",
        default="300",
        help="give a case up that does not answer for so long (default: 300)",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    options = config.option
    try:
        journal = _resume(options) if options.resume else None
        texts = {name: getattr(options, name) for name in AXES}
        given = {name: AXES[name][0](text) for name, text in texts.items() if text is not None}
        options.shard = parse_shard(options.shard) if isinstance(options.shard, str) else options.shard
        threads = _positive("--threads", options.threads, int)
        timeout = _positive("--case-timeout", options.case_timeout, float)
        cases = select(options.profile, Overrides(**given))
        supervisor = Supervisor(options.machine_state, threads, timeout)
        run = Run(options, cases, supervisor, journal)
    except (CaseError, JournalError, SupervisorError) as error:
        raise pytest.UsageError(str(error)) from None
    config.pluginmanager.register(run, "mnv1-run")
    config.add_cleanup(run.close)
    _store_under_results(options, run)
    if options.tbstyle == "auto":
        options.tbstyle = "line"  # a failed case is a fact about the machine, told in a line


def _positive(name, text, number):
    try:
        value = None if text is None else number(text)
        if value is not None and not 0 < value < float("inf"):
            raise ValueError
    except ValueError:
        raise CaseError(f"{name}: {text!r} is not valid; valid values: positive numbers") from None
    return value


def _resume(options):
    """The journal of the interrupted sweep, whose options replace those of this command."""
    custom = options.benchmark_storage != "file://./.benchmarks"
    journal = Journal.resume(Path(options.benchmark_storage.removeprefix("file://")) if custom else RESULTS)
    stored = journal.header["options"]
    for name, default in KEPT_OPTIONS.items():
        given = getattr(options, name)
        if given not in (default, stored[name]) and name != "benchmark_autosave":
            option = {"keyword": "-k", "markexpr": "-m"}.get(name, f"--{name.replace('_', '-')}")
            raise CaseError(f"{option}: --resume goes on with what the sweep was begun with; leave this option out")
        setattr(options, name, stored[name])
    return journal


def _store_under_results(options, run):
    """Keep runs by machine under results/, raw rounds included, and find out now whether that can be written."""
    options.benchmark_save_data = True
    if options.benchmark_storage == "file://./.benchmarks":
        options.benchmark_storage = f"file://{RESULTS / run.environment['machine']}"
    run.folder = Path(options.benchmark_storage.removeprefix("file://"))


def _try_to_write(folder, size):
    """Find a full or unwritable disk before hours are spent."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(size))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise pytest.UsageError(f"{folder}: results cannot be stored here: {error.strerror}") from None


def pytest_generate_tests(metafunc):
    for name, cases in _run(metafunc.config).cases.items():
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, [case.id for case in cases], indirect=True)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(config, items):
    run = _run(config)
    items[:] = [item for item in items if run.case_of(item)]  # pytest keeps a place for each empty list of cases
    items.sort(key=lambda item: not isinstance(run.case_of(item), Pair))  # the headline first: stable otherwise
    for item in items:
        conditions = run.case_of(item).conditions
        reason = why_unavailable(conditions, run.environment, chosen=config.option.precisions is not None)
        if reason:
            item.add_marker(pytest.mark.skip(reason=reason))
        item.add_marker(pytest.mark.benchmark(timer=run.replay))
    yield  # here -k and -m deselect
    if config.option.shard:
        ours = shard([run.case_of(item) for item in items], *config.option.shard, run.profile)
        _keep(config, items, lambda item: run.case_of(item).id in ours)


def _keep(config, items, wanted):
    config.hook.pytest_deselected(items=[item for item in items if not wanted(item)])
    items[:] = filter(wanted, items)


def pytest_collection_finish(session):
    run, options = _run(session.config), session.config.option
    runnable = [item for item in session.items if not item.get_closest_marker("skip")]
    run.dry = options.benchmark_disable or options.collectonly
    if run.dry or not runnable:
        return
    cases = [run.case_of(item) for item in runnable]
    _try_to_write(run.folder, BYTES_A_CASE * len(cases))
    try:
        run.begin(cases, {name: getattr(options, name) for name in KEPT_OPTIONS})
    except (JournalError, SupervisorError) as error:
        raise pytest.UsageError(str(error)) from None
    run.progress = Progress(run.profile.expected_shares(cases), time.monotonic)
    benchmark_session = session.config._benchmarksession
    benchmark_session.storage = run.storage = WholeFiles(benchmark_session.storage)
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    # A line a case takes the place of pytest's dots and percentages.
    reporter.showfspath = False
    reporter._show_progress_info = False


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item, nextitem):
    """Run a case's test once for each visit; only the last one is reported."""
    run = _run(item.config)
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    reports = runtestprotocol(item, log=False, nextitem=nextitem)
    if run.again:
        place_again(item.session.items, run.position, item, lambda one: isinstance(run.case_of(one), Pair))
    else:
        for report in reports:
            item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    run.again = False
    run.position += 1
    return True


@pytest.hookimpl(tryfirst=True)
def pytest_report_teststatus(report):
    return (report.outcome, "", "") if report.when == "call" or report.skipped else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    run = _run(item.config)
    if report.when == "call" and not report.skipped and run.progress:
        counter, remaining = run.progress.finish(run.case_of(item).id)
        reporter = item.config.pluginmanager.get_plugin("terminalreporter")
        case = run.case_of(item)
        if call.excinfo:
            reporter.write_line(f"{counter} {case.id}  FAILED: {call.excinfo.exconly()}", red=True)
        elif case.id in run.facts and not run.was_finished(case):
            reporter.write_line(progress_line(counter, run.facts[case.id], remaining))
    return report


def pytest_benchmark_update_machine_info(config, machine_info):
    machine_info["mnv1"] = _run(config).environment


def pytest_benchmark_update_json(config, output_json):
    output_json["mnv1"] = _run(config).summary()


def pytest_benchmark_group_stats(config):
    """Leave out pytest-benchmark's own table of hundreds of rows unless something in it was asked for."""
    wanted = ("benchmark_compare", "benchmark_columns", "benchmark_verbose", "benchmark_histogram")
    return None if any(map(config.getoption, wanted)) else []


def pytest_report_header(config):
    run = _run(config)
    machine, threads = run.environment["machine"], run.environment["threads"]
    about = f"mnv1: profile {run.environment['profile']} on {machine}, {threads} threads"
    lines = [about, *(f"warning: {warning}" for warning in run.warnings)]
    if run.journal:
        entries = run.journal.entries
        over = len(entries.finished) + len(entries.failed)
        lines.append(f"resuming {run.journal.path.name}: {over} of {len(run.journal.header['cases'])} cases are over")
    else:
        waiting = [path for path in interrupted(run.folder) if not is_running(path)]
        lines += [f"note: {path} is an interrupted sweep: continue it with --resume, or delete it" for path in waiting]
    return lines


def pytest_sessionfinish(session):
    run = _run(session.config)
    if session.items and not run.facts and session.exitstatus == pytest.ExitCode.OK and not run.dry:
        session.exitstatus = pytest.ExitCode.NO_TESTS_COLLECTED  # every case was skipped: nothing was measured


def pytest_terminal_summary(terminalreporter, config):
    run = _run(config)
    write = terminalreporter.write_line
    skipped = terminalreporter.stats.get("skipped", [])
    for reason in sorted({report.longrepr[2].removeprefix("Skipped: ") for report in skipped}):
        write(f"{sum(reason in report.longrepr[2] for report in skipped)} cases skipped: {reason}")
    if run.journal and run.facts:
        terminalreporter.section("verdict")
        write(tables.verdict_text(results.frame(run.facts.values())))
        share = percent(run.sweep.call_time / run.sweep.elapsed)
        write(f"{duration(run.sweep.elapsed)} min, {share} of it in calls that were timed")
    if not run.journal:
        return
    for case_id, reason in run.journal.entries.failed.items():
        write(f"failed: {case_id}: {reason}", red=True)
    if not run.complete:
        write(
            f"interrupted: {len(run.facts)} of {len(run.journal.header['cases'])} cases are over, and visits to others "
            "are kept; continue with: pytest benchmarks --resume"
        )
    elif run.facts and not (run.storage.saved or config.option.benchmark_json):
        write("not stored: add --benchmark-autosave to keep this run under results/")


def _run(config) -> Run:
    return config.pluginmanager.get_plugin("mnv1-run")


@pytest.fixture
def case(request):
    return _run(request.config).by_id[request.param]


layer_case = model_case = pair = case


@pytest.fixture
def sweep(request, benchmark):
    """Measures a case: `sweep(case)`."""
    return lambda case: _run(request.config).measure(case, benchmark, request.node)


class Replay:
    """A clock that tells pytest-benchmark how long rounds took that are already over."""

    def __init__(self):
        self._moments = iter(())

    def load(self, durations):
        self._moments = iter([moment for duration in durations for moment in (0.0, duration)])

    def __call__(self):
        return next(self._moments)


class WholeFiles(FileStorage):
    """pytest-benchmark's storage, but a run appears there as a whole or not at all."""

    def __init__(self, storage):
        super().__init__(storage.path, storage.logger, storage.default_machine_id)
        self.saved = False

    def save(self, output_json, save):
        target = self.get(f"{self._next_num}_{save}.json")
        part = target.with_suffix(".part")
        with part.open("w", encoding="ascii") as file:
            file.write(safe_dumps(output_json, ensure_ascii=True, indent=4))
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
        self.saved = True
        self.logger.info(f"Saved benchmark data in: {target}")


class CaseFailedError(Exception):
    """A case could not be measured."""


class Run:
    """One run of the suite: what is measured, with what, and what is known so far."""

    def __init__(self, options, cases, supervisor, journal):
        self.profile = PROFILES[options.profile]
        self.cases = {"layer_case": cases.layers, "model_case": cases.models, "pair": cases.pairs}
        self.by_id = {case.id: case for group in self.cases.values() for case in group}
        self.supervisor = supervisor
        self.journal = journal
        described = supervisor.describe()
        self.warnings = described.warnings
        self.environment = {"schema": results.SCHEMA, "profile": options.profile, **described.environment}
        if options.shard:
            self.environment["shard"] = "{}/{}".format(*options.shard)
        if journal:
            self._check_that_nothing_changed(journal.header["environment"])
        self.replay = Replay()
        self.facts = {}
        self.progress = self.sweep = self.folder = self.storage = None
        self.position = 0
        """Place of the running test among the session's."""
        self.again = False
        """Whether the running test's case is to be visited again."""
        self.dry = False
        """Whether cases are only checked, not measured (--benchmark-disable, --collect-only)."""

    def _check_that_nothing_changed(self, before):
        names = ("machine", "packages", "threads", "thread_binding", "allocator", "kernel", "revision")
        changed = unlike([(name, before.get(name)) for name in names], self.environment)
        if changed:
            raise JournalError(
                f"{self.journal.path}: begun under another {' and '.join(changed)}, so the rest would not belong to "
                "it: restore that, or delete the journal and measure anew"
            )

    def begin(self, cases, options):
        """Measure what the machine can do at best, and open the journal."""
        if options["machine_state"] == "controlled":
            self.supervisor.watch()
        if self.journal:
            self.environment = dict(self.journal.header["environment"])
        else:
            self.environment["ceilings"] = self._ceilings(cases)
            header = {"options": options, "environment": self.environment, "cases": [case.id for case in cases]}
            self.journal = Journal.begin(self.folder, header)
        self.sweep = Sweep(self.profile, self.supervisor, self.journal, time.monotonic)
        self._finished_before = set(self.journal.entries.finished)

    def _ceilings(self, cases):
        found = []
        conditions = [case.conditions for case in cases]
        for device in dict.fromkeys(one.device for one in conditions):
            precisions = list(dict.fromkeys(one.precision for one in conditions if one.device == device))
            measured = self.supervisor.ceilings(device, precisions, CEILING_POLICY)
            if isinstance(measured, Failed):
                raise SupervisorError(f"the ceilings of {device} cannot be measured: {measured.reason}")
            found += measured
        return found

    def case_of(self, item):
        """The case that a test item measures."""
        params = item.callspec.params
        return next((self.by_id.get(params[name]) for name in self.cases if name in params), None)

    def was_finished(self, case):
        """Whether a case was over before the sweep was interrupted."""
        return case.id in self._finished_before

    @property
    def complete(self):
        """Whether every case of the sweep has its figures, or a reason why not."""
        entries = self.journal.entries
        return set(self.journal.header["cases"]) <= {*entries.finished, *entries.failed}

    def measure(self, case, benchmark, item):
        """Visit a case, and after the last visit hand its rounds to pytest-benchmark for its statistics and its file.

        pytest-benchmark decides its rounds from the first, cold call and never synchronises a GPU, so the rounds are
        timed by this suite. It learns of them through its own interface: a clock that replays them.
        """
        if benchmark.disabled:
            failed = self.supervisor.check(case)
            if failed:
                raise CaseFailedError(failed.reason)
            benchmark.pedantic(lambda: None)
            return
        try:
            record = self.sweep.advance(case)
        except JournalError as error:
            pytest.exit(str(error), returncode=pytest.ExitCode.INTERNAL_ERROR)
        if isinstance(record, Failed):
            raise CaseFailedError(record.reason)
        if record is None:
            self._again(case, item)
        self.replay.load([sample * record.calls_per_round for sample in record.samples])
        benchmark.pedantic(lambda: None, rounds=len(record.samples), iterations=record.calls_per_round)
        benchmark.extra_info.update(record.facts)
        self.facts[case.id] = record.facts

    def _again(self, case, item):
        self.again = True
        self.progress.advance(case.id, self.sweep.share(case))
        if self.sweep.visits(case) == 1:
            reporter = item.config.pluginmanager.get_plugin("terminalreporter")
            reporter.write_line(visit_line(self.progress.counter, case.id, self.progress.remaining))
        pytest.skip("to be visited again")  # no report: pytest_runtest_protocol puts the case into the queue again

    def summary(self):
        """What is stored of the run as a whole."""
        return {
            "wall_time": self.sweep.elapsed,
            "call_time": self.sweep.call_time,
            "failed": dict(self.journal.entries.failed),
        }

    def close(self):
        """End the measuring process; the journal stays when the sweep is not over or its results are not kept."""
        self.supervisor.close()
        if self.journal:
            wanted = (
                self.journal.header["options"]["benchmark_autosave"] or self.journal.header["options"]["benchmark_save"]
            )
            self.journal.close(complete=self.complete and not (wanted and not (self.storage and self.storage.saved)))
