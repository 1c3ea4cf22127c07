"""Streams sent at once, as fast as the client reads.

In here: from a ``Streamed`` to the body of a response. Not in here: what it says.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from itertools import chain, islice

from replay_proxy.transports.dummy.replies import Streamed
from replay_proxy.wire import Chunks

# How large a chunk is, in bytes, made in some 100 µs. It bounds the memory that a stream takes,
# which is two hundred times that of its text.
_CHUNK = 200_000


def instantly(reply: Streamed) -> bytes | Chunks:
    """Body of a response: ``bytes`` if one chunk holds it."""
    chunks = _chunks(iter(reply.tokens), reply.opening, reply.closing)
    first = next(chunks)
    second = next(chunks, None)
    return first if second is None else _in_turn(chain((first, second), chunks))


def _chunks(tokens: Iterator[bytes], opening: bytes, closing: bytes) -> Iterator[bytes]:
    """Join what is due at once, which all of it is, in chunks that end where an event ends."""
    first = next(tokens, b"")
    # Tokens of one answer are about equally long.
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
    """Pass the chunks on, with a turn for every other request between two of them."""
    for chunk in chunks:
        yield chunk
        await asyncio.sleep(0)
