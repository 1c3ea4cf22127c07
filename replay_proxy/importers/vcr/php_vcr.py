"""php-vcr, in YAML or JSON: a list of pairs, without the keys whose value is empty.

Source: ``src/VCR/Request.php``, ``Response.php`` and ``Storage/`` of php-vcr 1.
"""

import re
from collections.abc import Iterator, Mapping

from replay_proxy.importers.bodies import content, unbase64
from replay_proxy.importers.documents import core_document, json_document
from replay_proxy.importers.exchange import Exchange, Misshapen, NotCarried, exchanges_of
from replay_proxy.importers.leftovers import refuse_unread
from replay_proxy.importers.shapes import headers, mapping, sequence, status, text
from replay_proxy.wire import Headers, header

_YAML = re.compile(rb"\A\s*(?:---\s+)?-\s+[\"']?request[\"']?:\s+method:[^\n]+\s+url:")
_JSON = re.compile(rb"\A\s*\[\s*\{\s*\"request\"\s*:\s*\{\s*\"method\"\s*:\s*\"\w+\"\s*,\s*\"url\"")


def recognises(file: bytes) -> bool:
    """Whether a file looks like a cassette of php-vcr."""
    return bool(_YAML.match(file) or _JSON.match(file))


def read(file: bytes) -> Iterator[Exchange | NotCarried]:
    """The exchanges of a cassette. Raises ``Misshapen``."""
    is_json = file.lstrip()[:1] == b"["
    recordings = json_document(file) if is_json else core_document(file)
    yield from exchanges_of(sequence(recordings, "the file"), "recording", _exchange)


def _exchange(where: str, item: object) -> Exchange | NotCarried:
    pair = mapping(item, "it")
    request = mapping(pair.get("request"), "the request")
    response = mapping(pair.get("response"), "the response")
    refuse_unread(request, "method url headers body post_fields post_files", "the request")
    refuse_unread(response, "status headers body", "the response")
    refuse_unread(pair, "request response", "it")
    response_headers = headers(response.get("headers"), "the response's headers")
    return Exchange(
        where=where,
        method=text(request.get("method"), "the method"),
        url=text(request.get("url"), "the url"),
        request_headers=headers(request.get("headers"), "the request's headers"),
        request_body=_request_body(request),
        status=status(response.get("status", 200)),
        headers=response_headers,
        body=_body(response, response_headers),
    )


def _request_body(request: Mapping[object, object]) -> bytes:
    body = content(request.get("body"), "the request's body")
    if not body and (request.get("post_fields") or request.get("post_files")):
        raise Misshapen("the request's body is in the file as fields of a form, without its bytes")
    return body


def _body(response: Mapping[object, object], response_headers: Headers) -> bytes:
    """The answer's body, which is in base64 if its headers say that it is binary."""
    media = header(response_headers, b"content-type") or b""
    is_binary = header(response_headers, b"content-transfer-encoding") == b"binary"
    if is_binary or b"application/x-gzip" in media:
        return unbase64(response.get("body") or "", "the answer's body")
    return content(response.get("body"), "the answer's body")
