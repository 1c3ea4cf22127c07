"""reel-vcr: one exchange per line of JSON, streams as events with times.

Source: ``reel/cassette/schema.py``, ``body.py`` and ``replay.py`` of reel-vcr 0.1. It keeps
bodies parsed, and no host; both are restored as reel itself replays them.
"""

import json
import re
from collections.abc import Iterable, Iterator

from replay_proxy.importers.bodies import unbase64
from replay_proxy.importers.documents import json_document
from replay_proxy.importers.exchange import Exchange, Misshapen, NotCarried
from replay_proxy.importers.leftovers import refuse_unread
from replay_proxy.importers.shapes import headers, integer, mapping, sequence, text, utf8
from replay_proxy.importers.timestamps import milliseconds_us, moment_us

_LINE = re.compile(rb"\A\s*\{\s*\"(?:schema_version|_meta)\"\s*:[^\n]*\}\s*(?:\n|\Z)")
_RAW = "__reel_raw_base64__"


def recognises(file: bytes) -> bool:
    """Whether a file looks like a cassette of reel."""
    return bool(_LINE.match(file))


def read(file: bytes) -> Iterator[Exchange | NotCarried]:
    """The exchanges of a cassette; a damaged line costs only itself."""
    return read_lines(file.split(b"\n"))


def read_lines(lines: Iterable[bytes]) -> Iterator[Exchange | NotCarried]:
    """The exchanges of a cassette that is read line by line."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"line {number}"
        try:
            # Without its end, which would be one more line to the parser's messages.
            entry = mapping(json_document(line.rstrip(b"\n")), "the line")
            if "_meta" not in entry:
                yield _exchange(where, entry)
        except Misshapen as error:
            yield NotCarried(where, str(error))


def _exchange(where: str, item: object) -> Exchange:
    entry = mapping(item, "it")
    request = mapping(entry.get("request"), "the request")
    response = mapping(entry.get("response"), "the response")
    refuse_unread(request, "method path body", "the request")
    refuse_unread(response, "status headers body stream_chunks", "the response")
    body, chunks = _body(response.get("body"), "the answer's body"), None
    if response.get("stream_chunks") is not None:
        chunks = tuple(map(_chunk, sequence(response["stream_chunks"], "the stream's chunks")))
        body = b"".join(piece for _, piece in chunks)
    return Exchange(
        where=where,
        method=text(request.get("method"), "the method"),
        url=text(request.get("path"), "the path"),
        request_headers=((b"content-type", b"application/json"),),
        request_body=_body(request.get("body"), "the request's body"),
        status=integer(response.get("status"), "the status"),
        headers=headers(response.get("headers"), "the response's headers"),
        body=body,
        chunks=chunks or None,
        recorded_us=moment_us(entry.get("ts")),
    )


def _body(value: object, what: str) -> bytes:
    if value is None:
        return b""
    if isinstance(value, dict) and _RAW in value:
        return unbase64(value[_RAW], what)
    return utf8(value if isinstance(value, str) else json.dumps(value), what)


def _chunk(item: object) -> tuple[int, bytes]:
    chunk = mapping(item, "a chunk of the stream")
    data = chunk.get("data")
    lines = (data if isinstance(data, str) else json.dumps(data)).split("\n")
    name = chunk.get("event")
    head = "" if name is None else f"event: {text(name, 'the name of an event')}\n"
    event = head + "".join(f"data: {line}\n" for line in lines) + "\n"
    return milliseconds_us(chunk.get("t_offset_ms")) or 0, utf8(event, "an event")
