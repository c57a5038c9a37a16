"""How pytest runs the cases: options, selection, the `sweep` fixture, progress, storage and the closing verdict.

torch is imported only after the machine state is set, so nothing that needs it is imported at the top.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from _pytest.runner import runtestprotocol

from mnv1 import results
from mnv1.cases import Pair
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
    select,
)
from mnv1.report import tables
from mnv1.report.progress import Progress, progress_line

RESULTS = Path(__file__).parent.parent / "results"

AXES = {
    "devices": (parse_devices, "cpu,cuda"),
    "precisions": (parse_precisions, "fp32,tf32,amp"),
    "alphas": (parse_alphas, "width multipliers such as 1,0.75"),
    "resolutions": (parse_resolutions, "input sides in pixels such as 224,160"),
    "batch_sizes": (parse_batch_sizes, "images a call such as 1,8"),
    "kinds": (parse_kinds, "standard,separable,depthwise,pointwise,shallow"),
}


def pytest_addoption(parser):
    group = parser.getgroup("mnv1", "what the sweep measures")
    group.addoption("--profile", default="default", help=f"which cases: {', '.join(PROFILES)} (default: default)")
    for name, (_, values) in AXES.items():
        group.addoption(f"--{name.replace('_', '-')}", metavar="LIST", help=f"replace this axis: {values}")
    group.addoption(
        "--machine-state",
        default="controlled",
        choices=("controlled", "as-is"),
        help="controlled keeps freed memory, flushes denormals and leaves out rounds on a disturbed machine; "
        "as-is takes everything as it comes (default: controlled)",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    options = config.option
    try:
        texts = {name: getattr(options, name) for name in AXES}
        given = {name: AXES[name][0](text) for name, text in texts.items() if text is not None}
        cases = select(options.profile, Overrides(**given))
    except CaseError as error:
        raise pytest.UsageError(str(error)) from None

    from mnv1.measure import state

    sweep = Sweep(options.profile, cases, state.prepare(options.machine_state))
    config.pluginmanager.register(sweep, "mnv1-sweep")
    _store_under_results(options, sweep)
    sweep.dry = options.benchmark_disable or options.collectonly
    if options.tbstyle == "auto":
        options.tbstyle = "line"  # a failed case is a fact about the machine, told in a line


def _store_under_results(options, sweep):
    """Keep runs by machine under results/, raw rounds included, and find out now whether that can be written."""
    options.benchmark_save_data = True
    if options.benchmark_storage == "file://./.benchmarks":
        options.benchmark_storage = f"file://{RESULTS / sweep.environment['machine']}"
    if options.benchmark_autosave or options.benchmark_save:
        folder = Path(options.benchmark_storage.removeprefix("file://"))
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise pytest.UsageError(f"{folder}: results cannot be stored here: {error.strerror}") from None
        if not os.access(folder, os.W_OK):
            raise pytest.UsageError(f"{folder}: results cannot be stored here: not writable")


def pytest_generate_tests(metafunc):
    for name, cases in _sweep(metafunc.config).cases.items():
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, [case.id for case in cases], indirect=True)


def pytest_collection_modifyitems(config, items):
    from mnv1.measure.modules import why_unavailable

    sweep = _sweep(config)
    items[:] = [item for item in items if sweep.case_of(item)]  # pytest keeps a place for each empty list of cases
    items.sort(key=lambda item: not isinstance(sweep.case_of(item), Pair))  # the headline first: stable otherwise
    for item in items:
        reason = why_unavailable(sweep.case_of(item).conditions)
        if reason:
            item.add_marker(pytest.mark.skip(reason=reason))
        item.add_marker(pytest.mark.benchmark(timer=sweep.replay))


def pytest_collection_finish(session):
    from mnv1.measure.quiet import ControlWatch, cpu_controls

    sweep = _sweep(session.config)
    runnable = [item for item in session.items if not item.get_closest_marker("skip")]
    expected = {item.nodeid: sweep.profile.expected_seconds(sweep.case_of(item)) for item in runnable}
    if sweep.environment["machine_state"] == "controlled" and not sweep.dry:
        sweep.watch = ControlWatch(cpu_controls(), allowance=sweep.profile.wait_time)
        sweep.watch.learn()
    # Waits come early or not at all, so the remaining time is not extrapolated from them.
    sweep.progress = Progress(expected, lambda: time.monotonic() - (sweep.watch.waited if sweep.watch else 0))
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter and not session.config.option.collectonly:
        # A line a case takes the place of pytest's dots and percentages.
        reporter.showfspath = False
        reporter._show_progress_info = False


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item, nextitem):
    """Run a case, and put it off to the end of the sweep, once, when the machine is disturbed meanwhile."""
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    reports = runtestprotocol(item, log=False, nextitem=nextitem)
    if _sweep(item.config).put_off.get(item.nodeid) == 1:
        _sweep(item.config).put_off[item.nodeid] += 1
        item.session.items.append(item)
    else:
        for report in reports:
            item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


@pytest.hookimpl(tryfirst=True)
def pytest_report_teststatus(report):
    return (report.outcome, "", "") if report.when == "call" or report.skipped else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.when == "call" and not report.skipped:
        sweep = _sweep(item.config)
        counter, remaining = sweep.progress.finish(item.nodeid)
        reporter = item.config.pluginmanager.get_plugin("terminalreporter")
        if call.excinfo:
            reporter.write_line(f"{counter} {sweep.case_of(item).id}  FAILED: {call.excinfo.exconly()}", red=True)
        elif item.nodeid in sweep.facts:
            reporter.write_line(progress_line(counter, sweep.facts[item.nodeid], remaining))
    return report


def pytest_benchmark_update_machine_info(config, machine_info):
    machine_info["mnv1"] = _sweep(config).environment


def pytest_benchmark_group_stats(config):
    """Leave out pytest-benchmark's own table of hundreds of rows unless something in it was asked for."""
    wanted = ("benchmark_compare", "benchmark_columns", "benchmark_verbose", "benchmark_histogram")
    return None if any(map(config.getoption, wanted)) else []


