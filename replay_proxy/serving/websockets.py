"""Handshakes of WebSockets: refused by name, since sessions are not recorded or replayed yet.

426 makes clients of ``/v1/responses`` go on over HTTP (RFC 9110, section 15.5.22); uvicorn's own
answer, 403 without a body, reads as a wrong key.
"""

import logging

from replay_proxy.errors import WebSocketUnsupported
from replay_proxy.serving.connection import Receive, Scope, Send
from replay_proxy.serving.errors import REFUSED, error_response
from replay_proxy.wire import Request

logger = logging.getLogger("replay_proxy")


def refusal(request: Request) -> WebSocketUnsupported:
    """The refusal of a handshake."""
    error = WebSocketUnsupported(
        f"of {request.path} is refused: WebSockets are neither recorded nor replayed",
        thing="The WebSocket handshake",
        remedy="Let the client use HTTP; a client of /v1/responses does so by itself after this "
        "status. A client of /v1/realtime has no other way: let it reach the API itself.",
    )
    logger.warning("%s", error)
    return error


async def refuse(error: WebSocketUnsupported, scope: Scope, receive: Receive, send: Send) -> None:
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
