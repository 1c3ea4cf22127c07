"""R's vcr, versions 1 and 2, in YAML or JSON: Ruby's layout with other bodies and statuses.

Source: ``R/serialize-interaction.R`` and ``serialize-body.R`` of ropensci/vcr, ``R/write.R`` of
version 1. Version 2 leaves out missing values, and the request's body unless it matches by the
body. R's ``memCompress`` writes zlib and calls it gzip.
"""

import re
from collections.abc import Iterator, Mapping

from replay_proxy.importers.bodies import content, minified, unbase64
from replay_proxy.importers.documents import document, inflated
from replay_proxy.importers.exchange import Exchange, Misshapen, NotCarried, exchanges_of
from replay_proxy.importers.leftovers import refuse_unread
from replay_proxy.importers.shapes import headers, mapping, sequence, status, text
from replay_proxy.importers.timestamps import moment_us
from replay_proxy.wire import Headers

_INTERACTIONS = re.compile(
    rb"^http_interactions:|\A\s*\{\s*\"http_interactions\"\s*:", re.MULTILINE
)
_RECORDER = re.compile(rb"recorded_with[\"']?\s*:\s*[\"'\[]*(?:VCR-)?vcr/")
_STATUS = re.compile(rb"^ +status: *\d{3} *$|\"status\"\s*:\s*\d{3}\b", re.MULTILINE)
#: The forms of a body; ``encoding`` is always empty, and ``file`` is false for a body in the file.
_BODY_KEYS = "string base64_string raw_gzip body_json encoding file"


def recognises(file: bytes) -> bool:
    """Whether a file looks like a cassette of R's vcr."""
    return bool(_INTERACTIONS.search(file) and (_RECORDER.search(file) or _STATUS.search(file)))


def read(file: bytes) -> Iterator[Exchange | NotCarried]:
    """The exchanges of a cassette. Raises ``Misshapen``."""
    cassette = mapping(document(file), "the file")
    interactions = sequence(cassette.get("http_interactions") or [], "http_interactions")
    yield from exchanges_of(interactions, "interaction", _exchange)


def _exchange(where: str, item: object) -> Exchange | NotCarried:
    pair = mapping(item, "it")
    request = mapping(pair.get("request"), "the request")
    response = mapping(pair.get("response"), "the response")
    refuse_unread(request, "method uri headers body", "the request")
    refuse_unread(response, "status headers body", "the response")
    refuse_unread(pair, "request response", "it")
    return Exchange(
        where=where,
        method=text(request.get("method"), "the method"),
        url=text(request.get("uri"), "the uri"),
        request_headers=headers(request.get("headers"), "the request's headers"),
        request_body=_body(request.get("body"), "the request's body"),
        status=status(response.get("status")),
        headers=_response_headers(response),
        body=_body(response.get("body"), "the answer's body"),
        recorded_us=moment_us(pair.get("recorded_at")),
    )


def _response_headers(response: Mapping[object, object]) -> Headers:
    """The response's headers, without the status line that curl counts among them."""
    fields = headers(response.get("headers"), "the response's headers")
    return tuple(
        field for field in fields if field[0] != b"status" or not field[1].startswith(b"HTTP/")
    )


def _body(value: object, what: str) -> bytes | None:
    if not isinstance(value, Mapping) or not value:
        return content(value, what) if value else None
    if value.get("fields") is not None:
        raise Misshapen(f"{what} is in the file as fields of a form, without its bytes")
    if value.get("file") is True or value.get("on_disk") is not None:
        raise Misshapen(f"{what} is in another file: {value.get('on_disk') or value.get('string')}")
    refuse_unread(value, _BODY_KEYS, what)
    if value.get("raw_gzip") is not None:
        return inflated(unbase64(value["raw_gzip"], what), what)
    if value.get("base64_string") is not None:
        return unbase64(value["base64_string"], what)
    if "body_json" in value:
        return minified(value["body_json"], what)
    string = value.get("string")
    return b"" if string is False else content(string, what)  # Version 1: FALSE if there was none.
