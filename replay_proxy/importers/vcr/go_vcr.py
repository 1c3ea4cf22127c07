"""go-vcr (github.com/dnaeon/go-vcr) versions 1 to 4, whose files say ``version: 1`` or ``2``.

Source: ``pkg/cassette/cassette.go``; fields that are empty may be left out.
"""

from collections.abc import Iterator, Mapping

from replay_proxy.importers.bodies import content
from replay_proxy.importers.documents import document
from replay_proxy.importers.exchange import Exchange, NotCarried, exchanges_of
from replay_proxy.importers.leftovers import refuse_unread
from replay_proxy.importers.shapes import headers, integer, mapping, sequence, text
from replay_proxy.importers.timestamps import go_duration_us
from replay_proxy.importers.vcr.vcrpy import names_address


def recognises(file: bytes) -> bool:
    """Whether a file looks like a cassette of go-vcr."""
    return names_address(file) == b"url"


def read(file: bytes) -> Iterator[Exchange | NotCarried]:
    """The exchanges of a cassette. Raises ``Misshapen``."""
    cassette = mapping(document(file), "the file")
    interactions = sequence(cassette.get("interactions") or [], "interactions")
    yield from exchanges_of(interactions, "interaction", _exchange)


def _exchange(where: str, item: object) -> Exchange | NotCarried:
    pair = mapping(item, "it")
    request = mapping(pair.get("request"), "the request")
    response = mapping(pair.get("response"), "the response")
    refuse_unread(request, "method url headers body form", "the request")
    refuse_unread(response, "status code headers body", "the response")
    refuse_unread(pair, "request response", "it")
    return Exchange(
        where=where,
        method=text(request.get("method") or "GET", "the method"),
        url=text(request.get("url"), "the url"),
        request_headers=headers(request.get("headers"), "the request's headers"),
        request_body=_body(request, "the request's body"),
        status=integer(response.get("code", response.get("status")), "the status"),
        headers=headers(response.get("headers"), "the response's headers"),
        body=_body(response, "the answer's body"),
        took_us=go_duration_us(response.get("duration")),
    )


def _body(message: Mapping[object, object], what: str) -> bytes | None:
    """The body. An empty one may be left out, unless ``content_length`` or ``form`` has content."""
    body = content(message.get("body"), what)
    length = message.get("content_length")
    is_lost = (isinstance(length, int) and length > 0) or message.get("form")
    return body if body or not is_lost else None
