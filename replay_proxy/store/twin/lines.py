"""The lines of a text twin, in bounded memory: part of ``twin``.

A twin is data from anywhere. A line may have no end, and JSON that is parsed takes up to thirty
times its size, so a line has a maximum length, and a long one has to be a single text.
"""

import binascii
import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

import orjson

#: Maximum size of the pieces into which ``export`` cuts bodies, and of a line: in JSON, a byte of a
#: piece may take six.
PIECE_BYTES = 1 << 24
MOST_LINE_BYTES = 1 << 27
#: Maximum size of a line that is not a piece of a body.
_LONG_BYTES = 1 << 22
_PIECE = re.compile(
    rb'\s*+\{\s*+(?:"at_us"\s*+:\s*+\d{1,16}\s*+,\s*+)?+"(?:request|answer)(?:_base64)?"\s*+:\s*+'
    rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"\s*+\}\s*+'
)
#: Characters of a value in a message.
_SHOWN_CHARS = 80


def lines_of(content: BinaryIO | Iterable[bytes]) -> Iterator[bytes]:
    """The lines of a file, each cut one byte after the maximum length."""
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
        raise ValueError(f"it is longer than {_LONG_BYTES >> 20} MiB, and not a piece of a body")
    return orjson.loads(line)


def text_or_base64(name: str, content: bytes) -> dict[str, str]:
    """The content as a JSON member: text if it is UTF-8, or else base64 under another name."""
    try:
        return {name: content.decode()}
    except UnicodeDecodeError:
        return {f"{name}_base64": b64encode(content).decode()}


def content_of(name: str, line: dict[str, Any]) -> bytes:
    """The content that ``text_or_base64`` gave. Raises ``ValueError``."""
    value = line[name] if name in line else line[f"{name}_base64"]
    if not isinstance(value, str):
        raise ValueError(f"{excerpt(value)} is not a text")
    if name in line:
        return value.encode()
    try:
        return b64decode(value, validate=True)
    except binascii.Error as error:
        raise ValueError(f"{name}_base64 is not base64: {error}") from None


def excerpt(value: Any) -> str:
    """A value, or its beginning, for a message."""
    text = repr(value[:_SHOWN_CHARS] if isinstance(value, str) else value)
    return text if len(text) <= _SHOWN_CHARS + 2 else text[:_SHOWN_CHARS] + "…"
