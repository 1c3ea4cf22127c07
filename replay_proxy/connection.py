"""A client's connection, as far as ASGI hides it: headers of the server's own, closing, resetting.

ASGI has no word for any of it. What is needed is reached through uvicorn's ``send``, a method of
the object that serves one request; both of its HTTP protocols and both event loops have it.
"""

import socket
import struct
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

#: Closing sends RST instead of FIN: lingering is on, for no time (SO_LINGER, socket(7)).
_NO_LINGER = struct.pack("ii", 1, 0)


def leave_out_server_headers(send: Send) -> None:
    """Keep uvicorn from adding a ``date`` and a ``server`` of its own to a recorded answer's.

    uvicorn has a flag for each and no way for an application to ask for it.
    """
    cycle = getattr(send, "__self__", None)
    defaults = getattr(cycle, "default_headers", None)
    if defaults:
        cycle.default_headers = [  # type: ignore[union-attr]
            pair for pair in defaults if pair[0] not in (b"date", b"server")
        ]


async def drop(send: Send, receive: Receive, *, reset: bool) -> None:
    """End the connection before any byte of an answer."""
    if reset:
        reset_when_closed(send)
    _transport(send).close()
    # Until the server knows of it, it would answer for an application that has not.
    while (await receive())["type"] != "http.disconnect":
        pass


def reset_when_closed(send: Send) -> None:
    """Let the client see a reset, behind what was written, when the connection is closed."""
    connection = _transport(send).get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)


def _transport(send: Send) -> Any:
    return send.__self__.transport  # type: ignore[attr-defined]