def pytest_report_header(config):
    environment = _sweep(config).environment
    about = f"mnv1: profile {environment['profile']} on {environment['machine']}, {environment['threads']} threads"
    return [about, *(f"warning: {warning}" for warning in _sweep(config).warnings)]


def pytest_sessionfinish(session):
    sweep = _sweep(session.config)
    if session.items and not sweep.facts and session.exitstatus == pytest.ExitCode.OK and not sweep.dry:
        session.exitstatus = pytest.ExitCode.NO_TESTS_COLLECTED  # every case was skipped: nothing was measured


def pytest_terminal_summary(terminalreporter, config):
    sweep = _sweep(config)
    skipped = terminalreporter.stats.get("skipped", [])
    if skipped:
        reasons = sorted({report.longrepr[2].removeprefix("Skipped: ") for report in skipped})
        terminalreporter.write_line(f"{len(skipped)} cases skipped: {'; '.join(reasons)}")
    if sweep.facts:
        terminalreporter.section("verdict")
        terminalreporter.write_line(tables.verdict_text(results.frame(sweep.facts.values())))
        if not (config.option.benchmark_autosave or config.option.benchmark_save or config.option.benchmark_json):
            terminalreporter.write_line("not stored: add --benchmark-autosave to keep this run under results/")


def _sweep(config) -> Sweep:
    return config.pluginmanager.get_plugin("mnv1-sweep")


@pytest.fixture
def case(request):
    return _sweep(request.config).by_id[request.param]


layer_case = model_case = pair = case


@pytest.fixture
def sweep(request, benchmark):
    """Measures a case: `sweep(case)`."""
    return lambda case: _sweep(request.config).run(case, benchmark, request.node.nodeid)


class Replay:
    """A clock that tells pytest-benchmark how long rounds took that are already over."""

    def __init__(self):
        self._moments = iter(())

    def load(self, durations):
        self._moments = iter([moment for duration in durations for moment in (0.0, duration)])

    def __call__(self):
        return next(self._moments)


CHEAP_CASE = 5.0
"""Expected seconds of a case below which a second try is worth its time after a disturbed first."""


class Sweep:
    """One run of the suite: what is measured, how far it is, and the facts so far."""

    def __init__(self, profile_name, cases, settings):
        from mnv1.measure import environment

        self.profile = PROFILES[profile_name]
        self.cases = {"layer_case": cases.layers, "model_case": cases.models, "pair": cases.pairs}
        self.by_id = {case.id: case for group in self.cases.values() for case in group}
        self.environment = {"schema": results.SCHEMA, "profile": profile_name, **settings, **environment.describe()}
        self.warnings = environment.warnings()
        self.replay = Replay()
        self.facts = {}
        self.progress = None
        self.watch = None
        self.put_off = {}
        """Cases that met a disturbed machine: 1 when that has just happened, 2 when their second try is due."""
        self.dry = False
        """Whether cases are only checked, not measured (--benchmark-disable, --collect-only)."""

    def case_of(self, item):
        """The case that a test item measures."""
        params = item.callspec.params
        return next((self.by_id.get(params[name]) for name in self.cases if name in params), None)

    def run(self, case, benchmark, nodeid):
        """Measure one case, and hand its rounds to pytest-benchmark for its statistics and its file.

        pytest-benchmark decides its rounds from the first, cold call and never synchronises a GPU, so the rounds are
        timed by this suite. It learns of them through its own interface: a clock that replays them.
        """
        from mnv1.measure.runner import Policy, check, run_case, run_pair

        if benchmark.disabled:
            check(case)
            benchmark.pedantic(lambda: None)
            return
        may_wait = self.watch and case.conditions.device == "cpu" and nodeid not in self.put_off
        if may_wait and not self.watch.wait():
            self._put_off(nodeid)
        policy = Policy(max_time=self.profile.time_for(case))
        run = run_pair if isinstance(case, Pair) else run_case
        record = run(case, policy, self.watch)
        cheap = self.profile.expected_seconds(case) < CHEAP_CASE
        if may_wait and cheap and record.facts["stopped"] == "disturbed":
            self._put_off(nodeid)
        self.replay.load([sample * record.calls_per_round for sample in record.samples])
        benchmark.pedantic(lambda: None, rounds=len(record.samples), iterations=record.calls_per_round)
        benchmark.extra_info.update(record.facts)
        self.facts[nodeid] = record.facts

    def _put_off(self, nodeid):
        self.put_off[nodeid] = 1
        pytest.skip("put off: the machine is disturbed")  # no report: pytest_runtest_protocol runs the case again
