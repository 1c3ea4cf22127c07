"""go-vcr (github.com/dnaeon/go-vcr) versions 1 to 4, whose files say ``version: 1`` or ``2``.

Source: ``pkg/cassette/cassette.go``; fields that are empty may be left out.
"""

from collections.abc import Iterator

from replay_proxy.importers.documents import document
from replay_proxy.importers.exchange import Exchange, NotCarried, each
from replay_proxy.importers.shapes import content, headers, integer, mapping, sequence, text
from replay_proxy.importers.timestamps import go_duration_us
from replay_proxy.importers.vcr.vcrpy import names_address


def recognises(file: bytes) -> bool:
    """Whether a file looks like a cassette of go-vcr."""
    return names_address(file) == b"url"


def read(file: bytes) -> Iterator[Exchange | NotCarried]:
    """The exchanges of a cassette. Raises ``Misshapen``."""
    cassette = mapping(document(file), "the file")
    interactions = sequence(cassette.get("interactions") or [], "interactions")
    yield from each(interactions, "interaction", _exchange)


def _exchange(where: str, item: object) -> Exchange | NotCarried:
    pair = mapping(item, "it")
    request = mapping(pair.get("request"), "the request")
    response = mapping(pair.get("response"), "the response")
    return Exchange(
        where=where,
        method=text(request.get("method") or "GET", "the method"),
        url=text(request.get("url"), "the url"),
        request_headers=headers(request.get("headers"), "the request's headers"),
        request_body=content(request.get("body"), "the request's body"),
        status=integer(response.get("code", response.get("status")), "the status"),
        headers=headers(response.get("headers"), "the response's headers"),
        body=content(response.get("body"), "the answer's body"),
        took_us=go_duration_us(response.get("duration")),
    )
