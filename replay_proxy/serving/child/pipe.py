"""The control plane over two pipes: calls come in on one, and answers leave on the other.

The parent's process belongs to a user's tests, which may patch or block sockets, HTTP clients and
the clock; pipes are left alone. A call is a line of JSON with ``id``, ``method`` and ``target``;
its answer is one with ``id``, ``status`` and ``body``, which is JSON too.
"""

import asyncio
import json
import logging
import os
from collections.abc import Awaitable, Callable
from typing import Any

from replay_proxy.serving.connection import Receive, Scope, Send

logger = logging.getLogger("replay_proxy")

Application = Callable[[Scope, Receive, Send], Awaitable[None]]

_READ_BYTES = 1 << 16
_FAILED = b'{"error": {"message": "The proxy failed on this call; its log says why."}}'


def answer_calls(
    app: Application,
    loop: asyncio.AbstractEventLoop,
    calls: int,
    answers: int,
) -> None:
    """Answer calls until the parent closes a pipe, or is gone. Runs in a thread of its own.

    ``calls`` and ``answers`` are file descriptors.
    """
    rest = b""
    while data := os.read(calls, _READ_BYTES):
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            answer = asyncio.run_coroutine_threadsafe(_answer(app, json.loads(line)), loop).result()
            try:
                while answer:
                    answer = answer[os.write(answers, answer) :]
            except BrokenPipeError:
                return


async def _answer(app: Application, call: Any) -> bytes:
    """The line that answers a call, which the application gets as an HTTP request."""
    path, _, query = call["target"].partition("?")
    scope: Scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": call["method"],
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(b"host", b"localhost")],
        "client": None,
        "server": None,
    }
    status, body = 0, b""

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        nonlocal status, body
        status = message.get("status", status)
        body += message.get("body", b"")

    try:
        await app(scope, receive, send)
    except Exception:
        logger.exception("%s %s failed", call["method"], path)
        status, body = 500, _FAILED
    # In a JSON document, a line end between values may be any white space.
    document = body.replace(b"\n", b" ")
    return b'{"id": %s, "status": %d, "body": %s}\n' % (
        json.dumps(call["id"]).encode(),
        status,
        document,
    )
