"""What an importer gives: exchanges as a foreign file tells of them, and what it has to leave.

Words only: no format is read here, and nothing of our own tape is known.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from replay_proxy.wire import Headers


@dataclass(frozen=True, slots=True)
class Exchange:
    """One exchange as a foreign file tells of it; bodies as stored, which may be content-encoded.

    ``where`` is its place in the file, for a person. ``chunks`` are pairs of an offset in
    microseconds from the request and the bytes that came then, where the format knows them;
    joined they are ``body``. ``recorded_us`` is microseconds since 1970, ``took_us`` how long the
    whole answer took.
    """

    where: str
    method: str
    url: str
    request_headers: Headers
    request_body: bytes
    status: int
    headers: Headers
    body: bytes
    chunks: tuple[tuple[int, bytes], ...] | None = None
    recorded_us: int | None = None
    took_us: int | None = None


@dataclass(frozen=True, slots=True)
class NotCarried:
    """An exchange, or a part of a file, that is not carried over, and why."""

    where: str
    reason: str


class Misshapen(Exception):
    """What was read is not what the format says; the message is the reason, for a person.

    Of one exchange it becomes a ``NotCarried``, of a whole file an ``ImportRefused``.
    """


@dataclass(frozen=True, slots=True)
class Format:
    """How a foreign format is told from others, and read.

    ``recognises`` looks at a whole file, decompressed. ``read`` raises ``Misshapen`` when nothing
    in it can be read. ``read_lines`` is for a format whose files are lines, and may be larger than
    the memory: ``recognises`` has enough of the first.
    """

    recognises: Callable[[bytes], bool]
    read: Callable[[bytes], Iterator[Exchange | NotCarried]]
    read_lines: Callable[[Iterable[bytes]], Iterator[Exchange | NotCarried]] | None = None


def each(
    items: Iterable[object], noun: str, exchange: Callable[[str, object], Exchange | NotCarried]
) -> Iterator[Exchange | NotCarried]:
    """What each item of a file tells; what is misshapen is told with its place and its reason."""
    for number, item in enumerate(items, 1):
        where = f"{noun} {number}"
        try:
            yield exchange(where, item)
        except Misshapen as error:
            yield NotCarried(where, str(error))
