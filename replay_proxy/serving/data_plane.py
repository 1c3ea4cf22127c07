"""ASGI on one side, ``Transport`` on the other: the path of every request and chunk.

Plain ASGI in front of FastAPI: no middleware, no validation and no dependency injection stands
between a client and its chunks. The app decides which paths lead here.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from replay_proxy.bounds.side_process import SIDE_PROCESS_BYTES
from replay_proxy.errors import ConnectionDropped, ReplayProxyError
from replay_proxy.matching.fingerprint import fingerprint
from replay_proxy.redaction.credentials import without_credentials
from replay_proxy.redaction.display import redacted
from replay_proxy.serving.addresses import (
    cassette_of,
    raw_path,
    split_cassette,
    with_own_addresses,
)
from replay_proxy.serving.connection import (
    Receive,
    Scope,
    Send,
    abort,
    drop,
    join_writes,
    leave_out_server_headers,
    names_server,
    reset_when_closed,
    unchunked,
)
from replay_proxy.serving.departures import Departure, Departures
from replay_proxy.serving.errors import REFUSED, error_response
from replay_proxy.serving.request_body import (
    LARGE_BYTES,
    BodyTooLarge,
    RequestBodies,
    UnknownTransferCoding,
    check_content,
)
from replay_proxy.serving.upgrades import BodyLost, check_whole
from replay_proxy.target import ADDRESS_FIELDS
from replay_proxy.timeline import Arrivals
from replay_proxy.wire import Provenance, Request, Response, Source, Transport, header

logger = logging.getLogger("replay_proxy")
access_logger = logging.getLogger("uvicorn.access")

#: Size of the pieces in which a body of known length is sent; any other body is one chunk.
PIECE_BYTES = 1 << 18


class DataPlane:
    """An ASGI application that answers every HTTP request from its cassette's transport.

    ``transport_of`` gives the transport of a cassette, or of the default one for None. A request
    names its cassette by its path, ``/cassettes/{name}/v1/…``, or in ``x-replay-cassette``.
    ``arrivals`` stamps requests; ``recognise`` computes the fingerprints of a large one;
    ``on_unread`` is called with a request that is refused before its body was read;
    ``upstream_url`` is the API's base URL: addresses there become addresses of the proxy.
    """

    def __init__(
        self,
        transport_of: Callable[[str | None], Transport],
        arrivals: Arrivals | None = None,
        recognise: Callable[[Request], Awaitable[None]] | None = None,
        on_unread: Callable[[Scope, ReplayProxyError], None] = lambda _scope, _error: None,
        upstream_url: str = "https://api.openai.com/v1",
    ) -> None:
        self._recognise = recognise
        self._on_unread = on_unread
        self._upstream_url = upstream_url
        self._transport_of = transport_of
        self._arrivals = arrivals or Arrivals()
        logger.addFilter(_redacted_record)  # Added once: it is the same function each time.
        access_logger.addFilter(_redacted_access)
        self._bodies = RequestBodies()
        self._departures = Departures()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; stop when its client leaves, or when the server stops."""
        arrived_us = self._arrivals.next_us()
        elsewhere = names_server(send)
        departure: Departure | None = None
        body: bytes | None = None
        try:
            body = await self._bodies.receive(scope["headers"], receive)
            if body is None:
                return
            if not body:
                check_whole(scope["headers"], body)
            departure = self._departures.expect(receive)
            cassette, path = split_cassette(raw_path(scope))
            request = Request(
                method=scope["method"],
                path=f"/{path}" if elsewhere else path,  # Not a served path.
                query=scope["query_string"].decode("latin-1"),
                headers=tuple(scope["headers"]),
                body=body,
                arrived_us=arrived_us,
            )
            if header(request.headers, b"content-encoding") is not None:
                check_content(request)
            answer = await self._answer(cassette, request)
            for name, _ in answer.headers:
                if name in ADDRESS_FIELDS:
                    headers = with_own_addresses(answer.headers, self._upstream_url, scope)
                    answer = answer._replace(headers=headers)
                    break
            await _send(answer, send, http_version=scope["http_version"])
        except (BodyTooLarge, UnknownTransferCoding, BodyLost) as error:
            self._on_unread(scope, error)
            await _send(_unread(error, scope), send)
        except ConnectionDropped as dropped:
            await drop(send, receive, reset=dropped.reset)
        except asyncio.CancelledError:
            left = departure is not None and departure.happened
            if departure is not None:
                departure.close()
            if not left and not await abort(send, receive):
                raise
            _forgive()
        finally:
            if departure is not None:
                departure.close()
            if body is not None and len(body) > LARGE_BYTES:
                self._bodies.release(body)

    async def _answer(self, cassette: str | None, request: Request) -> Response:
        try:
            if len(request.body) >= SIDE_PROCESS_BYTES and self._recognise is not None:
                await self._recognise(request)
            return await self._transport_of(cassette_of(cassette, request)).handle(request)
        except ConnectionDropped:
            raise
        except ReplayProxyError as error:
            # Any part may quote what the client has sent.
            error.thing, error.cause = redacted(error.thing), redacted(error.cause)
            error.remedy = redacted(error.remedy)
            # Bound to no other name: the error holds this frame, and with it the request.
            return error_response(error, Provenance(Source.REFUSED, fingerprint(request)))
        except Exception:
            logger.exception("%s %s failed", request.method, request.path)
            failure = ReplayProxyError("The proxy failed on this request; its log says why.")
            return error_response(failure, Provenance(Source.REFUSED, fingerprint(request)))


