"""The body of an answer that a fault alters, chunk by chunk or event by event.

Only the client's side is altered: if a fault ends an answer early, its source is still read to the
end, so that a recording of it is complete.
"""

import asyncio
import re
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import suppress
from typing import Self

from replay_proxy.errors import ConnectionDropped, ReplayProxyError
from replay_proxy.wire import Chunks, Headers, Response, header, is_event_stream

#: Pieces sent to the client before other requests get a turn.
_PER_TURN = 64
#: Bytes at the end of a searched text in which the beginning of a blank line may be.
_OVERLAP = 3
_BLANK_LINE = re.compile(rb"\r\n\r\n|\n\n|\r\r")


class Pieces:
    """The pieces of an answer: its chunks, or its events if ``by_event``.

    A body that is already whole has no chunks: its pieces are the events of a stream, or the two
    halves of any other body.
    """

    def __init__(self, body: bytes | Chunks, *, by_event: bool) -> None:
        self._body = body
        self._chunks = None if isinstance(body, bytes) else aiter(body)
        self._by_event = by_event
        self._held = body if isinstance(body, bytes) else b""
        #: No blank line of the held bytes begins before this position.
        self._looked = 0
        self._pieces: deque[bytes] = deque()
        self.ended = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        """The next piece. Raises the error that broke the answer off."""
        while not self._pieces:
            if self.ended:
                raise StopAsyncIteration
            await self._read()
        return self._pieces.popleft()

    async def _read(self) -> None:
        if self._chunks is None:
            self.ended = True
        else:
            try:
                chunk = await anext(self._chunks)
            except StopAsyncIteration:
                self.ended = True
            except ReplayProxyError:
                self.ended = True
                raise
            else:
                if not self._by_event:
                    self._pieces.append(chunk)
                    return
                self._held += chunk
        start = 0
        if self._by_event:
            for blank in _BLANK_LINE.finditer(self._held, self._looked):
                self._pieces.append(self._held[start : blank.end()])
                start = blank.end()
            self._looked = max(0, len(self._held) - start - _OVERLAP)
        elif len(self._held) > 1:
            start = len(self._held) // 2
            self._pieces.append(self._held[:start])
        self._held = self._held[start:]
        if self.ended and self._held:
            self._pieces.append(self._held)

    async def aclose(self) -> None:
        """Stop reading."""
        if not isinstance(self._body, bytes):
            await self._body.aclose()


#: A function from the pieces of an answer to those that the client gets.
Alter = Callable[[AsyncIterator[bytes]], AsyncGenerator[bytes]]


class AlteredBody:
    """A body that is still coming, altered by a fault."""

    def __init__(self, source: Pieces, alter: Alter) -> None:
        self._source = source
        self._chunks = alter(source)
        self._over = False
        self._passed = 0
        #: Tasks that read sources to their end; the owner of the set keeps them alive.
        self.drains: set[asyncio.Task[None]] = set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        """The next chunk for the client."""
        self._passed += 1
        if self._passed % _PER_TURN == 0:
            await asyncio.sleep(0)
        try:
            return await anext(self._chunks)
        except (StopAsyncIteration, ConnectionDropped):
            self._over = True
            raise

    async def aclose(self) -> None:
        """Close the source; if the fault ended the answer, read the source to its end instead."""
        await self._chunks.aclose()
        if self._over and not self._source.ended:
            task = asyncio.get_running_loop().create_task(_drain(self._source))
            self.drains.add(task)
            task.add_done_callback(self.drains.discard)
        else:
            await self._source.aclose()


async def _drain(source: Pieces) -> None:
    try:
        with suppress(ReplayProxyError):  # No client is left to get the error.
            async for _ in source:
                pass
    finally:
        await source.aclose()


def streams_events(answer: Response) -> bool:
    """Whether an answer is an event stream that is not compressed."""
    encoding = header(answer.headers, b"content-encoding") or b"identity"
    return is_event_stream(answer.headers) and encoding == b"identity"


def altered_answer(
    answer: Response, alter: Alter, *, by_event: bool = False, length: bool = False
) -> Response:
    """The answer with its pieces altered; with ``length`` it keeps its ``content-length``."""
    ready = isinstance(answer.body, bytes) and streams_events(answer)
    body = AlteredBody(Pieces(answer.body, by_event=by_event or ready), alter)
    headers = answer.headers if length else without(answer.headers, b"content-length")
    return answer._replace(headers=headers, body=body)


def without(headers: Headers, name: bytes) -> Headers:
    """The headers without those of this name."""
    return tuple(pair for pair in headers if pair[0] != name)
