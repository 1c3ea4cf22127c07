"""What an endpoint gives back: a whole answer, or a stream in three parts.

In here: bytes and how many tokens they stand for. Not in here: when they are sent (``instant``),
what they say (each endpoint's own file).

A stream is apart from its time: whoever sends it decides when each part is due.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from replay_proxy.wire import Headers

JSON: Headers = ((b"content-type", b"application/json"),)
EVENTS: Headers = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
)


class Whole(NamedTuple):
    """An answer that is sent as one. ``tokens`` is how many were made, as ``usage`` tells."""

    headers: Headers
    body: bytes
    tokens: int = 0
    prompt_tokens: int = 0
    status: int = 200


@dataclass(frozen=True, slots=True)
class Streamed:
    """An answer that is sent token by token, under status 200.

    ``opening`` stands before the first token and is due with it at the latest. ``tokens`` has one
    item a token, ``count`` of them, each of which is whole events (``n`` choices have one event
    each in it), and is rendered when it is read; it can be read once. ``closing`` ends the stream.
    """

    headers: Headers
    opening: bytes
    tokens: Iterable[bytes]
    closing: bytes
    count: int
    prompt_tokens: int = 0


Reply = Whole | Streamed
