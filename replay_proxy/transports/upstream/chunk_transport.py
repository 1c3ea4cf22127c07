"""An httpx transport over aiohttp's connections that keeps HTTP chunk boundaries.

It exists because httpx's own transport yields what one socket read returned, so that an HTTP chunk
across two reads becomes two, and because it carries fewer streams per second (decision 0002).
Not in here: recording.
"""

import io
import re
import ssl
from collections.abc import Callable
from functools import lru_cache
from types import SimpleNamespace

import aiohttp
import httpx
from aiohttp.connector import Connection
from multidict import CIMultiDict
from yarl import URL

from replay_proxy.transports.upstream.answer_reader import FIELD_BYTES, FIELDS, AnswerReader
from replay_proxy.transports.upstream.chunk_stream import ChunkStream
from replay_proxy.transports.upstream.errors import as_httpx_errors

#: A method and a target in origin-form (RFC 9112, section 3.2.1): one request, to this server.
_REQUEST_LINE = re.compile(r'(?!CONNECT )[A-Z]{1,20} /(?!/)[!"$-~]*')
#: Minimum size of a request body that is written in pieces.
LARGE_BYTES = 1 << 20
#: Methods that may be sent twice (RFC 9110, section 9.2.2).
IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})


class _Connector(aiohttp.TCPConnector):
    """Never returns a connection on which unrequested bytes have arrived."""

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[aiohttp.tracing.Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - the name is aiohttp's
    ) -> Connection:
        """A free connection, new or from the pool."""
        while True:
            connection = await super().connect(req, traces, timeout)
            protocol = connection.protocol
            is_used = protocol is not None and protocol.read_timeout is not None
            if protocol is None or not is_used or not protocol.should_close:
                return connection
            connection.close()


