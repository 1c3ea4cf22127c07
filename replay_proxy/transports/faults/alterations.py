"""Faults that alter an answer: cut, late, in drips, empty, with another type.

They apply to any answer. Each is a function of the answer, the clock and the arguments that a
script gives. The first paragraph of its docstring says what the fault does, and the last one what a
user of the OpenAI SDK sees; docs/faults.md shows both, and tests/transports/faults/test_sdk.py
checks the latter.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator

from replay_proxy.errors import ConnectionDropped
from replay_proxy.timeline import Clock
from replay_proxy.transports.faults.body import altered_answer, without
from replay_proxy.wire import Response

#: The first byte of a character of several bytes (RFC 3629).
_LEAD = re.compile(rb"[\xc2-\xf4](?=[\x80-\xbf])")


async def cut(
    answer: Response, clock: Clock, /, after_chunks: int = 1, after_bytes: int | None = None
) -> Response:
    """The connection is closed after `after_chunks`, or `after_bytes`; the body is incomplete.

    `APIConnectionError` after 1 request, with the text until then;
    3 requests if it does not stream.
    """

    async def alter(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
        async for chunk in _first(chunks, after_chunks, after_bytes):
            yield chunk
        raise ConnectionDropped("A fault cuts the answer.", fault="cut", reset=False)

    return altered_answer(answer, alter, length=True)


async def reset_midway(answer: Response, clock: Clock, /, after_chunks: int = 1) -> Response:
    """The connection is reset (TCP RST) after `after_chunks`.

    `APIConnectionError` after 1 request, with the text until then;
    3 requests if it does not stream.
    """

    async def alter(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
        async for chunk in _first(chunks, after_chunks):
            yield chunk
        raise ConnectionDropped("A fault resets the answer.", fault="reset_midway", reset=True)

    return altered_answer(answer, alter, length=True)


async def stall(
    answer: Response, clock: Clock, /, after_chunks: int = 1, seconds: float = 1.0
) -> Response:
    """After `after_chunks` nothing comes for `seconds`; then the answer goes on.

    the whole text after 1 request, unless its timeout is shorter.
    """

    async def alter(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
        passed = 0
        async for chunk in chunks:
            if passed == after_chunks:
                await clock.sleep_until(clock.now_s() + seconds)
            passed += 1
            yield chunk

    return altered_answer(answer, alter, length=True)


async def hang(answer: Response, clock: Clock, /, after_chunks: int = 1) -> Response:
    """After `after_chunks` nothing more comes, and the connection stays open.

    `APITimeoutError` after 1 request, with the text until then;
    3 requests if it does not stream.
    """

    async def alter(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
        async for chunk in _first(chunks, after_chunks):
            yield chunk
        await asyncio.get_running_loop().create_future()  # Ends when the client leaves.

    return altered_answer(answer, alter, length=True)


async def slow_start(answer: Response, clock: Clock, /, seconds: float = 1.0) -> Response:
    """The whole answer, status and headers included, begins `seconds` late.

    the whole text after 1 request, unless its timeout is shorter.
    """
    await clock.sleep_until(clock.now_s() + seconds)
    return answer._replace()


async def drip(answer: Response, clock: Clock, /, size: int = 16, gap_ms: float = 10.0) -> Response:
    """The body comes in pieces of `size` bytes, `gap_ms` milliseconds apart.

    the whole text after 1 request.
    """

    async def alter(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
        due_s = clock.now_s()
        async for chunk in chunks:
            for start in range(0, len(chunk), max(1, size)):
                await clock.sleep_until(due_s)
                yield chunk[start : start + max(1, size)]
                due_s = max(due_s + gap_ms / 1000, clock.now_s())

    return altered_answer(answer, alter, length=True)


async def split_utf8(answer: Response, clock: Clock, /) -> Response:
    """A chunk ends after the first byte of each character that has several bytes.

    the whole text after 1 request.
    """

    async def alter(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
        async for chunk in chunks:
            start = 0
            for lead in _LEAD.finditer(chunk):
                yield chunk[start : lead.end()]
                start = lead.end()
            if start < len(chunk):
                yield chunk[start:]

    return altered_answer(answer, alter)


async def empty(answer: Response, clock: Clock, /) -> Response:
    """The status and the headers are right, and the body has no bytes.

    no text after 1 request, and no error; `JSONDecodeError` if it does not stream.
    """

    async def alter(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
        async for chunk in _first(chunks, 0):
            yield chunk

    emptied = altered_answer(answer, alter)
    headers = (*emptied.headers, (b"content-length", b"0"))
    return emptied._replace(headers=headers)


async def content_type(answer: Response, clock: Clock, /, value: str = "text/html") -> Response:
    """The answer has another `content-type`; its body stays as it is.

    the whole text after 1 request: it does not look at the type.
    """
    headers = (
        *without(answer.headers, b"content-type"),
        (b"content-type", value.encode("latin-1", "replace")),
    )
    return answer._replace(headers=headers)


async def _first(
    chunks: AsyncIterator[bytes], count: int, size: int | None = None
) -> AsyncGenerator[bytes]:
    """The first ``count`` chunks, or the first ``size`` bytes if that is given."""
    left = count if size is None else size
    while left > 0:
        try:
            chunk = await anext(chunks)
        except StopAsyncIteration:
            return
        if size is not None:
            chunk = chunk[:left]
        yield chunk
        left -= 1 if size is None else len(chunk)
