"""Streams sent at once, as fast as the client reads.

In here: from a ``StreamReply`` to the body of a response. Not in here: what it says.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from itertools import chain, islice

from replay_proxy.transports.dummy.replies import StreamReply
from replay_proxy.wire import Chunks

#: Bytes of a chunk, which takes about 100 µs to make. This bounds the memory of a stream, whose
#: whole size would be two hundred times that of its text.
_CHUNK = 200_000


def instant_body(reply: StreamReply) -> bytes | Chunks:
    """The body of a response: ``bytes`` if it fits in one chunk."""
    chunks = _chunks(iter(reply.tokens), reply.opening, reply.closing)
    first = next(chunks)
    second = next(chunks, None)
    return first if second is None else _in_turn(chain((first, second), chunks))


def _chunks(tokens: Iterator[bytes], opening: bytes, closing: bytes) -> Iterator[bytes]:
    """The stream, all of which is due at once, in chunks that end where an event ends."""
    first = next(tokens, b"")
    # The tokens of an answer have about the same length.
    step = max(1, _CHUNK // max(1, len(first)))
    joined = [opening, first, *islice(tokens, step)]
    while True:
        following = list(islice(tokens, step))
        if not following:
            joined.append(closing)
            yield b"".join(joined)
            return
        yield b"".join(joined)
        joined = following


async def _in_turn(chunks: Iterator[bytes]) -> AsyncGenerator[bytes]:
    """The chunks; between two of them, every other request gets a turn."""
    for chunk in chunks:
        yield chunk
        await asyncio.sleep(0)
