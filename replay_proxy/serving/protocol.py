"""uvicorn's HTTP protocol with bounds: on clients that stall, on heads, on the time to stop.

ASGI has none of these. ``install`` reaches uvicorn's configuration through the ``receive`` of its
lifespan, so that the bounds hold however uvicorn was started: by ``replay-proxy serve``, as a child
process, as ``uvicorn replay_proxy.main:app``, with several workers.
"""

import asyncio
import logging
from functools import partial
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from replay_proxy.serving.connection import Receive
from replay_proxy.serving.upgrades import PlainHttp

logger = logging.getLogger("replay_proxy")
#: A logger whose messages of level INFO are shown, unlike those of ``logger``.
uvicorn_logger = logging.getLogger("uvicorn.error")

#: Maximum number of bytes of a request besides its body: of its head, or its trailers.
HEAD_BYTES = 1 << 18
#: Minimum rate of a request that takes longer than ``timeout_s`` to arrive.
BYTES_PER_S = 1_000


class Clients:
    """The open connections of a server, and their bounds.

    ``timeout_s`` bounds how long a client may send nothing in the middle of a request, or take
    nothing of its answer. ``grace_s`` is the time for answers to end after the server begins to
    stop, and ``stopping_s`` is when it did (on the loop's clock).
    """

    def __init__(self, *, timeout_s: float, grace_s: float) -> None:
        self.timeout_s = timeout_s
        self.grace_s = grace_s
        self.stopping_s: float | None = None
        self._connections: set[BoundedProtocol] = set()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, connection: "BoundedProtocol") -> None:
        """Watch a connection."""
        self._connections.add(connection)
        if self._timer is None:
            self._look_later()

    def discard(self, connection: "BoundedProtocol") -> None:
        """Stop watching a connection."""
        self._connections.discard(connection)

    def stop(self) -> None:
        """Note when the server began to stop."""
        if self.stopping_s is None:
            self.stopping_s = asyncio.get_running_loop().time()
            uvicorn_logger.info("Answers have %g s to reach their end (DRAIN_S).", self.grace_s)

    def left_s(self) -> float:
        """The rest of ``grace_s``."""
        if self.stopping_s is None:
            return self.grace_s
        over_s = asyncio.get_running_loop().time() - self.stopping_s
        return max(0.0, self.grace_s - over_s)

    def _look_later(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(min(self.timeout_s / 4, 5.0), self._look)

    def _look(self) -> None:
        now_s = asyncio.get_running_loop().time()
        for connection in list(self._connections):
            connection.drop_if_stalled(now_s)
        self._timer = None
        if self._connections:
            self._look_later()


class BoundedProtocol(PlainHttp):
    """One connection of a client. It is dropped when it stalls; trailers never become headers."""

    def __init__(self, *, clients: Clients, **given: Any) -> None:
        super().__init__(**given)
        self._clients = clients
        #: When the last byte arrived, and when the present request or answer began.
        self._heard_s = self._began_s = 0.0
        #: Bytes of this request; those since its beginning, or since its last byte of a body.
        self._received = self._besides = 0
        #: The unsent bytes at the last look, and the time since which there are that many.
        self._unsent = 0
        self._unsent_s = 0.0
        #: Whether this request was seen to have its answer before its end.
        self._refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has connected."""
        self._began_s = self._heard_s = self.loop.time()
        self._clients.add(self)
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed."""
        self._clients.discard(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what the client has sent."""
        self._heard_s = self.loop.time()
        size = len(data)
        self._received += size
        self._besides += size
        self.data = data
        super().data_received(data)
        self.data = b""
        if self._besides > HEAD_BYTES and not self.transport.is_closing():
            logger.warning("A client was dropped: its headers have more than %d bytes.", HEAD_BYTES)
            if self.cycle is None or self.cycle.response_complete:
                self.send_400_response("The request's headers are too large.")
            else:
                self.transport.abort()

    def on_message_begin(self) -> None:
        """A request begins."""
        self._began_s = self._heard_s
        self._received = self._besides = 0
        self._refused = False
        super().on_message_begin()

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._besides = 0
        super().on_body(body)

    def handle_websocket_upgrade(self) -> None:
        """The connection is no longer HTTP."""
        self._clients.discard(self)
        super().handle_websocket_upgrade()

    def shutdown(self) -> None:
        """The server begins to stop."""
        self._clients.stop()
        super().shutdown()

    def drop_if_stalled(self, now_s: float) -> None:
        """End the connection if the client has kept it waiting for too long."""
        if self._takes_nothing(now_s):
            reason = "took nothing of its answer"
        elif self._sends_nothing(now_s):
            reason = "did not send a whole request"
        else:
            return
        logger.warning(
            "A client was dropped: it %s for %g s (STALL_S).",
            reason,
            self._clients.timeout_s,
        )
        self.transport.abort()

    def _takes_nothing(self, now_s: float) -> bool:
        unsent = self.transport.get_write_buffer_size()
        if unsent != self._unsent:
            self._unsent, self._unsent_s = unsent, now_s
        return unsent > 0 and now_s - self._unsent_s > self._clients.timeout_s

    def _sends_nothing(self, now_s: float) -> bool:
        cycle = self.cycle
        refused = cycle is not None and cycle.response_complete
        if cycle is not None and not refused and not cycle.more_body:
            return False  # The client waits for its answer.
        if self.timeout_keep_alive_task is not None or self.flow.read_paused:
            return False  # uvicorn waits for the next request, or has paused reading.
        if self.transport.is_closing():
            return False  # The last bytes are on their way.
        if refused and not self._refused:
            self._refused, self._began_s = True, now_s
        timeout_s = self._clients.timeout_s
        slow_s = timeout_s if refused else timeout_s + self._received / BYTES_PER_S
        return now_s > min(self._heard_s + timeout_s, self._began_s + slow_s)


def install(receive: Receive, clients: Clients) -> None:
    """Install the bounds at the start of uvicorn's lifespan; another server has its own.

    uvicorn reads both values later: at each connection, and when it stops.
    """
    config = getattr(getattr(receive, "__self__", None), "config", None)
    if getattr(config, "http_protocol_class", None) is HttpToolsProtocol:
        config.http_protocol_class = partial(  # type: ignore[union-attr]
            BoundedProtocol, clients=clients
        )
    if getattr(config, "timeout_graceful_shutdown", 0) is None:
        config.timeout_graceful_shutdown = clients.grace_s  # type: ignore[union-attr]
