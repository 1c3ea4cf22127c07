"""The dummy behind the OpenAI SDK without a socket, for hundreds of requests per second.

    client = sdk(Content(unit="word"))

Chunks are joined here; chunk boundaries are tested on real sockets.
"""

import asyncio

import httpx2
from openai import OpenAI

from replay_proxy.errors import ReplayProxyError
from replay_proxy.serving.errors import error_response
from replay_proxy.transports.dummy import Content, Dummy
from replay_proxy.wire import Request


class InProcess(httpx2.BaseTransport):
    """Answers requests with the dummy, and keeps the body of the last answer."""

    def __init__(self, content: Content | None = None) -> None:
        self._dummy = Dummy(content)
        self.body = b""

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        path = request.url.raw_path.decode().partition("?")[0]
        asked = Request(request.method, path, "", (), request.read())
        return asyncio.run(self._answer(asked))

    async def _answer(self, asked: Request) -> httpx2.Response:
        try:
            answer = await self._dummy.handle(asked)
        except ReplayProxyError as error:
            answer = error_response(error)
        body = answer.body
        if not isinstance(body, bytes):
            body = b"".join([chunk async for chunk in body])
        self.body = body
        return httpx2.Response(answer.status, headers=list(answer.headers), content=body)


def sdk(content: Content | None = None) -> OpenAI:
    """An SDK client with its own dummy."""
    return client(InProcess(content))


def client(transport: InProcess) -> OpenAI:
    """An SDK client that uses this transport."""
    return OpenAI(
        base_url="http://dummy/v1",
        api_key="sk-placeholder",
        max_retries=0,
        http_client=httpx2.Client(transport=transport),
    )
