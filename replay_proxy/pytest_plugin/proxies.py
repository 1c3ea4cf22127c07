"""``Proxies``: the proxies of a session, and what the plugin asks of them.

Not in here: hooks. What only a test with the fixture needs is imported late.
"""

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from replay_proxy.errors import ReplayProxyError
from replay_proxy.pytest_plugin.front import Front
from replay_proxy.pytest_plugin.options import Options
from replay_proxy.pytest_plugin.reports import Report

if TYPE_CHECKING:
    from replay_proxy.serving.child.server import Server
    from replay_proxy.settings.loading import GuestSettings

#: Maximum number of lines of a proxy's log that an error shows.
LOG_LINES = 10
#: The proxy's errors name its variables; under pytest they are options.
_HERE = "\nUnder pytest MODE is --replay-mode, ON_MISS --replay-on-miss, STORE --replay-store."

_ELSEWHERE = (
    "under --replay-mode=once cassette '{}' is recorded, by another proxy than the one whose "
    "address this client has"
)
_NOT_ELSEWHERE = "Record it with --replay-mode=record, or make the client within the test."


class Proxies:
    """The proxies of this process, each started when it is first needed.

    There is one. In the mode ``once`` there are two: one that replays, and one that records the
    cassettes that were not ``recorded`` when the session began. Tests get this as
    ``replay_proxy_server``.
    """

    def __init__(
        self, options: Options, recorded: Collection[str], front: Front | None = None
    ) -> None:
        self.options = options
        self.front = front or Front()
        self.recorded = frozenset(recorded)
        #: Sentences about what was ignored in the environment.
        self.notes: list[str] = []
        self._settings: dict[str, GuestSettings] = {}
        self._children: dict[str, Server] = {}
        self._refused: dict[str, str] = {}

    @property
    def front_mode(self) -> str:
        """The mode of the proxy at the front's address."""
        if self.options.mode != "once":
            return self.options.mode
        return "replay" if self.recorded else "record"

    def mode(self, cassette: str) -> str:
        """``record``, ``replay`` or ``dummy``."""
        if self.options.mode != "once":
            return self.options.mode
        return "replay" if cassette in self.recorded else "record"

    def child(self, cassette: str) -> "Server":
        """The proxy that serves a cassette. Raises ``ReplayProxyError`` if it does not start."""
        return self._child(self.mode(cassette))

    def _child(self, mode: str) -> "Server":
        from replay_proxy.serving.child.server import Server, bound

        if mode in self._refused:
            raise ReplayProxyError(self._refused[mode])
        if mode not in self._children:
            try:
                self._children[mode] = Server(self._settings_of(mode).texts)
                own = mode == self.front_mode
                self._children[mode].start(self.front.listener if own else bound())
            except ReplayProxyError as error:
                self._refused[mode] = error.message + _HERE
                raise ReplayProxyError(self._refused[mode]) from None
        return self._children[mode]

    def base_url(self, cassette: str) -> str:
        """The ``base_url`` with which a client uses a cassette."""
        return self.child(cassette).base_url(cassette)

    def environment(self, cassette: str) -> dict[str, str]:
        """The variables that send OpenAI clients to a cassette."""
        from replay_proxy.serving.child.server import client_environment

        asks_api = self._asks_api(self.mode(cassette))
        return client_environment(self.base_url(cassette), asks_api=asks_api)

    def announce_front(self) -> None:
        """Set the variables that send clients to the front. Raises ``ConfigurationError``."""
        self.front.announce(asks_api=self._asks_api(self.front_mode))

    def start_front(self) -> None:
        """Start the proxy at the front's address. Raises ``ReplayProxyError``."""
        self._child(self.front_mode)

    def begin(self, cassette: str) -> None:
        """Give requests that name no cassette this one. Raises ``ReplayProxyError``."""
        child = self.child(cassette)
        _run(child, cassette=cassette)
        front = self._children.get(self.front_mode, child)
        if front is not child:
            _run(front, why=_ELSEWHERE.format(cassette), remedy=_NOT_ELSEWHERE)

    def end(self, why: str, remedy: str, ended: str = "") -> dict[str, int]:
        """Refuse requests that name no cassette.

        ``ended`` is the cassette of a single test that has ended; the result is that of
        ``Server.run``. Raises ``ReplayProxyError``.
        """
        late: dict[str, int] = {}
        for mode, child in self._children.items():
            if mode not in self._refused:
                late |= _run(child, why=why, remedy=remedy, ended=ended)
        return late

    def _asks_api(self, mode: str) -> bool:
        """Whether a client's own key may reach the real API."""
        settings = self._settings_of(mode).settings
        return settings.may_reach_upstream and settings.upstream_api_key is None

    def _settings_of(self, mode: str) -> "GuestSettings":
        """The settings of the proxy in a mode. Raises ``ConfigurationError``."""
        from replay_proxy.settings.loading import load_as_guest

        if mode not in self._settings:
            decided, configured = self.options.decided(mode), self.options.settings
            self._settings[mode] = load_as_guest(options=decided, configured=configured)
            self.notes += [note for note in self._settings[mode].notes if note not in self.notes]
        return self._settings[mode]

    def report(self, cassette: str, *, drain: bool = False) -> Report:
        """The report on a cassette since its last rewind. Raises ``ReplayProxyError``.

        ``drain`` waits for recordings in progress, which take up to ``DRAIN_S``.
        """
        age_s = self.options.max_age_s
        query = {
            "cassette": cassette,
            "max_age_s": None if age_s is None else str(age_s),
            "drain": "true" if drain else None,
        }
        reports = _ask(self.child(cassette), "GET", "report", query)["cassettes"]
        return self._applicable(cassette, reports[cassette])

    def rewind(self, cassette: str) -> None:
        """Start a cassette and its report over. Raises ``ReplayProxyError``."""
        _ask(self.child(cassette), "POST", "rewind", {"cassette": cassette})

    def leftovers(self) -> dict[str, Report]:
        """The report on each cassette since its last rewind. Raises ``ReplayProxyError``."""
        reports: dict[str, Report] = {}
        for mode, child in self._children.items():
            if mode not in self._refused:
                reports |= _ask(child, "GET", "report", {"drain": "true"})["cassettes"]
        return {name: self._applicable(name, report) for name, report in reports.items()}

    def stop(self) -> None:
        """Stop all proxies. Cassettes are complete when this returns."""
        while self._children:
            self._children.popitem()[1].stop()

    def _applicable(self, cassette: str, report: Report) -> Report:
        """The report, without unused recordings if this cassette is being recorded."""
        if self.mode(cassette) == "replay":
            return report
        return report | {"unused": [], "unused_total": 0}


def _ask(child: "Server", method: str, path: str, query: dict[str, str | None]) -> Any:
    """The answer of a child's control plane. Raises ``ReplayProxyError``."""
    try:
        return child.call(method, path, **query)
    except OSError as error:
        raise _gone(child, error) from None


def _run(child: "Server", **test: str) -> dict[str, int]:
    try:
        return child.run(**test)
    except OSError as error:
        raise _gone(child, error) from None


def _gone(child: "Server", error: OSError) -> ReplayProxyError:
    log = "\n".join(child.log.splitlines()[-LOG_LINES:])
    return ReplayProxyError(f"The proxy does not answer: {error}. It wrote:\n{log}")
