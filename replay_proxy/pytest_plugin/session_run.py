"""``SessionRun``: one process's part of a session, and why the session fails apart from its tests.

Not in here: hooks, except the one that gets no configuration.
"""

import os
from contextlib import suppress

import pytest

from replay_proxy.errors import ReplayProxyError
from replay_proxy.pytest_plugin.item_run import ItemRun
from replay_proxy.pytest_plugin.options import has_cassette
from replay_proxy.pytest_plugin.proxies import Proxies
from replay_proxy.pytest_plugin.tally import Tally, UnusedRecordingWarning, fails

#: The remedies of a request without a cassette.
_GIVE = "Give the test the fixture `replay_proxy` or the marker `cassette`."
_OUTLIVES = (
    "A fixture that outlives a test gets a cassette of its own from `replay_proxy_server`, with "
    "`environment(name)`."
)
_LEFT = "The test must wait for its threads and processes, or end them."


class SessionRun:
    """The proxies of this process, the sums over its tests, and the test that runs."""

    def __init__(self, proxies: Proxies) -> None:
        self.proxies = proxies
        self.tally = self._new_tally()
        self.run: ItemRun | None = None
        self._pid = os.getpid()
        self._begun = False
        #: The cassettes that belong to one test each.
        self._own: set[str] = set()

    def _new_tally(self) -> Tally:
        return Tally(losses=self.proxies.options.losses == "fail")

    def run_of(self, item: pytest.Item) -> ItemRun | None:
        """The run of this test, if it uses the fixture."""
        return self.run if self.run is not None and self.run.item is item else None

    def prepare(self, item: pytest.Item, nodeid: str) -> None:
        """Prepare for clients that are created before the cassette of their test is known."""
        front = self.proxies.front
        if front.announced and not self._begun and any(map(has_cassette, item.session.items)):
            with suppress(ReplayProxyError):  # A test with a cassette fails for it.
                self.proxies.start_front()
        self._begun = True
        with suppress(ReplayProxyError):
            if has_cassette(item):
                self.proxies.announce_front()
                self.proxies.end(f"the test {nodeid} has not begun", _OUTLIVES)
            else:
                self.proxies.end(f"the test {nodeid} has none", _GIVE)

    def close(self, run: ItemRun, report: pytest.TestReport) -> None:
        """End the run of a test, whose last report this is.

        A process that was forked for the test (pytest-forked) ends with it: the report carries the
        sums, and a proxy that was started there is stopped.
        """
        self.run = None
        forked = os.getpid() != self._pid
        tally = self._new_tally() if forked else self.tally
        run.close(tally)
        with suppress(ReplayProxyError):  # The run's report was judged, and a proxy that is gone.
            own = "" if run.shared else run.cassette.cassette
            self._own.add(own)
            tally.late.update(self.proxies.end(f"the test {run.nodeid} has ended", _LEFT, own))
        if forked:
            self.proxies.stop()
            vars(report)["replay_proxy"] = tally.payload()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add the sums that a report brings from a forked process, before xdist passes it on."""
        payload = vars(report).pop("replay_proxy", None)
        if payload is not None:
            self.tally.add_worker(payload)

    def finish(self) -> None:
        """Stop the proxies, and add requests that no test has sent."""
        try:
            if self.run is not None:  # The session was interrupted.
                self.run.environment.undo()
                self.tally.count(self.run.cassette.cassette, self.run.cassette.report())
            else:
                for cassette, report in self.proxies.leftovers().items():
                    self.tally.add_outside(cassette, report)
                    if cassette in self._own:
                        self.tally.late[cassette] += sum(report["answers"].values())
        except ReplayProxyError as error:
            self.tally.failures.append(error.message)
        finally:
            self.proxies.stop()

    def judge(self, session: pytest.Session) -> None:
        """Fail the session for unused recordings of shared cassettes and for other failures."""
        config, options = session.config, self.proxies.options
        self.tally.notes += self.tally.late_texts() + self.tally.fewer_texts(options.store)
        if options.unused != "ignore":
            arguments = [config.invocation_params.dir / argument for argument in config.args]
            whole = all(path.is_dir() for path in arguments) and not config.getoption("lf", False)
            texts = self.tally.unused(whole=whole, store=options.store)
            warnings = map(UnusedRecordingWarning, texts)
            self.tally.failures += [str(each) for each in warnings if fails(each, options.unused)]
        passed = (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
        if self.tally.failures and session.exitstatus in passed:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
