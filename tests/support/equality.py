"""When two requests are the same, and how to spell a request differently. Pure.

Independent of the proxy's fingerprint, which is tested against it.
"""

import json
import random
import re
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.support.corpus import Record, without

_BOUNDARY = re.compile(rb'boundary="?([^";]+)')

_NAME = re.compile(rb'[; ]name="?([^";\r]+)')


def identity(record: Record) -> tuple[str, ...]:
    """A value that is equal for two requests that must get the same recordings.

    Method, path, sorted query and the body: the value of JSON, without ``"stream": false``;
    the names and contents of multipart's parts; the bytes of anything else.
    """
    parts = urlsplit(record.target)
    value = _json(record)
    if value is not None:
        canonical = json.dumps(value, sort_keys=True)
    elif boundary := _boundary(record):
        canonical = repr(sorted(_parts(record.request_body, boundary)))
    else:
        canonical = record.request_body.hex()
    query = sorted(parse_qsl(parts.query, keep_blank_values=True))
    return (record.method, parts.path, repr(query), canonical)


def reworded(record: Record) -> Record:
    """The same request as another client would send it.

    Another user agent; other key order, white space and escapes in JSON; another multipart
    boundary.
    """
    headers = without(record.request_headers, frozenset({b"user-agent"}))
    record = replace(record, request_headers=(*headers, (b"user-agent", b"another-client/2.0")))
    value = _json(record)
    if value is not None:
        body = json.dumps(_turned(value), indent=1).encode()
        return replace(record, request_body=body)
    if boundary := _boundary(record):
        other = b"another-" + boundary[:40]
        return replace(
            record,
            request_body=record.request_body.replace(boundary, other),
            request_headers=tuple(
                (name, field.replace(boundary, other)) for name, field in record.request_headers
            ),
        )
    return record


def interleaved(records: Sequence[Record], seed: int) -> list[Record]:
    """The records in a random order that keeps the order of identical requests."""
    lanes: defaultdict[tuple[str, ...], deque[Record]] = defaultdict(deque)
    for record in records:
        lanes[identity(record)].append(record)
    turns = [lane for lane in lanes.values() for _ in lane]
    random.Random(seed).shuffle(turns)
    return [lane.popleft() for lane in turns]


def _json(record: Record) -> Any:
    try:
        value = json.loads(record.request_body)
    except ValueError:
        return None
    if isinstance(value, dict) and value.get("stream") is False:
        del value["stream"]
    return value


def _parts(body: bytes, boundary: bytes) -> list[tuple[bytes, bytes]]:
    """Name and content of each part; file names can be temporary and are ignored."""
    found = []
    for part in body.split(b"--" + boundary)[1:-1]:
        head, _, content = part.partition(b"\r\n\r\n")
        name = _NAME.search(head)
        found.append((name[1] if name else b"", content))
    return found


def _turned(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _turned(value[key]) for key in reversed(value)}
    return [_turned(item) for item in value] if isinstance(value, list) else value


def _boundary(record: Record) -> bytes | None:
    for name, value in record.request_headers:
        if name.lower() == b"content-type" and (found := _BOUNDARY.search(value)):
            return found[1]
    return None
