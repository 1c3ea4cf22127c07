"""What a test uses to describe what an upstream sends: ``Answer``, its steps, ``Received``.

Nothing here opens a socket; ``tests.support.upstream`` plays the script.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

Pairs = Sequence[tuple[bytes, bytes]]

EVENT_STREAM = ((b"content-type", b"text/event-stream"),)
JSON = ((b"content-type", b"application/json"),)


@dataclass(frozen=True, slots=True)
class Wait:
    """Make the next step due ``seconds`` after this one: deadlines add up, delays do not.

    The first deadline counts from the moment at which the request was read completely.
    """

    seconds: float


@dataclass(frozen=True, slots=True)
class Gate:
    """Wait until the test sets the event; later deadlines count from that moment."""

    event: threading.Event


@dataclass(frozen=True, slots=True)
class Head:
    """Write the status line and headers here; only with ``Answer(head=False)``."""


@dataclass(frozen=True, slots=True)
class Raw:
    """Write bytes as they are, without framing."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Cut:
    """Break the connection with a TCP reset, without the end of the body."""


@dataclass(frozen=True, slots=True)
class Hangup:
    """Close the connection normally (FIN), without the end of the body."""


#: ``bytes`` are one HTTP chunk (or one piece of an unchunked body), written at once.
Step = bytes | Wait | Gate | Head | Raw | Cut | Hangup


@dataclass(frozen=True)
class Answer:
    """What to send for one request.

    ``framing`` says how the body ends: the terminating chunk, a content-length (the sum of all
    ``bytes`` steps), or the end of the connection. A 204 or 304 has neither.
    If ``head`` is false, the head is sent at a ``Head`` step, or never:
    ``Answer(head=False, steps=[Hangup()])`` closes before answering.
    A last ``Wait`` delays the end of the body.
    """

    status: int = 200
    headers: Pairs = EVENT_STREAM
    steps: Sequence[Step] = ()
    framing: Literal["chunked", "length", "eof"] = "chunked"
    head: bool = True


@dataclass
class Received:
    """One request as received, and how far its answer got."""

    method: str
    target: str
    headers: list[tuple[bytes, bytes]]
    body: bytes
    #: Number of body steps written so far, including the current one.
    written: int = 0
    #: Set when every step was played and the body was ended as its framing requires.
    finished: threading.Event = field(default_factory=threading.Event)
    #: Set when the client closed its connection before that.
    client_left: threading.Event = field(default_factory=threading.Event)

    def header(self, name: bytes) -> bytes | None:
        """The first value of a header; ``name`` is in lower case."""
        return next((value for key, value in self.headers if key.lower() == name), None)


Script = Callable[[Received], Answer]
