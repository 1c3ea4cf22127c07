"""A test's run against the proxy: its cassette, what it asked, and what was wrong with that.

No hooks here. What a session pays for only when a test uses the proxy is imported late.
"""

import contextlib
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from replay_proxy.errors import ReplayProxyError
from replay_proxy.pytest_plugin.options import Options
from replay_proxy.pytest_plugin.tally import Report

if TYPE_CHECKING:
    from replay_proxy.serving.child.server import Server

#: So many lines of a proxy's log are shown.
LOG_LINES = 10


#: The proxy names its variables; here they are options.
_HERE = "\nUnder pytest MODE is --replay-mode, ON_MISS --replay-on-miss, STORE --replay-store."


class Proxies:
    """The proxies of this process, each started when it is first needed.

    There is one; in the mode ``once``, one that replays, and one for the cassettes that were not
    ``recorded`` when the session began. A test sees this as ``replay_proxy_server``.
    """

    def __init__(self, options: Options, recorded: Collection[str]) -> None:
        self.options = options
        self.recorded = frozenset(recorded)
        self._children: dict[str, Server] = {}
        self._refused: dict[str, str] = {}

    def mode(self, cassette: str) -> str:
        """``record``, ``replay`` or ``dummy``."""
        if self.options.mode != "once":
            return self.options.mode
        return "replay" if cassette in self.recorded else "record"

    def child(self, cassette: str) -> "Server":
        """The proxy that serves a cassette. Raises ``ReplayProxyError`` if it does not start."""
        from replay_proxy.serving.child.server import Server

        mode = self.mode(cassette)
        if mode in self._refused:
            raise ReplayProxyError(self._refused[mode])
        if mode not in self._children:
            self._children[mode] = Server(self.options.settings_of(mode))
            try:
                self._children[mode].start()
            except ReplayProxyError as error:
                self._refused[mode] = error.message + _HERE
                raise ReplayProxyError(self._refused[mode]) from None
        return self._children[mode]

    def base_url(self, cassette: str) -> str:
        """What a client takes as its ``base_url`` to use a cassette."""
        return self.child(cassette).base_url(cassette)

    def environment(self, cassette: str) -> dict[str, str]:
        """The variables that send OpenAI clients to a cassette."""
        from replay_proxy.serving.child.server import client_environment

        return client_environment(self.base_url(cassette), asks_api=self._asks_api(cassette))

    def _asks_api(self, cassette: str) -> bool:
        """Whether a client's own key may reach the real API."""
        given = self.options.settings_of(self.mode(cassette))
        if "record" not in (given["MODE"], given["ON_MISS"]):
            return False
        from replay_proxy.settings import Settings

        named: dict[str, Any] = {name.lower(): value for name, value in given.items() if value}
        return Settings(**named).upstream_api_key is None

    def report(self, cassette: str) -> Report:
        """What happened on a cassette since it was last rewound. Raises ``ReplayProxyError``."""
        age_s = self.options.max_age_s
        asked = {"cassette": cassette, "max_age_s": None if age_s is None else str(age_s)}
        found = _ask(self.child(cassette), "GET", "report", asked)["cassettes"]
        return self._applicable(cassette, found[cassette])

    def rewind(self, cassette: str) -> None:
        """Start a cassette and its report over. Raises ``ReplayProxyError``."""
        _ask(self.child(cassette), "POST", "rewind", {"cassette": cassette})

    def leftovers(self) -> dict[str, Report]:
        """What happened on any cassette since it was last rewound. Raises ``ReplayProxyError``."""
        found: dict[str, Report] = {}
        for mode, child in self._children.items():
            if mode not in self._refused:
                found |= _ask(child, "GET", "report", {})["cassettes"]
        return {cassette: self._applicable(cassette, report) for cassette, report in found.items()}

    def stop(self) -> None:
        """Stop them all; cassettes are complete when this returns."""
        while self._children:
            self._children.popitem()[1].stop()

    def _applicable(self, cassette: str, report: Report) -> Report:
        """The report; who records is not expected to use what was recorded before."""
        if self.mode(cassette) == "replay":
            return report
        return report | {"unused": [], "unused_total": 0}


def _ask(child: "Server", method: str, path: str, query: dict[str, str | None]) -> Any:
    import json
    from http.client import HTTPException
    from urllib.error import HTTPError

    try:
        return child.call(method, path, **query)
    except (OSError, HTTPException, ValueError) as error:
        if isinstance(error, HTTPError):
            with contextlib.suppress(OSError, HTTPException, ValueError, LookupError, TypeError):
                raise ReplayProxyError(json.load(error)["error"]["message"]) from None
        log = "\n".join(child.log.splitlines()[-LOG_LINES:])
        raise ReplayProxyError(f"The proxy does not answer: {error}. It wrote:\n{log}") from None
