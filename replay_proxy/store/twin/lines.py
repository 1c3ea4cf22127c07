"""The lines of a text twin, in bounded memory: part of ``twin``.

A twin is data from anywhere. A line may have no end, and JSON that is parsed takes up to thirty
times its size; so the length of a line has a limit, and a long one has to be one text.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

import orjson

#: ``export`` cuts bodies into pieces of so many bytes; in JSON each may take six.
PIECE_BYTES = 1 << 24
MOST_LINE_BYTES = 1 << 27
#: A longer line is parsed only if it is a piece of a body.
_LONG_BYTES = 1 << 22
_PIECE = re.compile(
    rb'\s*+\{\s*+(?:"at_us"\s*+:\s*+\d{1,16}\s*+,\s*+)?+"(?:request|answer)(?:_base64)?"\s*+:\s*+'
    rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"\s*+\}\s*+'
)
#: So much of a value is shown.
_SHOWN_CHARS = 80


def lines_of(content: BinaryIO | Iterable[bytes]) -> Iterator[bytes]:
    """The lines of a file, each at most one byte longer than it may be."""
    if isinstance(content, Iterable) and not hasattr(content, "readline"):
        yield from content
        return
    while line := content.readline(MOST_LINE_BYTES + 1):
        yield line


def value_of(line: bytes) -> Any:
    """The JSON of a line. Raises ``ValueError``."""
    if len(line) > MOST_LINE_BYTES:
        raise ValueError(f"it is longer than {MOST_LINE_BYTES >> 20} MiB")
    if len(line) > _LONG_BYTES and not _PIECE.fullmatch(line):
        raise ValueError(f"it is longer than {_LONG_BYTES >> 20} MiB, and no piece of a body")
    return orjson.loads(line)


def shown(value: Any) -> str:
    """A value in a message."""
    text = repr(value[:_SHOWN_CHARS] if isinstance(value, str) else value)
    return text if len(text) <= _SHOWN_CHARS + 2 else text[:_SHOWN_CHARS] + "…"
