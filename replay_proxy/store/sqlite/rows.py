"""Interactions as rows of the table ``interaction``, and back. Pure."""

import zlib
from collections.abc import Iterable
from itertools import product
from operator import itemgetter
from types import NoneType
from typing import Any

import orjson

from replay_proxy.cassette import Interaction, RecordedRequest
from replay_proxy.errors import StoreError
from replay_proxy.matching.leaves import has_many_values
from replay_proxy.matching.nearness import features
from replay_proxy.matching.request_json import model_of
from replay_proxy.store.sqlite.soundness import (
    check_fingerprint,
    check_id,
    check_interaction,
    check_request,
    check_target,
)
from replay_proxy.store.sqlite.statements import REQUEST_COLUMNS
from replay_proxy.timeline import Timeline
from replay_proxy.wire import Headers, Request

Row = dict[str, Any]

#: The types of each column. SQLite itself allows any type in any column.
_TYPES: dict[str, tuple[type, ...]] = {
    "id": (int,),
    "take_id": (int,),
    "fingerprint": (str,),
    "arrived_us": (int,),
    "method": (str,),
    "path": (str,),
    "query": (str,),
    "model": (str, NoneType),
    "streams": (int,),
    "status": (int,),
    "media_type": (str, NoneType),
    "head_us": (int,),
    "total_us": (int,),
    "checksum": (int,),
    "request_headers": (str,),
    "response_headers": (str,),
    "timeline": (str,),
    "request_body": (bytes,),
    "body": (bytes,),
}

#: The values of these columns in a row, and all combinations of their types.
_values = itemgetter(*_TYPES)
_SOUND_TYPES = frozenset(product(*_TYPES.values()))

#: Columns that a row's checksum covers besides the answer and the request's body. Their order is
#: part of the format, whatever the order of columns in a query.
_REQUEST_SUM_COLUMNS = (
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
    """The row that stores an interaction in a take, with its words for the index.

    Raises ``StoreError`` for an interaction that would be refused when it is read.
    """
    try:
        check_interaction(interaction)
    except ValueError as error:
        raise StoreError(
            f"Interaction {interaction.id} cannot be stored: {error}, and replay would refuse it. "
            "Look at what the upstream answers, or at the file that it comes from."
        ) from error
    request, timeline = interaction.request, interaction.timeline
    row: Row = {
        "id": interaction.id,
        "take_id": take_id,
        "fingerprint": interaction.fingerprint,
        "arrived_us": request.arrived_us,
        "method": request.method,
        "path": request.path,
        "query": request.query,
        "model": None if has_many_values(request.body) else model_of(request),
        "streams": interaction.streams,
        "status": interaction.status,
        "media_type": interaction.media_type,
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
    """The interaction that a row stores. Raises ``ValueError`` if it is not as it was stored.

    Also if no recording can be like that: a checksum protects from accidents, not from people.
    """
    values = _values(row)
    if tuple(map(type, values)) not in _SOUND_TYPES:
        check_types(row)
    row = dict(zip(_TYPES, values, strict=True))  # Faster to read than SQLite's rows.
    if not is_intact(row):
        raise ValueError("its checksum does not match")
    check_id(row["take_id"], "its take's id")
    offsets_us, ends = _load_timeline(row["timeline"])
    interaction = Interaction(
        id=row["id"],
        fingerprint=row["fingerprint"],
        request=_request(row),
        status=row["status"],
        headers=_load_headers(row["response_headers"]),
        body=row["body"],
        timeline=Timeline(
            head_us=row["head_us"], offsets_us=offsets_us, ends=ends, total_us=row["total_us"]
        ),
    )
    check_interaction(interaction)
    return interaction


def replayable(row: Row) -> Interaction:
    """The same for a row whose request may be served. Raises ``ValueError`` as above."""
    interaction = from_row(row)
    check_target(interaction.request)
    return interaction


def to_recorded_request(row: Row) -> RecordedRequest:
    """The request of a row that has ``REQUEST_COLUMNS``. Raises ``ValueError`` as above."""
    recorded = to_any_request(row)
    check_target(recorded.request)
    return recorded


def to_any_request(row: Row) -> RecordedRequest:
    """The same without a check of where the request leads, for a row that is to be deleted."""
    _check_types(row, REQUEST_COLUMNS)
    if not _is_half_intact(row):
        raise ValueError("its checksum does not match its request")
    check_id(row["id"])
    check_id(row["take_id"], "its take's id")
    check_fingerprint(row["fingerprint"])
    recorded = RecordedRequest(row["id"], row["fingerprint"], _request(row))
    check_request(recorded.request)
    return recorded


def check_types(row: Row) -> None:
    """Raise ``ValueError`` for a value whose type its column never has."""
    _check_types(row, _TYPES)


def _check_types(row: Row, columns: Iterable[str]) -> None:
    """Raise ``ValueError`` for a value whose type its column never has."""
    for name in columns:
        if type(row[name]) not in _TYPES[name]:
            raise ValueError(f"its {name} is of type {type(row[name]).__name__}")


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
    """CRC-32 of all that is sent when the row is replayed; above it, 31 bits of the rest's CRC."""
    head = f"{row['status']} {row['head_us']} {row['total_us']} {row['timeline']}"
    text = (row["response_headers"] + head).encode("utf-8", "surrogatepass")
    answer = zlib.crc32(row["body"], zlib.crc32(text))
    return _request_sum(row) << 32 | answer


def is_intact(row: Row) -> bool:
    """Whether the checksum of a row matches. Early versions covered the answer only."""
    stored: int = row["checksum"]
    return checksum(row) & (-1 if stored >> 32 else 0xFFFFFFFF) == stored


def _is_half_intact(row: Row) -> bool:
    """Whether the request's half of a checksum matches, if the row has that half."""
    stored: int = row["checksum"] >> 32
    return not stored or stored == _request_sum(row)


def _request_sum(row: Row) -> int:
    text = "\0".join([str(row[name]) for name in _REQUEST_SUM_COLUMNS]).encode(
        "utf-8", "surrogatepass"
    )
    return zlib.crc32(row["request_body"], zlib.crc32(text)) >> 1


def _load_timeline(text: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The offsets and the ends of the chunks. Raises ``ValueError``.

    Without its digits the text must be a list of pairs. So the numbers can be read as one flat
    list, in half the time. A number that is too large for an integer is read as a float, which
    ``check_interaction`` refuses for its size.
    """
    content = text.encode("utf-8", "surrogatepass")
    numbers = orjson.loads(b"[%b]" % content.translate(None, b"[]"))
    shape = b",".join([b"[,]"] * (len(numbers) // 2))
    if content.translate(None, b"0123456789") != b"[%b]" % shape:
        raise ValueError("its timeline is not a list of pairs of whole numbers")
    return tuple(numbers[::2]), tuple(numbers[1::2])


def _dump_headers(headers: Headers) -> str:
    pairs = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]
    return orjson.dumps(pairs).decode()


def _load_headers(text: str) -> Headers:
    """The headers of a column. Raises ``ValueError``."""
    pairs = orjson.loads(text)
    if type(pairs) is not list or not {*map(type, pairs)} <= {list}:
        raise ValueError("one of its lists of headers is not a list of pairs")
    try:
        return tuple([(name.encode("latin-1"), value.encode("latin-1")) for name, value in pairs])
    except (AttributeError, ValueError):
        raise ValueError("it has a header that is not a name and a value in Latin-1") from None