def _redacted_record(record: logging.LogRecord) -> bool:
    """Remove credentials from a log line, which may quote a client's request."""
    record.msg, record.args = redacted(record.getMessage()), ()
    if record.exc_info and not record.exc_text:
        record.exc_text = redacted(logging.Formatter().formatException(record.exc_info))
    return True


def _redacted_access(record: logging.LogRecord) -> bool:
    """Remove credentials from the target in a line of uvicorn's access log."""
    if isinstance(record.args, tuple) and len(record.args) > 2:
        client, method, target, *rest = record.args
        path, mark, query = str(target).partition("?")
        shown = f"{redacted(path)}{mark}{without_credentials(query)}"
        record.args = (client, method, shown, *rest)
    return True


def _unread(error: ReplayProxyError, scope: Scope) -> Response:
    """The refusal of a body that was not read to its end."""
    answer = error_response(error)
    headers = answer.headers + REFUSED
    if any(name == b"expect" for name, _ in scope["headers"]):
        headers += ((b"connection", b"close"),)  # The client will not send the body.
    return answer._replace(headers=headers)


async def send_whole(response: Response, send: Send) -> None:
    """Send an answer of the proxy itself, whose body is ``bytes``."""
    await send(
        {"type": "http.response.start", "status": response.status, "headers": response.headers}
    )
    await send({"type": "http.response.body", "body": response.body})


async def _send(response: Response, send: Send, *, http_version: str = "1.1") -> None:
    """Send the answer. One that breaks off is left incomplete: the server closes the connection."""
    connection = send
    body = response.body
    leave_out_server_headers(send)
    join_writes(send)
    ends_by_closing = http_version == "1.0" and header(response.headers, b"content-length") is None
    if ends_by_closing:
        send = unchunked(send)
    provenance = response.provenance
    start = {
        "type": "http.response.start",
        "status": response.status,
        "headers": response.headers + provenance.headers() if provenance else response.headers,
    }
    if isinstance(body, bytes):
        await send(start)
        if len(body) <= PIECE_BYTES or header(response.headers, b"content-length") is None:
            await send({"type": "http.response.body", "body": body})
        else:
            await _send_pieces(body, send)
        return
    try:
        await send(start)
        async for chunk in body:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
    except ReplayProxyError as error:
        if ends_by_closing or (isinstance(error, ConnectionDropped) and error.reset):
            reset_when_closed(connection)  # Closing alone would look like a complete answer.
        if not error.is_loss:  # It is in the log already.
            cause = str(error)
            logger.warning("An answer broke off, and so does its client's connection: %s", cause)
        return
    finally:
        await body.aclose()
    await send({"type": "http.response.body", "body": b""})


async def _send_pieces(body: bytes, send: Send) -> None:
    """Send a body in pieces: otherwise all of it would be buffered for a slow client."""
    last = (len(body) - 1) // PIECE_BYTES * PIECE_BYTES
    for at in range(0, last, PIECE_BYTES):
        piece = body[at : at + PIECE_BYTES]
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": body[last:]})


def _forgive() -> None:
    """Take back the cancellation of this task, which is complete."""
    if (task := asyncio.current_task()) is not None:
        task.uncancel()
