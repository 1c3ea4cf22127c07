"""The real API, as a ``Transport``: the only folder that imports an HTTP client.

It passes a request on as it came (without the hop-by-hop headers), asks for identity encoding,
follows no redirect, turns addresses at the API into paths of the proxy, and the client library's
exceptions into ours.

Not in here: recording.
"""

import re
import urllib.request
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import contextmanager
from functools import lru_cache, partial
from typing import Any
from urllib.parse import quote

import httpx

from replay_proxy.errors import (
    ConfigurationError,
    InvalidTarget,
    UpstreamCut,
    UpstreamTooSlow,
    UpstreamUnreachable,
)
from replay_proxy.settings import Settings
from replay_proxy.settings.values import http_url
from replay_proxy.target import as_stored, flaw
from replay_proxy.timeline import Clock
from replay_proxy.transports.upstream.chunk_transport import ChunkTransport
from replay_proxy.wire import Request, Response, end_to_end

#: Request headers that belong to the client's connection, or are meant for the proxy alone.
NOT_PASSED_ON = frozenset({b"host", b"content-length", b"accept-encoding", b"expect"})
#: Methods that a server may refuse without a length (RFC 9110, section 8.6).
_METHODS_WITH_A_BODY = frozenset({"POST", "PUT", "PATCH"})

#: Headers in which APIs take a key besides ``authorization``: Azure's, Anthropic's, Google's.
KEY_HEADERS = (b"api-key", b"x-api-key", b"x-goog-api-key")
#: The query fields in which Google's and Azure's APIs take a key.
_KEY_FIELD = re.compile(r"((?:^|&)(?:key|api-key)=)[^&]*")

#: Statuses without a body. A Content-Length on them describes a body that is never sent; uvicorn
#: would wait for it.
BODILESS = frozenset({204, 304})


