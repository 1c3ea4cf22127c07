"""What an endpoint returns: a whole answer, or a stream in three parts.

In here: bytes, and how many tokens they stand for. Not in here: when they are sent (``timing``),
what they say (``endpoints``, ``sayings``).

A stream has no times of its own: the sender decides when each part is due.
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


class WholeReply(NamedTuple):
    """An answer that is sent in one piece. ``tokens`` are those generated, as in ``usage``."""

    headers: Headers
    body: bytes
    tokens: int = 0
    prompt_tokens: int = 0
    status: int = 200


@dataclass(frozen=True, slots=True)
class StreamReply:
    """An answer that is sent token by token, with status 200.

    ``opening`` precedes the first token and is due with it at the latest. ``tokens`` yields
    ``count`` items, one per token. Each item is one or more whole events (one for each of the
    ``n`` choices) and is rendered when it is read; it can be read once. ``closing`` ends the
    stream.
    """

    headers: Headers
    opening: bytes
    tokens: Iterable[bytes]
    closing: bytes
    count: int
    prompt_tokens: int = 0


Reply = WholeReply | StreamReply
