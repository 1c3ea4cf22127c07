"""How the client of an answer knows that it has ended. Pure.

By the last byte if the length is known, by a terminal event in an event stream, and otherwise only
by the end of the connection.
"""

from typing import Protocol

from replay_proxy.sse.terminal import EncodedTerminalEvent, Progress, TerminalEvent
from replay_proxy.wire import Request, Response, header, is_event_stream


class Ending(Protocol):
    """Takes an answer chunk by chunk and says how far it is."""

    def feed(self, chunk: bytes) -> Progress:
        """How far the answer is with this chunk."""
        ...


class _Length:
    """An answer of known length ends with its last byte."""

    def __init__(self, length: int) -> None:
        self._missing = length

    def feed(self, chunk: bytes) -> Progress:
        """ENDED with the last byte."""
        self._missing -= len(chunk)
        return Progress.RUNNING if self._missing > 0 else Progress.ENDED


class _Unknown:
    """An answer that only the end of the connection shows to be whole."""

    def feed(self, _: bytes) -> Progress:
        """Always RUNNING."""
        return Progress.RUNNING


def known_length(request: Request, answer: Response) -> int | None:
    """How many bytes the client will wait for; None if only the end of the stream shows that."""
    if request.method == "HEAD" or answer.status in (204, 304):
        return 0
    length = header(answer.headers, b"content-length")
    return int(length) if length is not None else None


def ending_of(answer: Response, length: int | None) -> Ending:
    """What shows that the client has seen the end, before the connection ends."""
    if length is not None:
        return _Length(length)
    if not is_event_stream(answer.headers):
        return _Unknown()
    encoding = (header(answer.headers, b"content-encoding") or b"identity").strip().lower()
    return TerminalEvent() if encoding == b"identity" else EncodedTerminalEvent()
