"""Parts of a client's connection that ASGI hides: the server's headers, writes, the end.

It is reached through uvicorn's ``send``, a method of the object that serves one request; this works
with both of its HTTP protocols and both event loops.
"""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

#: Closing sends RST instead of FIN: lingering is on, for no time (SO_LINGER, socket(7)).
_NO_LINGER = struct.pack("ii", 1, 0)
#: Maximum number of bytes that are held: the server must notice a client that does not keep up.
_FULL_BYTES = 65_536
#: Maximum size of a write that is copied to be joined with others.
_ALONE_BYTES = 1 << 20


class Outlet:
    """Stands in for a request's transport, and joins the writes of one turn of the event loop.

    A write to a socket takes longer than everything else that a chunk needs. Only bytes on the wire
    are joined: chunks keep their boundaries, and none waits for a later one.
    """

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._held: list[bytes] = []
        self._size = 0

    def write(self, data: bytes) -> None:
        """Write at the end of this turn, together with its other bytes."""
        if len(data) > _ALONE_BYTES:
            self.flush()
        elif not self._held:
            # Even for an answer that is already whole: writing at once, before the other requests
            # of this turn are handled, takes a fifth more processor time per answer.
            asyncio.get_running_loop().call_soon(self.flush)
        self._held.append(data)
        self._size += len(data)
        if self._size > _FULL_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write the held bytes now."""
        if self._held and not self._transport.is_closing():
            self._transport.write(b"".join(self._held))
        self._held.clear()
        self._size = 0

    def close(self) -> None:
        """Close the connection after what was written."""
        self.flush()
        self._transport.close()

    def abort(self) -> None:
        """Close the connection at once."""
        self._held.clear()
        self._transport.abort()

    def get_extra_info(self, name: str) -> Any:
        """The transport's extra information."""
        return self._transport.get_extra_info(name)


def join_writes(send: Send) -> None:
    """Write what is sent in one turn of the event loop to the socket in one system call."""
    cycle = getattr(send, "__self__", None)
    transport = getattr(cycle, "transport", None)
    if transport is not None:
        cycle.transport = Outlet(transport)  # type: ignore[union-attr]


def leave_out_server_headers(send: Send) -> None:
    """Keep uvicorn from adding its own ``date`` and ``server`` to those of a recorded answer.

    uvicorn has an option for each, but an application cannot set them.
    """
    cycle = getattr(send, "__self__", None)
    defaults = getattr(cycle, "default_headers", None)
    if defaults:
        cycle.default_headers = _defaults.left(defaults)  # type: ignore[union-attr]


class _Defaults:
    """The headers that uvicorn adds to each answer; it makes one new list of them per second."""

    def __init__(self) -> None:
        self._all: list[tuple[bytes, bytes]] | None = None
        self._left: list[tuple[bytes, bytes]] = []

    def left(self, defaults: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """The defaults without ``date`` and ``server``."""
        if defaults is not self._all:
            self._left = [pair for pair in defaults if pair[0] not in (b"date", b"server")]
            self._all = defaults
        return self._left


_defaults = _Defaults()


def names_server(send: Send) -> bool:
    """Whether the request's target names a server (absolute-form: RFC 9112, section 3.2.2).

    uvicorn gives an application the path of such a target, and hides the server.
    """
    respond = getattr(getattr(send, "__self__", None), "on_response", None)
    url: bytes | None = getattr(getattr(respond, "__self__", None), "url", None)
    return bool(url) and not url.startswith(b"/")  # type: ignore[union-attr]


def unchunked(send: Send) -> Send:
    """A ``send`` for a client of HTTP/1.0: the body ends with the connection.

    Such a client does not know chunked coding, but uvicorn with httptools uses it all the same.
    """
    cycle: Any = getattr(send, "__self__", None)
    if getattr(cycle, "chunked_encoding", False) is not None:
        return send  # Another server or protocol, which does this itself.
    cycle.chunked_encoding = False

    async def send_plain(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.body":
            cycle.expected_content_length = len(message.get("body", b""))
        await send(message)

    return send_plain


async def drop(send: Send, receive: Receive, *, reset: bool) -> None:
    """End the connection before any byte of an answer."""
    if reset:
        reset_when_closed(send)
    _transport(send).close()
    # Before the server notices the end, it would send an error for the missing answer.
    while (await receive())["type"] != "http.disconnect":
        pass


async def abort(send: Send, receive: Receive) -> bool:
    """End the connection in the middle of an answer. Returns whether that was possible.

    It is possible with a server whose connections can be reached.
    """
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is None:
        return False
    reset_when_closed(send)  # Closing alone can look like the end.
    transport.abort()
    while (await receive())["type"] != "http.disconnect":
        pass
    return True


def reset_when_closed(send: Send) -> None:
    """Let the client see a reset, after all written bytes, when the connection is closed."""
    connection = _transport(send).get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)


def _transport(send: Send) -> Any:
    return send.__self__.transport  # type: ignore[attr-defined]
