"""The types of the importers: exchanges of a foreign file, and what is not carried over.

Not in here: reading a format, and our own cassettes.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from replay_proxy.wire import Headers


@dataclass(frozen=True, slots=True)
class Exchange:
    """One exchange of a foreign file; bodies as stored, which may be content-encoded.

    ``where`` is its place in the file, for a person. ``chunks`` are pairs of an offset in
    microseconds from the request and the bytes that arrived then, if the format has them;
    joined they are ``body``. A body is None if the file has none, and does not say that it was
    empty. ``recorded_us`` is in microseconds since 1970, ``took_us`` the time to the answer's end.
    """

    where: str
    method: str
    url: str
    request_headers: Headers
    request_body: bytes | None
    status: int
    headers: Headers
    body: bytes | None
    chunks: tuple[tuple[int, bytes], ...] | None = None
    recorded_us: int | None = None
    took_us: int | None = None


@dataclass(frozen=True, slots=True)
class NotCarried:
    """An exchange, or a part of a file, that is not carried over, and why."""

    where: str
    reason: str


class Misshapen(Exception):
    """The content does not fit the format; the message is the reason, for a person.

    For one exchange it becomes a ``NotCarried``, for a whole file an ``ImportRefused``.
    """


@dataclass(frozen=True, slots=True)
class Format:
    """How a foreign format is recognised and read.

    ``recognises`` looks at a whole file, decompressed. ``read`` raises ``Misshapen`` if nothing in
    the file can be read. ``read_lines`` is for a format whose files are lines, and may be larger
    than the memory: for ``recognises`` the first line is enough.
    """

    recognises: Callable[[bytes], bool]
    read: Callable[[bytes], Iterator[Exchange | NotCarried]]
    read_lines: Callable[[Iterable[bytes]], Iterator[Exchange | NotCarried]] | None = None


def exchanges_of(
    items: Iterable[object], noun: str, exchange: Callable[[str, object], Exchange | NotCarried]
) -> Iterator[Exchange | NotCarried]:
    """The exchange of each item of a file; a misshapen one with its place and the reason."""
    for number, item in enumerate(items, 1):
        where = f"{noun} {number}"
        try:
            yield exchange(where, item)
        except Misshapen as error:
            yield NotCarried(where, str(error))