class ChunkTransport(httpx.AsyncBaseTransport):
    """Sends requests as they are, and streams answers chunk by chunk, undecoded.

    All go to ``origin`` (``https://host:port``): a request whose URL, ``host`` or target names
    another one is refused with ``httpx.LocalProtocolError``.

    ``request.extensions``: ``on_sent`` is called when the request's head has left, ``target`` is
    the path and query to send instead of the URL's. No redirect is followed, no cookie kept, no
    header added except ``host`` and ``content-length``.
    """

    def __init__(
        self, *, origin: str, timeout_s: float, proxy: str | None, ssl_context: ssl.SSLContext
    ) -> None:
        self._origin = URL(origin)
        self._scheme, _, self._host = origin.encode("ascii").partition(b"://")
        self._timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=timeout_s, sock_read=timeout_s
        )
        self._proxy = proxy
        self._ssl_context = ssl_context
        self._session: aiohttp.ClientSession | None = None
        #: The request by which the connector looks up the origin's connections.
        self._origin_request: aiohttp.ClientRequest | None = None

    def _open(self) -> aiohttp.ClientSession:
        """Make the session inside the running loop, at the first request."""
        trace = aiohttp.TraceConfig()
        trace.on_request_headers_sent.append(_report_sent)
        return aiohttp.ClientSession(
            connector=_Connector(limit=0, ssl=self._ssl_context),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=self._timeout,
            auto_decompress=False,
            skip_auto_headers=("user-agent", "accept", "accept-encoding", "content-type"),
            max_line_size=FIELD_BYTES,
            max_field_size=FIELD_BYTES,
            max_headers=FIELDS,
            trace_configs=[trace],
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request. Returns as soon as the answer's head has arrived."""
        self._refuse_elsewhere(request)
        if self._session is None:
            self._session = self._open()
        with as_httpx_errors(request):
            if self._proxy or len(request.content) >= LARGE_BYTES or request.method == "HEAD":
                return await self._send_in_pieces(self._session, request)
            return await self._send_at_once(self._session, request)

    def _refuse_elsewhere(self, request: httpx.Request) -> None:
        """Raise for a request that would reach, or name, another server than the origin."""
        hosts = [value for name, value in request.headers.raw if name.lower() == b"host"]
        if (request.url.raw_scheme, request.url.netloc) != (self._scheme, self._host):
            raise httpx.LocalProtocolError("its URL has another origin", request=request)
        if hosts != [self._host]:
            raise httpx.LocalProtocolError("its host is another one", request=request)
        if not _is_one_request(request.method, _target(request)):
            raise httpx.LocalProtocolError("its request line is not valid", request=request)

    async def _send_in_pieces(
        self, session: aiohttp.ClientSession, request: httpx.Request
    ) -> httpx.Response:
        """Let aiohttp write and read: it can wait for the socket, and it can use a proxy."""
        answer = await session.request(
            request.method,
            self._url(_target(request)),
            headers=CIMultiDict(
                (name.decode("latin-1"), _text(value)) for name, value in request.headers.raw
            ),
            data=_body(request.content),
            allow_redirects=False,
            proxy=self._proxy,
            trace_request_ctx=request.extensions.get("on_sent"),
        )
        stream = ChunkStream(answer, request)
        return httpx.Response(answer.status, headers=answer.raw_headers, stream=stream)

    async def _send_at_once(
        self, session: aiohttp.ClientSession, request: httpx.Request
    ) -> httpx.Response:
        """Write the request with one call to one of the session's connections.

        For aiohttp, building the same bytes takes longer than everything else. An idempotent
        request is repeated once if its connection was closed meanwhile.
        """
        serialised = _serialised(request)
        may_repeat = request.method in IDEMPOTENT
        while True:
            connection = await self._connect(session)
            try:
                return await self._exchange(connection, serialised, request)
            except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError):
                connection.close()
                if not may_repeat:
                    raise
                may_repeat = False
            except BaseException:
                connection.close()
                raise

    def _url(self, target: str) -> URL:
        """The URL of a target, for aiohttp. Its parts are joined, never parsed as one text."""
        path, _, query = target.partition("?")
        url = URL.build(
            scheme=self._origin.scheme,
            authority=self._origin.raw_authority,
            path=path,
            query_string=query,
            encoded=True,
        )
        if url.origin() != self._origin:
            raise ValueError("another origin")
        return url

    async def _connect(self, session: aiohttp.ClientSession) -> Connection:
        assert session.connector is not None
        if self._origin_request is None:
            self._origin_request = aiohttp.ClientRequest("GET", self._origin)
        try:
            return await session.connector.connect(self._origin_request, [], self._timeout)
        except TimeoutError as error:
            raise aiohttp.ConnectionTimeoutError from error

    async def _exchange(
        self, connection: Connection, serialised: bytes, request: httpx.Request
    ) -> httpx.Response:
        protocol, transport = connection.protocol, connection.transport
        if protocol is None or transport is None:
            raise aiohttp.ServerDisconnectedError
        answer = AnswerReader(connection, protocol, transport, request, self._timeout.sock_read)
        transport.write(serialised)
        if on_sent := request.extensions.get("on_sent"):
            on_sent()
        protocol.start_timeout()
        status = await answer.head()
        return httpx.Response(status, headers=answer.headers, stream=answer)

    async def aclose(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()


@lru_cache(maxsize=64)  # Most requests are for one of a few targets.
def _is_one_request(method: str, target: str) -> bool:
    return _REQUEST_LINE.fullmatch(f"{method} {target}") is not None


def _target(request: httpx.Request) -> str:
    # httpx normalises a URL (dot segments, quotes); the target is sent as it came.
    target: str | None = request.extensions.get("target")
    return target or request.url.raw_path.decode("ascii")


def _serialised(request: httpx.Request) -> bytes:
    """The request's bytes on the wire. Raises ``ValueError`` if they would be two requests."""
    lines = [f"{request.method} {_target(request)} HTTP/1.1".encode("latin-1")]
    lines += [name + b": " + value for name, value in request.headers.raw]
    head = b"\r\n".join(lines)
    if head.count(b"\r") >= len(lines) or head.count(b"\n") >= len(lines) or b"\0" in head:
        raise ValueError("a line break inside a header")
    return head + b"\r\n\r\n" + request.content


async def _report_sent(
    session: aiohttp.ClientSession,
    context: SimpleNamespace,
    params: aiohttp.TraceRequestHeadersSentParams,
) -> None:
    on_sent: Callable[[], None] | None = context.trace_request_ctx
    if on_sent:
        on_sent()


def _body(content: bytes) -> bytes | io.BytesIO | None:
    """The body for aiohttp, which sends a large one in turns with other requests."""
    return io.BytesIO(content) if len(content) >= LARGE_BYTES else content or None


def _text(value: bytes) -> str:
    """A header's value as a text for aiohttp, which writes UTF-8 and so sends the same bytes.

    It cannot send bytes that are not UTF-8; these are sent as their characters in Latin-1.
    """
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")
