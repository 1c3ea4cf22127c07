"""Offers of a client to upgrade to another protocol: ignored, and WebSockets refused by name.

A server may ignore an ``Upgrade`` and answer in HTTP/1.1 (RFC 9110, section 7.8). The JDK's
``HttpClient`` offers HTTP/2 with each request over plain TCP. uvicorn's parser stops after the head
of such a request, and would hand its application an empty body.

WebSockets are not recorded or replayed yet. 426 makes clients of ``/v1/responses`` continue over
HTTP (RFC 9110, section 15.5.22); uvicorn's own answer, 403 without a body, looks like a wrong key.
"""

import logging
import sys

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from replay_proxy.errors import RequestError, WebSocketUnsupported
from replay_proxy.serving.connection import Receive, Scope, Send
from replay_proxy.serving.errors import REFUSED, error_response
from replay_proxy.wire import Headers, Request, header

logger = logging.getLogger("replay_proxy")

#: Fields of the offer, which mean nothing without it (RFC 7540, section 3.2.1).
_OFFER = frozenset({b"upgrade", b"http2-settings"})


class BodyLost(RequestError):
    """The server has treated an offer to upgrade as the end of the request."""

    status = 501
    code = "upgrade_not_supported"


class _Dropped(list[tuple[bytes, bytes]]):
    """Drops the fields that follow a head."""

    def append(self, _: tuple[bytes, bytes]) -> None:
        """Drop a trailer: its author need not be allowed to set headers."""


_DROPPED = _Dropped()


class PlainHttp(HttpToolsProtocol):
    """Reads a request with an offer to upgrade again, without the offer; drops trailers."""

    #: The data being read. Set by the subclass, which receives it anyway.
    data = b""
    _offered = False

    def on_headers_complete(self) -> None:
        """The head is complete: a later field is a trailer."""
        if self.parser.should_upgrade():
            self._offered = self.parser.get_method() != b"CONNECT" and not self._should_upgrade()
            if not self._offered:
                super().on_headers_complete()
            return
        self._offered = False
        super().on_headers_complete()
        self.headers = _DROPPED

    def on_message_complete(self) -> None:
        """The body is whole, as the parser sees it."""
        if not self._offered:
            super().on_message_complete()

    def _unsupported_upgrade_warning(self) -> None:
        # uvicorn calls this while it handles the parser's HttpParserUpgrade, which says how many
        # bytes of the data were read.
        error = sys.exc_info()[1]
        if not self._offered or not isinstance(error, httptools.HttpParserUpgrade):
            super()._unsupported_upgrade_warning()
            return
        head = _without_offer(self.parser.get_method(), self.url, self.headers)
        rest = self.data[error.args[0] :]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        HttpToolsProtocol.data_received(self, head + rest)


def _without_offer(method: bytes, target: bytes, headers: list[tuple[bytes, bytes]]) -> bytes:
    """The head of a request, without the fields that offer an upgrade."""
    lines = [b"%b %b HTTP/1.1" % (method, target)]
    for name, value in headers:
        if name == b"connection":
            options = [option.strip() for option in value.split(b",")]
            value = b", ".join(option for option in options if option.lower() not in _OFFER)
        if name not in _OFFER and (value or name != b"connection"):
            lines.append(b"%b: %b" % (name, value))
    return b"\r\n".join(lines) + b"\r\n\r\n"


def check_whole(headers: Headers, body: bytes) -> None:
    """Raise ``BodyLost`` if the server passes on a request with an offer, but without its body."""
    if body or header(headers, b"upgrade") is None:
        return
    if header(headers, b"transfer-encoding") or header(headers, b"content-length") not in (
        None,
        b"0",
    ):
        raise BodyLost(
            "The request's body is lost: the server stops reading at the request's offer to "
            "upgrade its connection (Upgrade). Start the proxy with replay-proxy serve, or with "
            "uvicorn's --http h11, or let the client use HTTP/1.1 (in Java: "
            "HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1))."
        )


def websocket_refusal(request: Request) -> WebSocketUnsupported:
    """The refusal of a handshake."""
    error = WebSocketUnsupported(
        f"of {request.path} is refused: WebSockets are neither recorded nor replayed",
        thing="The WebSocket handshake",
        remedy="Let the client use HTTP; a client of /v1/responses does so by itself after this "
        "status. A client of /v1/realtime cannot: let it reach the API itself.",
    )
    logger.warning("%s", error)
    return error


async def refuse_websocket(
    error: WebSocketUnsupported, scope: Scope, receive: Receive, send: Send
) -> None:
    """Answer a handshake with an error; with a server that cannot do that, close it."""
    await receive()
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1000, "reason": ""})
        return
    answer = error_response(error)
    await send(
        {
            "type": "websocket.http.response.start",
            "status": answer.status,
            "headers": [*answer.headers, *REFUSED, (b"upgrade", b"HTTP/1.1")],
        }
    )
    await send({"type": "websocket.http.response.body", "body": answer.body})
