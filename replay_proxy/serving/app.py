"""The FastAPI application: which paths are data, what else it serves, its start and stop.

A request under ``/v1/`` or ``/openai/`` goes to the data plane before FastAPI sees it.
"""

import gc
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi import Request as FastAPIRequest
from fastapi import Response as FastAPIResponse
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from replay_proxy import __version__
from replay_proxy.assembly import Assembly
from replay_proxy.errors import (
    InvalidRequest,
    NotAllowed,
    ReplayProxyError,
    RequestError,
)
from replay_proxy.redaction.display import redacted
from replay_proxy.serving.addresses import cassette_of, raw_path, split_cassette
from replay_proxy.serving.admission.browsers import Browsers
from replay_proxy.serving.admission.hosts import Hosts
from replay_proxy.serving.connection import Receive, Scope, Send
from replay_proxy.serving.data_plane import DataPlane, send_whole
from replay_proxy.serving.errors import REFUSED, error_response
from replay_proxy.serving.protocol import Clients, install
from replay_proxy.serving.report import warn_of_fewer_answers
from replay_proxy.serving.routes.control import control_plane
from replay_proxy.serving.routes.documented_models import document
from replay_proxy.serving.routes.probes import probes
from replay_proxy.serving.upgrades import refuse_websocket, websocket_refusal
from replay_proxy.settings import Mode, Settings, cassette_name
from replay_proxy.target import DATA_PATHS
from replay_proxy.wire import Request

logger = logging.getLogger("replay_proxy")

_PLAIN = tuple(path.encode() for path in DATA_PATHS)
_NO_LIFESPAN = (
    "The server has not begun the lifespan of the proxy (--lifespan off): nothing bounds clients "
    "that stall, the size of heads or the time to stop, trailers count as headers, and cassettes "
    "are not settled at the end. Start it without that option, or with `replay-proxy serve`."
)


#: Paths that a browser or a person requests: an unknown one is not a lost call of an application.
_NO_CALLS = ("/_replay/", "/.well-known/", "/favicon", "/apple-touch-icon", "/robots.txt")


class UnknownPath(RequestError):
    """Nothing is served under this path."""

    status = 404
    code = "unknown_url"

    def __init__(self, method: str, path: str) -> None:
        served = ", ".join(path + "…" for path in DATA_PATHS)
        super().__init__(
            f"is refused: {method} {redacted(path)} is none of {served}, /cassettes/{{name}}/v1/…, "
            "/_replay/api/…, /healthz, /readyz and /docs",
            thing="The request",
            remedy="Let the client's base_url end in /v1.",
        )


class ReplayProxy(FastAPI):
    """The proxy as an ASGI application. Raises ``ReplayProxyError`` if it cannot start."""

    def __init__(self, settings: Settings) -> None:
        self.assembly = Assembly(settings)
        self.data_plane = DataPlane(
            self.assembly.transport,
            self.assembly.arrivals,
            self.assembly.recognise,
            on_unread=self._miss,
            upstream_url=settings.upstream_base_url,
        )
        own_pages = settings.mode is Mode.DUMMY and not settings.origins
        self._browsers = Browsers(Hosts(settings.hosts), settings.origins, own_pages=own_pages)
        self._begun = False
        self._store = settings.store
        self.clients = Clients(timeout_s=settings.stall_s, grace_s=settings.drain_s)
        super().__init__(
            title="replay-proxy",
            version=__version__,
            description="A record-and-replay OpenAI proxy with a dummy fallback.",
            lifespan=self._lifespan,
            exception_handlers=dict.fromkeys(
                (HTTPException, RequestValidationError, ReplayProxyError), self._in_openai_shape
            ),
        )
        self.include_router(probes(self.assembly, settings.mode))
        self.include_router(control_plane(self.assembly))
        document(self)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer data paths at once, and leave the rest to FastAPI.

        Before either, refuse a request that a browser sends for a web page of another site.
        """
        if scope["type"] == "lifespan":
            install(receive, self.clients)
            self._begun = True
        elif not self._begun:
            self._begun = True
            logger.warning(_NO_LIFESPAN)
        if scope["type"] == "websocket":
            error = websocket_refusal(_head(scope)[1])
            self._miss(scope, error)
            await refuse_websocket(error, scope, receive, send)
            return
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        # Most paths are data and name no cassette: a quick look is enough for them.
        raw = scope.get("raw_path") or b""
        data = raw.startswith(_PLAIN) or split_cassette(raw_path(scope))[1].startswith(DATA_PATHS)
        try:
            visit = self._browsers.check(scope)
        except NotAllowed as refusal:
            if data:  # Under the default name: a page must not choose what is in the report.
                journal = self.assembly.journal
                journal.refuse(self.assembly.default, _head(scope)[1], refusal)
            answer = error_response(refusal)
            await send_whole(answer._replace(headers=answer.headers + REFUSED), send)
            return
        if visit is not None:
            if visit.preflight is not None:
                await send_whole(visit.preflight, send)
                return
            send = visit.send(send, data=data)
        if data:
            await self.data_plane(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    def _miss(self, scope: Scope, error: ReplayProxyError) -> None:
        """Note the refusal of a request that reaches no transport."""
        cassette, request = _head(scope)
        try:
            name = cassette_name(cassette_of(cassette, request) or self.assembly.default)
        except ValueError:
            name = self.assembly.default
        self.assembly.journal.refuse(name, request, error)

    @asynccontextmanager
    async def _lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        # A full collection would walk through everything that was imported, and delay every stream
        # by a tenth of a second; these objects stay alive anyway.
        gc.freeze()
        try:
            yield
        finally:
            gc.unfreeze()
            await self.assembly.aclose(drain_s=self.clients.left_s())
            warn_of_fewer_answers(self.assembly.journal, self._store)

    async def _in_openai_shape(self, request: FastAPIRequest, error: Exception) -> FastAPIResponse:
        """A refusal of FastAPI or of the control plane, in OpenAI's error shape."""
        refusal: ReplayProxyError
        match error:
            case ReplayProxyError():
                refusal = error
            case HTTPException(status_code=404):
                refusal = UnknownPath(request.method, raw_path(request.scope))
                if not request.url.path.startswith(_NO_CALLS) and request.url.path != "/":
                    logger.warning("%s", refusal)
                    self._miss(request.scope, refusal)
            case _:
                refusal = InvalidRequest(f"{request.method} {request.url.path}: {error}")
        answer = error_response(refusal)
        assert isinstance(answer.body, bytes)
        headers = {name.decode(): value.decode() for name, value in answer.headers}
        status = error.status_code if isinstance(error, HTTPException) else answer.status
        return FastAPIResponse(answer.body, status, headers)


def _head(scope: Scope) -> tuple[str | None, Request]:
    """The cassette in a request's path, and the request without its body."""
    cassette, path = split_cassette(raw_path(scope))
    query = scope["query_string"].decode("latin-1")
    return cassette, Request(scope.get("method", "GET"), path, query, tuple(scope["headers"]), b"")
