"""One run of a test: its cassette, its report, and why it fails.

Not in here: hooks.
"""

import contextlib
import shlex
import threading
from typing import Any, NoReturn

import pytest

from replay_proxy.errors import ReplayProxyError
from replay_proxy.pytest_plugin.proxies import Proxies
from replay_proxy.pytest_plugin.reports import (
    Report,
    failures,
    first,
    loss_texts,
    report_sum,
    unused_text,
)
from replay_proxy.pytest_plugin.tally import (
    LossWarning,
    NoRequestWarning,
    Tally,
    UnusedRecordingWarning,
    fails,
)
from replay_proxy.pytest_plugin.threads import left_running

_IDLE = (
    "This test has a cassette, but no request reached the proxy. Does its client have a base URL "
    "of its own, or an environment that was cleared? Was it created before OPENAI_BASE_URL was "
    "set, as by a fixture that a test without a cassette began? Does another plugin block it? If "
    "the test needs no API, remove the fixture `replay_proxy` or the marker `cassette`, or set "
    "replay_idle=ignore."
)


class CassetteFixture:
    """The value of the fixture ``replay_proxy``: a test's cassette and the proxy's address."""

    def __init__(self, cassette: str, proxies: Proxies) -> None:
        self._proxies = proxies
        self._past: Report | None = None
        #: The cassette's name.
        self.cassette = cassette
        #: The client's ``base_url``, which is in ``OPENAI_BASE_URL`` too.
        self.base_url = proxies.base_url(cassette)
        #: ``http://127.0.0.1:<port>``.
        self.origin = proxies.child(cassette).origin
        proxies.rewind(cassette)
        proxies.begin(cassette)

    @property
    def misses(self) -> list[dict[str, Any]]:
        """The misses of this test so far, each with its ``message``."""
        return list(self.report()["misses"])

    def report(self, *, drain: bool = False) -> Report:
        """The report on this test so far; ``drain`` waits for recordings in progress."""
        return report_sum(self._past, self._proxies.report(self.cassette, drain=drain))

    def rewind(self) -> None:
        """Start the cassette over. Requests before this still count."""
        self._past = self.report()
        self._proxies.rewind(self.cassette)


class ItemRun:
    """One run of a test that uses the fixture, from its setup to the end of its teardown.

    ``shared`` is whether a marker names the cassette: other tests may use it too.
    """

    def __init__(
        self, item: pytest.Item, nodeid: str, cassette: str, proxies: Proxies, *, shared: bool
    ) -> None:
        self.item = item
        self.cassette = CassetteFixture(cassette, proxies)
        self.environment = pytest.MonkeyPatch()
        self.passed = False
        #: The text of this phase, and the failure that shows it.
        self.text = ""
        self.failure: BaseException | None = None
        self.nodeid = nodeid
        self._proxies = proxies
        self.shared = shared
        self._report: Report | None = None
        self._reported: set[str] = set()
        self._threads = frozenset(threading.enumerate())

    def judge(self, *, drain: bool = False) -> str:
        """The failures since the last call, as a text; empty if there are none.

        ``drain`` waits for recordings in progress.
        """
        try:
            self._report = self.cassette.report(drain=drain)
            texts = failures(self._report, losses=self._proxies.options.losses == "fail")
            again = f"pytest {shlex.quote(self.nodeid)} --replay-mode=record"
            remedy = [f"To record this test again: {again}"]
        except ReplayProxyError as error:
            texts, remedy = {"": error.message}, []
        new = [text for key, text in texts.items() if key not in self._reported]
        self._reported |= texts.keys()
        self.text = "\n\n".join(first(new) + remedy) if new else ""
        return self.text

    def judge_end(self) -> None:
        """Judge what is known only when the test is over, if it passed."""
        if not self.passed or self._report is None:
            return
        options = self._proxies.options
        warnings: list[tuple[pytest.PytestWarning, str]] = []
        if self._report["unused_total"] and not self.shared:
            warnings.append((UnusedRecordingWarning(self._unused_text()), options.unused))
        if self._report["lost"] and options.losses == "warn":
            text = "\n\n".join(first(list(loss_texts(self._report).values())))
            warnings.append((LossWarning(text), options.losses))
        if self._is_idle():
            warnings.append((NoRequestWarning(_IDLE), options.idle))
        failing = [str(warning) for warning, reaction in warnings if fails(warning, reaction)]
        self.text = "\n\n".join(filter(None, [self.text, *failing]))

    def _is_idle(self) -> bool:
        if self._report is None or self._report["lost"]:
            return False
        return not any(self._report["answers"].values())

    def _unused_text(self) -> str:
        assert self._report is not None
        unused, total = self._report["unused"], self._report["unused_total"]
        store = self._proxies.options.store
        return unused_text(self.cassette.cassette, unused, total, store)

    def fail(self) -> NoReturn:
        """Fail the test with the text, without a traceback."""
        self.failure = pytest.fail.Exception(self.text, pytrace=False)
        raise self.failure

    def close(self, tally: Tally) -> None:
        """Add the report to the tally, and rewind the cassette for the next test."""
        if names := left_running(self._threads):
            tally.left.append(f"{self.nodeid} ({', '.join(names)})")
        if self._report is None:
            return
        cassette = self.cassette.cassette
        tally.count(cassette, self._report)
        tally.counts["idle"] += self._is_idle() and self.passed
        if self.shared:
            tally.share(cassette, self._report)
            tally.passed += [self.nodeid] if self.passed else []
        with contextlib.suppress(ReplayProxyError):  # ``judge`` has reported a proxy that is gone.
            self._proxies.rewind(cassette)
