"""Azure SDK's test-proxy, and .NET's session records, which have the same layout.

Source: ``RecordEntry.cs``, ``MultipartUtilities.cs`` and ``ContentTypeUtilities.cs`` of
Azure/azure-sdk-tools. JSON bodies are parsed, texts are cut into lines, anything else is base64.
"""

import re
from collections.abc import Iterator, Mapping

from replay_proxy.importers.bodies import dumped, unbase64
from replay_proxy.importers.documents import json_document
from replay_proxy.importers.exchange import Exchange, Misshapen, NotCarried, exchanges_of
from replay_proxy.importers.leftovers import refuse_unread
from replay_proxy.importers.shapes import headers, integer, mapping, sequence, text, utf8
from replay_proxy.wire import Headers, header

_ENTRIES = re.compile(rb"\A\s*\{.*?\"Entries\"\s*:\s*\[", re.DOTALL)
#: Replaces values that are secret or differ each time.
_SANITIZED = b"Sanitized"
#: The prefix of a binary part of a multipart body.
_MARK = "b64:"
_TEXT = re.compile(
    rb"text/.*|application/json.*|application/x-www-form-urlencoded.*"
    rb"|.*(?:json|xml|-urlencoded)|.*; charset=utf-8.*",
    re.IGNORECASE,
)
_KEYS = (
    "RequestUri EncodedRequestUri RequestMethod RequestHeaders RequestBody StatusCode"
    " ResponseHeaders ResponseBody IsTrack1Recording"
)


def recognises(file: bytes) -> bool:
    """Whether a file looks like a recording of the test-proxy."""
    return bool(_ENTRIES.match(file)) and b'"RequestUri"' in file


def read(file: bytes) -> Iterator[Exchange | NotCarried]:
    """The exchanges of a recording. Raises ``Misshapen``."""
    recording = mapping(json_document(file), "the file")
    yield from exchanges_of(sequence(recording.get("Entries"), "Entries"), "entry", _exchange)


def _exchange(where: str, item: object) -> Exchange | NotCarried:
    entry = mapping(item, "it")
    refuse_unread(entry, _KEYS, "it")
    request_headers = _kept_headers(entry.get("RequestHeaders"), "the request's headers")
    response_headers = _kept_headers(entry.get("ResponseHeaders"), "the response's headers")
    return Exchange(
        where=where,
        method=text(entry.get("RequestMethod"), "the method"),
        url=text(entry.get("RequestUri"), "the uri"),
        request_headers=request_headers,
        request_body=_body(entry.get("RequestBody"), request_headers, "the request's body"),
        status=integer(entry.get("StatusCode"), "the status"),
        headers=response_headers,
        body=_body(entry.get("ResponseBody"), response_headers, "the answer's body"),
    )


def _kept_headers(value: object, what: str) -> Headers:
    return tuple(field for field in headers(value, what) if field[1] != _SANITIZED)


def _body(value: object, fields: Headers, what: str) -> bytes | None:
    media = header(fields, b"content-type") or b""
    match value:
        case None:
            return None
        case list() if media.lower().startswith(b"multipart/"):
            return b"".join(_part(piece, what) for piece in value)
        case list():
            return utf8("".join(text(line, what) for line in value), what)
        case str() if _TEXT.fullmatch(media):
            return utf8(value, what)
        case str() if not media:
            return _perhaps_base64(value, what)
        case str():
            return unbase64(value, what)
        case Mapping() | bool() | int() | float():
            return dumped(value, what)
    raise Misshapen(f"{what} is neither a text nor JSON")


def _part(piece: object, what: str) -> bytes:
    """A line of a multipart body, or the whole content of a part that is not a text."""
    if piece == []:
        return b""
    line = text(piece, what)
    return unbase64(line.removeprefix(_MARK), what) if line.startswith(_MARK) else utf8(line, what)


def _perhaps_base64(value: str, what: str) -> bytes:
    """A body whose media type was not kept: base64 by the rules, if it is valid."""
    try:
        return unbase64(value, what)
    except Misshapen:
        return utf8(value, what)
