"""ASGI apps that only send prepared bytes: the cost of uvicorn itself.

    uvicorn benchmarks.bare_asgi:in_chunks --port 8001

Both answer a plain request in one piece; they send a stream at once, or event by event. The bytes
are the answer to the first question in a cassette of ``benchmarks.chats``.
"""

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

from benchmarks.chats import chunks, plain

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Scope = MutableMapping[str, Any]

PLAIN = plain(0)
STREAM = chunks(0)


def bare(stream: Sequence[bytes]) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
    """An app that sends its streams in these pieces."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise NotImplementedError("no lifespan, and no sockets")
        pieces = []
        while True:
            message = await receive()
            pieces.append(message.get("body", b""))
            if not message.get("more_body"):
                break
        if b'"stream":true' not in b"".join(pieces):
            length = (b"content-length", b"%d" % len(PLAIN))
            await send(_start((b"content-type", b"application/json"), length))
            await send({"type": "http.response.body", "body": PLAIN})
            return
        await send(_start((b"content-type", b"text/event-stream; charset=utf-8")))
        for piece in stream[:-1]:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": stream[-1]})

    return app


def _start(*headers: tuple[bytes, bytes]) -> dict[str, Any]:
    return {"type": "http.response.start", "status": 200, "headers": list(headers)}


whole = bare([b"".join(STREAM)])
in_chunks = bare(STREAM)
