r"""A cassette's text twin: JSON Lines with all of its content, which git can diff line by line.

Lossless and deterministic: the same cassette gives the same lines, and lines read back give the
same cassette. A body is a sequence of pieces to be joined: an event of a stream, a line of a text,
a member of compact JSON. A piece is text if it is UTF-8, and base64 otherwise.
docs/cassette.md shows each kind of line.

Not in here: files and databases.

    {"cassette": 1}
    {"take": "7…", "run": "9f…", "started_us": 1763…}
    {"interaction": "3…", "take": "7…", "method": "POST", "path": "/v1/…", "query": "", …}
    {"request_header": ["content-type", "application/json"]}
    {"request": "{\"model\":\"gpt-5\","}
    {"header": ["content-type", "text/event-stream"]}
    {"at_us": 301742, "answer": "data: {…}\n\n"}
"""

import re
from collections.abc import Iterator
from typing import Any

import orjson

from replay_proxy.cassette import Interaction, Take
from replay_proxy.redaction.answer_headers import stored_response_headers
from replay_proxy.redaction.credentials import without_credentials
from replay_proxy.redaction.display import json_printable
from replay_proxy.sse.terminal import event_ends
from replay_proxy.store.twin.lines import PIECE_BYTES, text_or_base64
from replay_proxy.store.twin.reader import VERSION, read

__all__ = ["VERSION", "head", "interaction_lines", "read", "take_line"]

#: Where a text is cut: after a line, and after a member or element of compact JSON.
_LINE_ENDS = re.compile(rb'(?<=\n)|(?<=,)(?=["{])')


def head() -> bytes:
    """The first line."""
    return _line({"cassette": VERSION})


def take_line(take: Take) -> bytes:
    """The line of a take."""
    return _line({"take": str(take.id), "run": take.run, "started_us": take.started_us})


def interaction_lines(take_id: int, interaction: Interaction) -> bytes:
    """The lines of an interaction."""
    request, timeline = interaction.request, interaction.timeline
    # Cassettes of earlier versions may hold credentials that were not recognised.
    query = without_credentials(request.query)
    request_headers, headers = map(stored_response_headers, (request.headers, interaction.headers))
    lines = [
        _line(
            {
                "interaction": str(interaction.id),
                "take": str(take_id),
                "fingerprint": interaction.fingerprint,
                "arrived_us": request.arrived_us,
                "method": request.method,
                "path": request.path,
                "query": query,
                "status": interaction.status,
                "head_us": timeline.head_us,
                "total_us": timeline.total_us,
            }
        )
    ]
    lines += [_line({"request_header": _texts(pair)}) for pair in request_headers]
    lines += [_line(piece) for piece in _pieces("request", request.body)]
    lines += [_line({"header": _texts(pair)}) for pair in headers]
    for offset_us, chunk in timeline.chunks(interaction.body):
        first: dict[str, Any] = {"at_us": offset_us}
        for piece in _pieces("answer", chunk, events=interaction.streams) or [{"answer": ""}]:
            lines.append(_line(first | piece))
            first = {}
    return b"".join(lines)


def _line(value: dict[str, Any]) -> bytes:
    line = orjson.dumps(value)
    # JSON need not escape the characters that a terminal obeys or hides.
    return (
        line if line.isascii() and b"\x7f" not in line else json_printable(line.decode()).encode()
    ) + b"\n"


def _texts(pair: tuple[bytes, bytes]) -> list[str]:
    return [part.decode("latin-1") for part in pair]


def _pieces(name: str, content: bytes, *, events: bool = False) -> list[dict[str, Any]]:
    """The content cut into pieces, as the members of lines."""
    if events:
        ends = event_ends(content)
        pieces = [content[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    elif name in text_or_base64(name, content):
        pieces = [piece for piece in _LINE_ENDS.split(content) if piece]
    else:
        pieces = [content]
    return [text_or_base64(name, part) for piece in pieces for part in _cut(piece)]


def _cut(piece: bytes) -> Iterator[bytes]:
    """A piece cut into parts that fit into a line and do not end within a character."""
    start = 0
    while len(piece) - start > PIECE_BYTES:
        end = start + PIECE_BYTES
        while end > start + PIECE_BYTES - 3 and piece[end] & 0xC0 == 0x80:
            end -= 1
        yield piece[start:end]
        start = end
    yield piece[start:]
