"""VCR for Ruby, in YAML or JSON, and betamax for Python, which writes the same.

Source: ``lib/vcr/structs.rb``. A body is a text with the name of its encoding.
"""

import re
from collections.abc import Iterator

from replay_proxy.importers.bodies import body_of
from replay_proxy.importers.documents import document
from replay_proxy.importers.exchange import Exchange, NotCarried, exchanges_of
from replay_proxy.importers.leftovers import refuse_unread
from replay_proxy.importers.shapes import headers, mapping, sequence, status, text
from replay_proxy.importers.timestamps import moment_us

_INTERACTIONS = re.compile(
    rb"^:?http_interactions:|\A\s*\{[^{\[]*\"http_interactions\"\s*:", re.MULTILINE
)


def recognises(file: bytes) -> bool:
    """Whether a file looks like a cassette of VCR."""
    return bool(_INTERACTIONS.search(file))


def read(file: bytes) -> Iterator[Exchange | NotCarried]:
    """The exchanges of a cassette. Raises ``Misshapen``."""
    cassette = mapping(document(file), "the file")
    interactions = cassette.get("http_interactions", cassette.get(":http_interactions"))
    yield from exchanges_of(
        sequence(interactions or [], "http_interactions"), "interaction", _exchange
    )


def _exchange(where: str, item: object) -> Exchange | NotCarried:
    pair = mapping(item, "it")
    request = mapping(pair.get("request"), "the request")
    response = mapping(pair.get("response"), "the response")
    refuse_unread(request, "method uri headers body", "the request")
    refuse_unread(response, "status headers body", "the response")
    refuse_unread(pair, "request response", "it")
    return Exchange(
        where=where,
        method=text(request.get("method"), "the method").lstrip(":"),
        url=text(request.get("uri"), "the uri"),
        request_headers=headers(request.get("headers"), "the request's headers"),
        request_body=body_of(request, "the request's body"),
        status=status(response.get("status")),
        headers=headers(response.get("headers"), "the response's headers"),
        body=body_of(response, "the answer's body"),
        recorded_us=moment_us(pair.get("recorded_at")),
    )
