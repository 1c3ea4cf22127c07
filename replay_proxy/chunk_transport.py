"""An httpx transport over aiohttp's connections that keeps HTTP chunk boundaries.

It exists because httpx's own transport reports what one socket read held, so that an HTTP chunk
which straddles two reads is seen as two; aiohttp tells where a chunk ends
(`StreamReader.readchunk`), and carries several times as many streams a second.
Decision 0002 has the measurements. Nothing in here knows of recording.
"""

import asyncio
import io
import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import aiohttp
import httpx
from multidict import CIMultiDict
from yarl import URL

#: How long the rest of an HTTP chunk is waited for before its beginning is passed on alone.
REJOIN_S = 0.02


#: A request body from this size on is not written at once.
LARGE_BYTES = 1 << 20


class ChunkTransport(httpx.AsyncBaseTransport):
    """Sends requests as they are, and streams answers chunk by chunk, undecoded.

    ``request.extensions``: ``on_sent`` is called when the request's head has left, ``target`` is
    the path and query to send instead of the URL's. No redirect is followed, no cookie kept, no
    header added but ``host`` and ``content-length``.
    """

    def __init__(self, *, timeout_s: float, proxy: str | None, ssl_context: ssl.SSLContext) -> None:
        self._timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=timeout_s, sock_read=timeout_s
        )
        self._proxy = proxy
        self._ssl_context = ssl_context
        self._session: aiohttp.ClientSession | None = None

    def _open(self) -> aiohttp.ClientSession:
        """Make the session inside the running loop, at the first request."""
        trace = aiohttp.TraceConfig()
        trace.on_request_headers_sent.append(_report_sent)
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=self._ssl_context),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=self._timeout,
            auto_decompress=False,
            skip_auto_headers=("user-agent", "accept", "accept-encoding", "content-type"),
            max_line_size=65_536,
            max_field_size=65_536,
            max_headers=1_000,
            trace_configs=[trace],
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request and return as soon as the answer's head is here."""
        if self._session is None:
            self._session = self._open()
        # httpx normalises a URL (dot segments, quotes): what is sent is what was asked for.
        target = request.extensions.get("target") or request.url.raw_path.decode("ascii")
        authority = request.url.netloc.decode("ascii")
        with _in_httpx_words(request):
            answer = await self._session.request(
                request.method,
                URL(f"{request.url.scheme}://{authority}{target}", encoded=True),
                headers=CIMultiDict(
                    (name.decode("latin-1"), _text(value)) for name, value in request.headers.raw
                ),
                data=_body(request.content),
                allow_redirects=False,
                proxy=self._proxy,
                trace_request_ctx=request.extensions.get("on_sent"),
            )
        return httpx.Response(
            answer.status, headers=answer.raw_headers, stream=_Chunks(answer, request)
        )

    async def aclose(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()


class _Chunks(httpx.AsyncByteStream):
    """The answer's body: HTTP chunks where there are any, else pieces as they arrive."""

    def __init__(self, answer: aiohttp.ClientResponse, request: httpx.Request) -> None:
        self._answer = answer
        self._request = request
        headers = answer.headers
        self._chunked = "chunked" in headers.get("transfer-encoding", "").lower()
        self._framed = self._chunked or "content-length" in headers
        # aiohttp does not tell a reader of everything that ends a connection: broken framing leaves
        # it waiting, and where the end of the connection ends the body a reset looks like one.
        connection = answer.connection
        protocol = connection.protocol if connection is not None else None
        self._lost = protocol.closed if protocol is not None else None
        if self._lost is not None:
            self._lost.add_done_callback(self._connection_lost)

    def _connection_lost(self, lost: asyncio.Future[None]) -> None:
        content = self._answer.content
        broken = not lost.cancelled() and lost.exception() is not None
        whole = content.is_eof() and (self._framed or not broken)
        if not whole and content.exception() is None:
            content.set_exception(aiohttp.ClientPayloadError("the connection was lost"))

    async def __aiter__(self) -> AsyncIterator[bytes]:
        content = self._answer.content
        with _in_httpx_words(self._request):
            while True:
                data, ended = await content.readchunk()
                if self._chunked and data and not ended:
                    data = await self._rejoined(data)
                if data:
                    yield data
                elif not ended or content.at_eof():
                    # For an answer without a body aiohttp says (b"", True) forever.
                    await asyncio.sleep(0)  # Let a connection that was reset say so.
                    if error := content.exception():
                        raise error
                    return

    async def _rejoined(self, data: bytes) -> bytes:
        """The whole HTTP chunk that begins with ``data``, or what came of it within REJOIN_S."""
        pieces = [data]
        try:
            async with asyncio.timeout(REJOIN_S):
                ended = False
                while data and not ended:
                    data, ended = await self._answer.content.readchunk()
                    pieces.append(data)
        except TimeoutError:
            pass  # The sender is slow inside one chunk: what is here is passed on.
        return b"".join(pieces)

    async def aclose(self) -> None:
        if self._lost is not None:
            self._lost.remove_done_callback(self._connection_lost)
        # Gives the connection back when the body was read to its end, and drops it otherwise.
        self._answer.close() if not self._answer.content.at_eof() else self._answer.release()


async def _report_sent(
    session: aiohttp.ClientSession,
    context: SimpleNamespace,
    params: aiohttp.TraceRequestHeadersSentParams,
) -> None:
    on_sent: Callable[[], None] | None = context.trace_request_ctx
    if on_sent:
        on_sent()


def _body(content: bytes) -> bytes | io.BytesIO | None:
    """What aiohttp sends: a large body in pieces, so that others get their turn."""
    return io.BytesIO(content) if len(content) >= LARGE_BYTES else content or None


def _text(value: bytes) -> str:
    """A header's value as aiohttp, which writes UTF-8, sends the same bytes again.

    Bytes that are no UTF-8 cannot be sent with it; they are sent as the characters they stand for
    in Latin-1.
    """
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


@contextmanager
def _in_httpx_words(request: httpx.Request) -> Any:
    """Translate aiohttp's exceptions into httpx's; their own texts may hold a URL's secrets."""
    try:
        yield
    except aiohttp.ConnectionTimeoutError as error:
        raise httpx.ConnectTimeout("no connection in time", request=request) from error
    except (aiohttp.SocketTimeoutError, TimeoutError) as error:
        raise httpx.ReadTimeout("no byte in time", request=request) from error
    except aiohttp.ClientConnectorError as error:
        raise httpx.ConnectError(_reason(error.os_error), request=request) from error
    except aiohttp.ClientResponseError as error:
        raise httpx.RemoteProtocolError(
            f"{type(error).__name__}, status {error.status}", request=request
        ) from error
    except OSError as error:
        raise httpx.RemoteProtocolError(_reason(error), request=request) from error
    except (aiohttp.ClientError, ValueError) as error:
        raise httpx.RemoteProtocolError(type(error).__name__, request=request) from error


def _reason(error: OSError) -> str:
    """The cause in the system's own words: the error's text may hold a proxy's password."""
    match error:
        case ssl.SSLCertVerificationError():  # Its errno, like that of every SSLError, is no errno.
            return f"its certificate is not trusted ({error.verify_message}; see SSL_CERT_FILE)"
        case ssl.SSLError():
            return f"TLS failed ({error.reason})"
        case socket.gaierror():
            return f"its name is not known ({error.strerror})"
    return os.strerror(error.errno) if error.errno and error.errno > 0 else type(error).__name__
