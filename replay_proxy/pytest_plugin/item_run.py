"""A test's run against the proxy: its cassette, what it asked, and what was wrong with that.

No hooks here.
"""

import contextlib
import shlex
from typing import Any, NoReturn

import pytest

from replay_proxy.errors import ReplayProxyError
from replay_proxy.pytest_plugin.proxies import Proxies
from replay_proxy.pytest_plugin.tally import Report, Tally, failures, first, report_sum, unused_text


class CassetteFixture:
    """The fixture ``replay_proxy``: a test's cassette, and the proxy that serves it."""

    def __init__(self, cassette: str, proxies: Proxies) -> None:
        self._proxies = proxies
        self._past: Report | None = None
        #: The cassette's name.
        self.cassette = cassette
        #: What a client takes as its ``base_url``; ``OPENAI_BASE_URL`` names it too.
        self.base_url = proxies.base_url(cassette)
        #: ``http://127.0.0.1:<port>``.
        self.origin = proxies.child(cassette).origin
        proxies.rewind(cassette)

    @property
    def misses(self) -> list[dict[str, Any]]:
        """The misses of this test so far, each with its ``message``."""
        return list(self.report()["misses"])

    def report(self) -> Report:
        """What this test has asked so far."""
        return report_sum(self._past, self._proxies.report(self.cassette))

    def rewind(self) -> None:
        """Start the cassette over; what was asked before still counts."""
        self._past = self.report()
        self._proxies.rewind(self.cassette)


class ItemRun:
    """One run of a test that uses the fixture, from its setup to the end of its teardown.

    ``shared`` is whether a marker names the cassette, so that it may serve other tests too.
    """

    def __init__(
        self, item: pytest.Item, nodeid: str, cassette: str, proxies: Proxies, *, shared: bool
    ) -> None:
        self.item = item
        self.cassette = CassetteFixture(cassette, proxies)
        self.environment = pytest.MonkeyPatch()
        self.passed = False
        #: What this phase has to tell, and the failure that does.
        self.text = ""
        self.failure: BaseException | None = None
        self._nodeid = nodeid
        self._proxies = proxies
        self._shared = shared
        self._report: Report | None = None
        self._told: set[str] = set()

    def judge(self) -> str:
        """What has gone wrong since this was asked before, or nothing."""
        try:
            self._report = self.cassette.report()
            found = failures(self._report)
            again = f"pytest {shlex.quote(self._nodeid)} --replay-mode=record"
            remedy = [f"To record this test again: {again}"]
        except ReplayProxyError as error:
            found, remedy = {"": error.message}, []
        new = [text for key, text in found.items() if key not in self._told]
        self._told |= found.keys()
        self.text = "\n\n".join(first(new) + remedy) if new else ""
        return self.text

    def unused(self) -> str:
        """What a passed test left unused of its own cassette, or nothing."""
        if not self.passed or self._shared or not (self._report and self._report["unused_total"]):
            return ""
        report, store = self._report, self._proxies.options.store
        return unused_text(self.cassette.cassette, report["unused"], report["unused_total"], store)

    def fail(self) -> NoReturn:
        """Fail the test in its words, without a traceback."""
        self.failure = pytest.fail.Exception(self.text, pytrace=False)
        raise self.failure

    def close(self, tally: Tally) -> None:
        """Add up what was asked, and leave nothing of it to whoever is next."""
        if self._report is None:
            return
        cassette = self.cassette.cassette
        tally.count(self._report)
        if self._shared:
            tally.share(cassette, self._report)
            tally.passed += [self._nodeid] if self.passed else []
        with contextlib.suppress(ReplayProxyError):  # A proxy that is gone was told before.
            self._proxies.rewind(cassette)
