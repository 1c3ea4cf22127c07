"""nock for Node: the definitions that its recorder and ``nock.back`` write.

Source: ``lib/recorder.js`` of nock 8 to 14. A body is parsed if it is JSON, a text if it is UTF-8,
and hexadecimal otherwise; an answer with a content-encoding is a list of its pieces in hexadecimal.
"""

import re
from collections.abc import Iterator, Mapping

from replay_proxy.importers.bodies import encoded, minified
from replay_proxy.importers.documents import json_document
from replay_proxy.importers.exchange import Exchange, Misshapen, NotCarried, exchanges_of
from replay_proxy.importers.leftovers import refuse_unread
from replay_proxy.importers.shapes import headers, integer, mapping, sequence, text, utf8
from replay_proxy.wire import Headers, header

_LIST = re.compile(rb"\A\s*\[\s*\{")
_SCOPE = re.compile(rb"\"scope\"\s*:\s*\"https?:")
_HEX = re.compile(r"(?:[0-9a-fA-F]{2})+")
_KEYS = (
    "scope method path body status reply response rawHeaders headers reqheaders responseIsBinary"
)


def recognises(file: bytes) -> bool:
    """Whether a file looks like definitions of nock."""
    return bool(_LIST.match(file) and _SCOPE.search(file)) and b'"path"' in file


def read(file: bytes) -> Iterator[Exchange | NotCarried]:
    """The exchanges of a list of definitions. Raises ``Misshapen``."""
    yield from exchanges_of(sequence(json_document(file), "the file"), "definition", _exchange)


def _exchange(where: str, item: object) -> Exchange | NotCarried:
    definition = mapping(item, "it")
    refuse_unread(definition, _KEYS, "it")
    response_headers = _fields(definition.get("rawHeaders", definition.get("headers")))
    scope, path = (text(definition.get(key), f"the {key}") for key in ("scope", "path"))
    return Exchange(
        where=where,
        method=text(definition.get("method") or "GET", "the method"),
        url=scope + path,
        request_headers=headers(definition.get("reqheaders"), "the request's headers"),
        request_body=_request_body(definition),
        status=integer(definition.get("status", definition.get("reply")), "the status"),
        headers=response_headers,
        body=_answer_body(definition, response_headers),
    )


def _fields(value: object) -> Headers:
    """Headers from a mapping, or from Node's list in which names and values take turns."""
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        if len(value) % 2:
            raise Misshapen("the response's headers are a name without a value")
        value = [list(pair) for pair in zip(value[::2], value[1::2], strict=True)]
    return headers(value, "the response's headers")


def _request_body(definition: Mapping[object, object]) -> bytes | None:
    if definition.get("body") == "*":
        raise Misshapen("it holds no whole request: any body matches it")
    return _body(definition.get("body"), "the request's body")


def _answer_body(definition: Mapping[object, object], response_headers: Headers) -> bytes | None:
    value, what = definition.get("response"), "the answer's body"
    if isinstance(value, list) and header(response_headers, b"content-encoding") is not None:
        pieces = [text(piece, what) for piece in value]
        if all(_HEX.fullmatch(piece) for piece in pieces):
            return bytes.fromhex("".join(pieces))
    if isinstance(value, str) and definition.get("responseIsBinary") is not None:
        is_binary = definition["responseIsBinary"] is True
        return encoded(value, "hex", what) if is_binary else utf8(value, what)
    return _body(value, what)


def _body(value: object, what: str) -> bytes | None:
    """A body. Hexadecimal that decodes to UTF-8 is the text itself: nock would write the latter."""
    if value is None:
        return None
    if not isinstance(value, str):
        return minified(value, what)
    if _HEX.fullmatch(value):
        data = bytes.fromhex(value)
        try:
            data.decode()
        except UnicodeDecodeError:
            return data
    return utf8(value, what)
