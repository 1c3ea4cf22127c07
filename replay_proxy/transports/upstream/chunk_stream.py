"""An answer's body from one of aiohttp's connections, with the boundaries of HTTP chunks."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import httpx

from replay_proxy.transports.upstream.answer_reader import REJOIN_S
from replay_proxy.transports.upstream.errors import as_httpx_errors
from replay_proxy.wire import ChunkRest


class ChunkStream(httpx.AsyncByteStream):
    """The answer's body: HTTP chunks if there are any, else pieces as they arrive.

    A chunk whose pieces are far apart comes in parts, each but the first a ``ChunkRest``.
    """

    def __init__(self, answer: aiohttp.ClientResponse, request: httpx.Request) -> None:
        self._answer = answer
        self._content = answer.content
        self._request = request
        self._chunked = "chunked" in answer.headers.get("transfer-encoding", "").lower()
        self._framed = self._chunked or "content-length" in answer.headers
        # aiohttp does not report everything that ends a connection: after broken framing a reader
        # waits forever, and a reset looks like the end of a body that ends with the connection.
        connection = answer.connection
        protocol = connection.protocol if connection is not None else None
        self._lost = protocol.closed if protocol is not None else None
        if self._lost is not None:
            self._lost.add_done_callback(self._connection_lost)

    def _connection_lost(self, lost: asyncio.Future[None]) -> None:
        content = self._content
        broken = not lost.cancelled() and lost.exception() is not None
        whole = content.is_eof() and (self._framed or not broken)
        if not whole and content.exception() is None:
            content.set_exception(aiohttp.ClientPayloadError("the connection was lost"))

    async def __aiter__(self) -> AsyncIterator[bytes]:
        content, begun = self._content, False
        with as_httpx_errors(self._request):
            while True:
                data, ended = await content.readchunk()
                if self._chunked and data and not ended:
                    data, ended = await self._rejoined(data)
                continues, begun = begun, self._chunked and not ended
                if data:
                    yield ChunkRest(data) if continues else data
                elif not ended or content.at_eof():
                    # For an answer without a body aiohttp returns (b"", True) forever.
                    await asyncio.sleep(0)  # A reset of the connection may arrive now.
                    if error := content.exception():
                        raise error
                    return

    async def _rejoined(self, data: bytes) -> tuple[bytes, bool]:
        """The HTTP chunk that begins with ``data``, as far as it arrives within REJOIN_S.

        Also returns whether that is all of it.
        """
        pieces = [data]
        ended = False
        try:
            async with asyncio.timeout(REJOIN_S):
                while data and not ended:
                    data, ended = await self._content.readchunk()
                    pieces.append(data)
        except TimeoutError:
            pass  # The sender is slow within a chunk: pass on what has arrived.
        return b"".join(pieces), ended

    async def aclose(self) -> None:
        """Stop reading."""
        if self._lost is not None:
            self._lost.remove_done_callback(self._connection_lost)
        if self._content.at_eof():
            self._answer.release()
        else:
            self._answer.close()