class Upstream:
    """Passes requests to one OpenAI-compatible API, fixed when the process starts.

    ``/v1/…`` continues ``base_url`` (``https://openrouter.ai/api/v1`` + ``/models``); every other
    path follows its host verbatim (Azure's ``/openai/…``). Scheme, host and port are those of
    ``base_url``, whatever the request says. ``api_key`` replaces the client's key, in the header or
    the query field in which the client sent it; without an ``api_key`` the client's own credentials
    are passed on.
    Raises ``ValueError`` for a ``base_url`` that is not one; ``InvalidTarget``,
    ``UpstreamUnreachable``, ``UpstreamTooSlow`` and, from the body, ``UpstreamCut``.
    """

    def __init__(
        self,
        base_url: str,
        *,
        clock: Clock,
        api_key: str | None = None,
        timeout_s: float = 600.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._base_url = http_url(base_url)
        url = httpx.URL(self._base_url)
        self._host = url.netloc
        self._base_path = url.raw_path.decode("ascii").rstrip("/")
        self._origin = f"{url.scheme}://{url.netloc.decode('ascii')}"
        self._api_key = api_key.encode() if api_key else None
        self._timeout_s = timeout_s
        self._clock = clock
        #: Cached: most requests are for one of a few URLs, and making one takes httpx long.
        self._url = lru_cache(maxsize=64)(partial(_url, url))
        # No httpx client: a proxy needs no redirects, cookies or defaults.
        self._transport = transport or ChunkTransport(
            timeout_s=timeout_s,
            origin=self._origin,
            proxy=_environment_proxy(url),
            ssl_context=httpx.create_ssl_context(),
        )

    @classmethod
    def of(cls, settings: Settings, *, clock: Clock) -> "Upstream":
        """The upstream of the settings, with the key in them."""
        key = settings.upstream_api_key
        return cls(
            settings.upstream_base_url,
            api_key=key.get_secret_value() if key else None,
            timeout_s=settings.upstream_timeout_s,
            clock=clock,
        )

    async def handle(self, request: Request) -> Response:
        """Send the request. Returns when the answer's head has arrived; its body still comes."""
        target = self._target(request)
        sent_s = self._clock.now_s()

        def on_sent() -> None:
            nonlocal sent_s
            sent_s = self._clock.now_s()

        with self.as_own_errors(begun=False):
            outgoing = httpx.Request(
                request.method,
                self._url(target),
                headers=self._headers(request),
                stream=httpx.ByteStream(request.body),  # httpx is slow with ``content``.
                extensions={"on_sent": on_sent, "target": target},
            )
            outgoing.read()
            answer = await self._transport.handle_async_request(outgoing)
        if not 200 <= answer.status_code < 600:
            await answer.aclose()
            raise UpstreamUnreachable(
                f"The upstream {self._origin} answered with status {answer.status_code}, "
                "which cannot be passed on to a client."
            )
        # An upstream that is a replay-proxy itself names its own source.
        headers = tuple(
            pair for pair in end_to_end(answer.headers.raw) if not pair[0].startswith(b"x-replay-")
        )
        if answer.status_code in BODILESS:
            headers = tuple(pair for pair in headers if pair[0] != b"content-length")
        headers = as_stored(headers, self._base_url)
        return Response(answer.status_code, headers, _Body(self, answer), sent_s)

    async def aclose(self, drain_s: float | None = None) -> None:
        """Close every connection to the API."""
        await self._transport.aclose()

    def rewind(self) -> None:
        """Nothing is counted."""

    def _target(self, request: Request) -> str:
        """The path and query as they were sent, not a character normalised."""
        path = request.path
        if cause := flaw(request.method, path, request.query):
            raise InvalidTarget(cause)
        if path.startswith("/v1/"):
            path = self._base_path + path.removeprefix("/v1")
            if path.startswith("//"):  # ``/v1//…`` after a base URL without a path.
                raise InvalidTarget("its path begins with '//' at the upstream")
        query = request.query
        if self._api_key and query:
            query = _KEY_FIELD.sub(rf"\1{quote(self._api_key, safe='')}", query)
        return f"{path}?{query}" if query else path

    def _headers(self, request: Request) -> list[tuple[bytes, bytes]]:
        headers = [
            (name, value)
            for name, value in end_to_end(request.headers)
            if name not in NOT_PASSED_ON and not name.startswith(b"x-replay-")
        ]
        if self._api_key:
            names = {name for name, _ in headers}
            headers = [pair for pair in headers if pair[0] not in (b"authorization", *KEY_HEADERS)]
            if own := next((name for name in KEY_HEADERS if name in names), None):
                headers.append((own, self._api_key))
            elif b"authorization" in names or not _KEY_FIELD.search(request.query):
                headers.append((b"authorization", b"Bearer " + self._api_key))
        headers.append((b"accept-encoding", b"identity"))
        if request.body or request.method in _METHODS_WITH_A_BODY:
            headers.append((b"Content-Length", b"%d" % len(request.body)))
        return [(b"Host", self._host), *headers]

    @contextmanager
    def as_own_errors(self, *, begun: bool) -> Any:
        """Raise our errors for httpx's; ``begun`` is whether the answer's head had arrived."""
        try:
            yield
        except httpx.TimeoutException as error:
            cause = f"nothing came from {self._origin} for {self._timeout_s:g} s"
            if begun:
                raise UpstreamCut(f"The answer broke off: {cause}.") from error
            raise UpstreamTooSlow(
                f"The upstream is too slow: {cause} (UPSTREAM_TIMEOUT_S)."
            ) from error
        except (httpx.TransportError, httpx.InvalidURL) as error:
            cause = str(error) or type(error).__name__
            if begun:
                raise UpstreamCut(f"{self._origin} broke off its answer: {cause}.") from error
            raise UpstreamUnreachable(
                f"No answer from the upstream {self._origin}: {cause}.",
                remedy="Check UPSTREAM_BASE_URL and the network.",
            ) from error


class _Body:
    """The answer's body, chunk by chunk; closing it, read or not, closes its connection."""

    def __init__(self, upstream: Upstream, answer: httpx.Response) -> None:
        self._upstream = upstream
        self._answer = answer
        self._chunks = self._read()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._chunks

    async def aclose(self) -> None:
        """Stop reading."""
        await self._chunks.aclose()
        await self._answer.aclose()

    async def _read(self) -> AsyncGenerator[bytes]:
        with self._upstream.as_own_errors(begun=True):
            async for chunk in self._answer.stream:  # type: ignore[union-attr]
                yield chunk


def _url(base: httpx.URL, target: str) -> httpx.URL:
    """The URL of a target at the base's origin. Its parts are joined, never parsed as one text."""
    url = base.copy_with(raw_path=target.encode("ascii"))
    if (url.scheme, url.netloc) != (base.scheme, base.netloc):
        raise httpx.InvalidURL("it leads to another host")
    return url


def _environment_proxy(url: httpx.URL) -> str | None:
    """The HTTP proxy that the environment names for the upstream (HTTPS_PROXY, NO_PROXY, …)."""
    if urllib.request.proxy_bypass(url.host):
        return None
    proxy = urllib.request.getproxies().get(url.scheme)
    if proxy and not proxy.startswith(("http://", "https://")):
        name = f"{url.scheme.upper()}_PROXY"
        raise ConfigurationError(
            f"{name} is not an http:// proxy, the only kind supported. Unset it, or set NO_PROXY."
        )
    return proxy
