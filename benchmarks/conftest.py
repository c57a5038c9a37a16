"""How pytest runs the cases. What the hooks do is in `mnv1.suite`.

This process plans, shows and stores; another one measures (`mnv1.measure.supervisor`). So torch is not imported here.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from _pytest.runner import runtestprotocol

from mnv1.base.console import write_what_can_be_shown
from mnv1.cases.availability import why_not_here
from mnv1.cases.grids import CaseError
from mnv1.measure.lock import machine_lock
from mnv1.measure.supervisor import Supervisor, SupervisorError
from mnv1.suite.journal import JournalError
from mnv1.suite.options import (
    KEPT_OPTIONS,
    add_options,
    chosen_shard,
    positive,
    resume,
    selected,
    storage_folder,
)
from mnv1.suite.profiles import PROFILES, shard
from mnv1.suite.run import Run
from mnv1.suite.storage import StorageError, WholeFiles, try_to_write
from mnv1.suite.sweep import place_again

RESULTS = Path(__file__).parent.parent / "results"

BYTES_A_CASE = 50_000
"""About what a case takes on disk, in the journal and in the stored run together."""


def pytest_addoption(parser):
    add_options(parser)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    write_what_can_be_shown()
    options = config.option
    try:
        journal = resume(options, RESULTS) if options.resume else None
        cases = selected(options)
        chosen_shard(options)
        profile = replace(
            PROFILES[options.profile], half_width=positive("--half-width", options.half_width, float) / 100
        )
        threads = positive("--threads", options.threads, int)
        timeout = positive("--case-timeout", options.case_timeout, float)
        if not (options.collectonly or options.benchmark_disable or options.help or options.version):
            held = ExitStack()
            config.add_cleanup(held.close)
            held.enter_context(machine_lock())  # before anything is started: that disturbs the one who measures
        supervisor = Supervisor(options.machine_state, threads, timeout)
        about = {"profile": options.profile, "half_width": profile.half_width}
        run = Run(profile, cases, supervisor, journal, about | ({"shard": options.shard} if options.shard else {}))
    except (CaseError, JournalError, SupervisorError) as error:
        raise pytest.UsageError(str(error)) from None
    config.pluginmanager.register(run, "mnv1-run")
    config.add_cleanup(run.close)
    # Runs are kept by machine, raw rounds included.
    run.folder = storage_folder(options, RESULTS / run.environment["machine"])
    options.benchmark_storage = f"file://{run.folder}"
    options.benchmark_save_data = True
    if options.tbstyle == "auto":
        options.tbstyle = "line"  # a failed case is a fact about the machine, told in a line


def pytest_generate_tests(metafunc):
    for name, cases in _run(metafunc.config).cases.items():
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, [case.id for case in cases], indirect=True)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(config, items):
    run, options = _run(config), config.option
    items[:] = [item for item in items if run.case_of(item)]
    items.sort(key=lambda item: not run.is_pair(item))  # the headline first: stable otherwise
    for item in items:
        case = run.case_of(item)
        chosen = options.precisions is not None
        reason = why_not_here(case, run.environment, chosen)
        if reason:
            item.add_marker(pytest.mark.skip(reason=reason))
        item.add_marker(pytest.mark.benchmark(timer=run.replay))
    yield  # here -k and -m deselect
    if options.shard:
        _keep(config, items, shard(map(run.case_of, items), *chosen_shard(options), run.profile))
    if run.journal:
        _keep(config, items, frozenset(run.journal.header["cases"]))


def _keep(config, items, ids):
    wanted = [item for item in items if _run(config).case_of(item).id in ids]
    config.hook.pytest_deselected(items=[item for item in items if item not in wanted])
    items[:] = wanted


def pytest_collection_finish(session):
    run, options = _run(session.config), session.config.option
    cases = [run.case_of(item) for item in session.items if not item.get_closest_marker("skip")]
    if options.benchmark_disable or options.collectonly or not cases:
        return
    benchmark_session = session.config._benchmarksession
    benchmark_session.storage = WholeFiles(benchmark_session.storage)
    try:
        try_to_write(run.folder, BYTES_A_CASE * len(cases))
        run.begin(cases, {name: getattr(options, name) for name in KEPT_OPTIONS}, benchmark_session.storage)
    except (StorageError, JournalError, SupervisorError) as error:
        raise pytest.UsageError(str(error)) from None
    # A line a case takes the place of pytest's dots and percentages.
    reporter = _reporter(session.config)
    reporter.showfspath = False
    reporter._show_progress_info = False


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item, nextitem):
    """Run a case's test once for each visit; only the last one is reported."""
    run = _run(item.config)
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    reports = runtestprotocol(item, log=False, nextitem=nextitem)
    if run.again:
        run.tell_visit(run.case_of(item), _reporter(item.config))
        place_again(item.session.items, run.position, run.is_pair, run.latencies_a_pass)
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
    if report.when == "call" and not report.skipped:
        run = _run(item.config)
        run.tell(run.case_of(item), str(call.excinfo.value) if call.excinfo else None, _reporter(item.config))
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
    return _run(config).header()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session):
    run = _run(session.config)
    run.look_at_ceilings_again()  # before pytest-benchmark stores them
    run.record_throttling()
    dry = session.config.option.benchmark_disable or session.config.option.collectonly
    if session.items and not run.facts and session.exitstatus == pytest.ExitCode.OK and not dry:
        session.exitstatus = pytest.ExitCode.NO_TESTS_COLLECTED  # every case was skipped: nothing was measured
    return (yield)


def pytest_terminal_summary(terminalreporter, config):
    run = _run(config)
    reasons = [report.longrepr[2].removeprefix("Skipped: ") for report in terminalreporter.stats.get("skipped", [])]
    for reason in sorted(set(reasons)):
        terminalreporter.write_line(f"{reasons.count(reason)} cases skipped: {reason}")
    lines = run.closing()
    if run.facts:
        terminalreporter.section("verdict")
    for line in lines:
        terminalreporter.write_line(line, red=line.startswith("failed: "))
    if run.complete and run.facts and not (run.storage.saved or config.option.benchmark_json):
        terminalreporter.write_line("not stored: add --benchmark-autosave to keep this run under results/")


def _run(config) -> Run:
    return config.pluginmanager.get_plugin("mnv1-run")


def _reporter(config):
    return config.pluginmanager.get_plugin("terminalreporter")


@pytest.fixture
def case(request):
    return _run(request.config).by_id[request.param]


layer_case = model_case = pair = training_case = training_pair = case


@pytest.fixture
def sweep(request, benchmark):
    """Measures a case: `sweep(case)`."""
    return lambda case: _run(request.config).measure(case, benchmark)
