"""Interactions as rows of the table ``interaction``, and back. Pure."""

import zlib
from typing import Any

import orjson

from replay_proxy.cassette import Interaction, Recorded
from replay_proxy.leaves import has_many_values
from replay_proxy.nearness import features
from replay_proxy.timeline import Timeline
from replay_proxy.wire import Headers, Request, header

Row = dict[str, Any]

#: What a row's checksum covers besides the answer and the request's body. Their order is part of
#: the format, which no query's order of columns may change.
_ASKED = (
    "id",
    "take_id",
    "fingerprint",
    "arrived_us",
    "method",
    "path",
    "query",
    "request_headers",
)


def to_row(interaction: Interaction, take_id: int) -> Row:
    """The row that stores an interaction in a take, with the words that find it."""
    request, timeline = interaction.request, interaction.timeline
    media_type = header(interaction.headers, b"content-type")
    row: Row = {
        "id": interaction.id,
        "take_id": take_id,
        "fingerprint": interaction.fingerprint,
        "arrived_us": request.arrived_us,
        "method": request.method,
        "path": request.path,
        "query": request.query,
        "model": _model(request.body),
        "streams": (media_type or b"").lower().startswith(b"text/event-stream"),
        "status": interaction.status,
        "media_type": media_type.decode("latin-1") if media_type else None,
        "head_us": timeline.head_us,
        "total_us": timeline.total_us,
        "request_headers": _dump_headers(request.headers),
        "response_headers": _dump_headers(interaction.headers),
        "timeline": orjson.dumps(
            list(zip(timeline.offsets_us, timeline.ends, strict=True))
        ).decode(),
        "request_body": request.body,
        "body": interaction.body,
    }
    row["checksum"] = checksum(row)
    row["features"] = " ".join(features(request))
    return row


def from_row(row: Row) -> Interaction:
    """The interaction that a row stores. Raises ``ValueError`` when it is not as it was stored."""
    if not is_intact(row):
        raise ValueError("its checksum does not match")
    pairs: list[tuple[int, int]] = orjson.loads(row["timeline"])
    return Interaction(
        id=row["id"],
        fingerprint=row["fingerprint"],
        request=_request(row),
        status=row["status"],
        headers=_load_headers(row["response_headers"]),
        body=row["body"],
        timeline=Timeline(
            head_us=row["head_us"],
            offsets_us=tuple([pair[0] for pair in pairs]),
            ends=tuple([pair[1] for pair in pairs]),
            total_us=row["total_us"],
        ),
    )


def to_recorded(row: Row) -> Recorded:
    """The request of a row."""
    return Recorded(row["id"], row["fingerprint"], _request(row))


def _request(row: Row) -> Request:
    return Request(
        method=row["method"],
        path=row["path"],
        query=row["query"],
        headers=_load_headers(row["request_headers"]),
        body=row["request_body"],
        arrived_us=row["arrived_us"],
    )


def checksum(row: Row) -> int:
    """CRC-32 of all that is sent when the row is replayed; above it, 31 bits of all the rest's."""
    head = f"{row['status']} {row['head_us']} {row['total_us']} {row['timeline']}"
    answer = zlib.crc32(row["body"], zlib.crc32((row["response_headers"] + head).encode()))
    asked = "\0".join(str(row[name]) for name in _ASKED).encode("utf-8", "surrogatepass")
    return zlib.crc32(row["request_body"], zlib.crc32(asked)) >> 1 << 32 | answer


def is_intact(row: Row) -> bool:
    """Whether the checksum of a row matches; at first it was of the answer only."""
    stored: int = row["checksum"]
    return checksum(row) & (-1 if stored >> 32 else 0xFFFFFFFF) == stored


def _dump_headers(headers: Headers) -> str:
    pairs = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]
    return orjson.dumps(pairs).decode()


def _load_headers(text: str) -> Headers:
    return tuple(
        (name.encode("latin-1"), value.encode("latin-1")) for name, value in orjson.loads(text)
    )


def _model(body: bytes) -> str | None:
    """The model that a JSON request names; None where to read it would take long."""
    if has_many_values(body):
        return None
    try:
        value = orjson.loads(body)
    except ValueError:
        return None
    model = value.get("model") if isinstance(value, dict) else None
    return model if isinstance(model, str) else None
