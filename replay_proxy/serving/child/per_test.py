"""``PerTest``: the proxy's application under pytest, where the cassette changes with the test.

A client that is made when a module is imported, or in a session fixture, has one address for all
tests. Not in here: which test runs, which the plugin says over the pipe.
"""

from collections import Counter
from urllib.parse import parse_qs

import orjson

from replay_proxy.errors import RequestError
from replay_proxy.serving.addresses import CASSETTES, raw_path, split_cassette
from replay_proxy.serving.app import ReplayProxy
from replay_proxy.serving.connection import Receive, Scope, Send
from replay_proxy.serving.data_plane import send_whole
from replay_proxy.serving.errors import REFUSED, error_response
from replay_proxy.target import DATA_PATHS
from replay_proxy.wire import Request, Response

#: The target of the call that says which test runs.
TEST = "/test"


class NoTest(RequestError):
    """No test that has a cassette runs, and the request names none."""

    status = 404
    code = "no_test"

    def __init__(self, request: Request, why: str, remedy: str) -> None:
        thing = f"{request.method} {request.path}"
        super().__init__(f"has no cassette: {why}", thing=thing, remedy=remedy)


class PerTest:
    """Gives a request that names no cassette that of the running test.

    So does a request for the cassette of a single test that has ended, while another test runs: a
    client of the former was kept, or something that it started is still running. These are counted.
    """

    def __init__(self, app: ReplayProxy) -> None:
        self._app = app
        self._cassette: str | None = None
        self._why, self._remedy = "no test runs yet", ""
        self._ended: set[str] = set()
        self._late: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] in ("http", "websocket"):
            name, path = split_cassette(raw_path(scope))
            if name is None:
                if path.startswith(DATA_PATHS) and not _names_cassette(scope):
                    if self._cassette is not None:
                        _move(scope, self._cassette, path)
                    elif scope["type"] == "http":
                        await self._refuse(scope, path, send)
                        return
            elif name in self._ended and self._cassette is not None:
                self._late[name] += 1
                _move(scope, self._cassette, path)
        await self._app(scope, receive, send)

    async def control(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a call of the plugin."""
        if scope["path"] != TEST:
            await self._app(scope, receive, send)
            return
        query = parse_qs(scope["query_string"].decode(), keep_blank_values=True)
        arguments = {key: value for key, (value, *_) in query.items()}
        self._cassette = arguments.get("cassette")
        self._why, self._remedy = arguments.get("why", ""), arguments.get("remedy", "")
        if ended := arguments.get("ended"):
            self._ended.add(ended)
        if self._cassette is not None:
            self._ended.discard(self._cassette)
        late, self._late = self._late, Counter()
        await send_whole(Response(200, (), orjson.dumps(late)), send)

    async def _refuse(self, scope: Scope, path: str, send: Send) -> None:
        query = scope["query_string"].decode("latin-1")
        request = Request(scope["method"], path, query, tuple(scope["headers"]), b"")
        error = NoTest(request, self._why, self._remedy)
        assembly = self._app.assembly
        assembly.journal.refuse(assembly.default, request, error)
        answer = error_response(error)
        await send_whole(answer._replace(headers=answer.headers + REFUSED), send)


def _names_cassette(scope: Scope) -> bool:
    return any(name == b"x-replay-cassette" for name, _ in scope["headers"])


def _move(scope: Scope, cassette: str, path: str) -> None:
    """Let a request name this cassette."""
    scope["path"] = f"{CASSETTES}{cassette}{path}"
    scope["raw_path"] = scope["path"].encode("latin-1")
