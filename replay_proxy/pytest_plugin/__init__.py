"""The pytest plugin: gives each test a cassette, and fails a test whose request is not in it.

Importing this costs a pytest start almost nothing, and nothing is started before a test uses the
fixture.

Not in here: the proxy itself, which is a child process (``serving.child``).
"""

from collections.abc import Generator, Sequence
from typing import Any

import pytest

from replay_proxy.errors import ReplayProxyError
from replay_proxy.pytest_plugin.blockers import remedy
from replay_proxy.pytest_plugin.front import Front
from replay_proxy.pytest_plugin.item_run import CassetteFixture, ItemRun
from replay_proxy.pytest_plugin.options import (
    OPTIONS,
    cassette_of,
    has_cassette,
    marker_cassette,
    options,
)
from replay_proxy.pytest_plugin.proxies import Proxies
from replay_proxy.pytest_plugin.session_run import SessionRun
from replay_proxy.pytest_plugin.tally import (
    LossWarning,
    NoRequestWarning,
    UnusedRecordingWarning,
)
from replay_proxy.serving.child.run_file import tell_run

__all__ = [
    "CassetteFixture",
    "CassetteInUse",
    "LossWarning",
    "NoRequestWarning",
    "Proxies",
    "UnusedRecordingWarning",
]

#: The former name of ``CassetteFixture``.
CassetteInUse = CassetteFixture


_NODEID = pytest.StashKey[str]()
_SESSION = pytest.StashKey[SessionRun]()
#: The name under which the front is registered.
_FRONT = "replay_proxy_front"


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Register each option for the command line and for the configuration file."""
    pluginmanager.register(Front(), _FRONT)
    group = parser.getgroup("replay-proxy")
    for name, text in OPTIONS.items():
        dest = f"replay_{name.replace('-', '_')}"
        group.addoption(f"--replay-{name}", dest=dest, metavar=name.upper(), help=text)
        parser.addini(dest, text)
    parser.addini("replay_settings", "further settings of the proxy, NAME=value", type="linelist")


def pytest_configure(config: pytest.Config) -> None:
    """Read the options. Raises ``pytest.UsageError``."""
    config.addinivalue_line("markers", "cassette(name): run the test on this cassette")
    chosen = options(config)
    worker = getattr(config, "workerinput", None)
    recorded = chosen.recorded() if worker is None else worker["replay_proxy_recorded"]
    proxies = Proxies(chosen, recorded, config.pluginmanager.getplugin(_FRONT))
    config.stash[_SESSION] = SessionRun(proxies)
    config.pluginmanager.register(config.stash[_SESSION], "replay_proxy_session")
    config.add_cleanup(proxies.stop)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Note the node id before xdist changes it."""
    item.stash[_NODEID] = item.nodeid


def pytest_collection_modifyitems(config: pytest.Config, items: Sequence[pytest.Item]) -> None:
    """Note which tests name which cassette. Raises ``pytest.UsageError``."""
    tally = config.stash[_SESSION].tally
    for item in items:
        try:
            if cassette := marker_cassette(item, nodeid := item.stash.get(_NODEID, item.nodeid)):
                tally.name(cassette, nodeid)
        except pytest.UsageError as error:
            if not hasattr(config, "workerinput"):
                raise
            tally.failures.append(str(error))  # What a worker of xdist raises here is lost.


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    """Note the tests that another plugin has removed: they name cassettes too."""
    if items:
        pytest_collection_modifyitems(items[0].config, items)


@pytest.fixture(autouse=True)
def _marked_cassette(request: pytest.FixtureRequest) -> None:
    """Give a test its cassette before another of its fixtures creates a client or uses one."""
    if has_cassette(request.node):
        request.getfixturevalue("replay_proxy")


@pytest.fixture(scope="session")
def replay_proxy_server(pytestconfig: pytest.Config) -> Proxies:
    """The proxy for an application that outlives a test; see ``Proxies.environment``."""
    return pytestconfig.stash[_SESSION].proxies


@pytest.fixture
def replay_proxy(request: pytest.FixtureRequest, replay_proxy_server: Proxies) -> CassetteFixture:
    """A cassette for this test. ``OPENAI_BASE_URL`` leads to it until the test ends."""
    item: pytest.Item = request.node
    session = item.config.stash[_SESSION]
    nodeid = item.stash.get(_NODEID, item.nodeid)
    try:
        shared = marker_cassette(item, nodeid)
        name = shared or cassette_of(nodeid)
        if shared:
            session.tally.add_outside(shared, replay_proxy_server.report(shared))
        run = ItemRun(item, nodeid, name, replay_proxy_server, shared=bool(shared))
    except (ReplayProxyError, pytest.UsageError) as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None
    session.run = run
    for variable, value in replay_proxy_server.environment(name).items():
        run.environment.setenv(variable, value)
    return run.cassette


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Announce the proxy's address to clients that are created for this test and for later ones."""
    item.config.stash[_SESSION].prepare(item, item.stash.get(_NODEID, item.nodeid))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Fail a test that passed in spite of a miss or an expired recording."""
    outcome = yield
    run = item.config.stash[_SESSION].run_of(item)
    if run is not None and run.judge():
        run.fail()
    return outcome


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, object, object]:
    """Restore the environment after all other fixtures, and judge what is only known then."""
    session = item.config.stash[_SESSION]
    try:
        outcome = yield
    finally:
        if (run := session.run_of(item)) is not None:
            run.environment.undo()
            run.judge(drain=True)
        session.proxies.front.withdraw()
    if run is not None:
        run.judge_end()
        if run.text:
            run.fail()
    return outcome


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add to the report of a test that failed by itself what else failed."""
    report = yield
    session = item.config.stash[_SESSION]
    run = session.run_of(item)
    if run is None:
        return report
    expected = hasattr(report, "wasxfail")
    if call.excinfo is not None and call.excinfo.value is not run.failure:
        text = run.text or run.judge()
        if text and report.skipped and not expected:
            report.outcome, report.longrepr = "failed", text
        elif text:
            report.sections.append(("replay-proxy", text))
        if allowed_by := remedy(call.excinfo.value):
            report.sections.append(("replay-proxy", allowed_by))
    run.text, run.failure = "", None
    if call.when == "call":
        run.passed = report.passed and not expected
    if call.when == "teardown":
        run.passed &= report.passed
        session.close(run, report)
    return report


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None, object, object]:
    """Stop the proxies, and judge what belongs to no test."""
    state = session.config.stash[_SESSION]
    try:
        return (yield)
    finally:
        state.finish()
        state.tally.notes += [f"Settings of the proxy: {note}" for note in state.proxies.notes]
        if hasattr(session.config, "workeroutput"):
            session.config.workeroutput["replay_proxy"] = state.tally.payload()
        else:
            state.judge(session)
            tell_run(state.tally.requests())


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker of xdist what was recorded when the session began."""
    node.workerinput["replay_proxy_recorded"] = list(node.config.stash[_SESSION].proxies.recorded)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Add the payload of a worker of xdist."""
    payload = getattr(node, "workeroutput", {}).get("replay_proxy")
    if payload is not None:
        node.config.stash[_SESSION].tally.add_worker(payload)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print why the session fails apart from its tests, the notes, and a line with the sums."""
    tally = config.stash[_SESSION].tally
    if tally.failures:
        terminalreporter.section("replay-proxy", red=True, bold=True)
    for text in tally.failures + tally.notes:
        terminalreporter.write_line(text)
    if summary := tally.summary():
        terminalreporter.write_line(summary)
