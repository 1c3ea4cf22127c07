"""ReqCassette for Elixir: JSON with bodies by type, and the query beside the URL.

Source: ``lib/req_cassette/cassette.ex`` and ``body_type.ex``, formats 1.0 and 2.0. A body that it
has parsed is written as it replays it.
"""

import re
from collections.abc import Iterator, Mapping

from replay_proxy.importers.bodies import body_of, minified, unbase64
from replay_proxy.importers.documents import json_document
from replay_proxy.importers.exchange import Exchange, Misshapen, NotCarried, exchanges_of
from replay_proxy.importers.leftovers import refuse_unread
from replay_proxy.importers.shapes import headers, mapping, sequence, status, text
from replay_proxy.importers.timestamps import moment_us

_INTERACTIONS = re.compile(rb"\A\s*\{[^{\[]*\"interactions\"\s*:\s*\[")
_BODY_TYPE = re.compile(rb"\"body_type\"\s*:\s*\"(?:json|text|blob)\"")
_BODY_KEYS = "body_type body body_json body_blob"


def recognises(file: bytes) -> bool:
    """Whether a file looks like a cassette of ReqCassette."""
    return bool(_INTERACTIONS.match(file) and _BODY_TYPE.search(file))


def read(file: bytes) -> Iterator[Exchange | NotCarried]:
    """The exchanges of a cassette. Raises ``Misshapen``."""
    cassette = mapping(json_document(file), "the file")
    yield from exchanges_of(
        sequence(cassette.get("interactions"), "interactions"), "interaction", _exchange
    )


def _exchange(where: str, item: object) -> Exchange | NotCarried:
    pair = mapping(item, "it")
    template = pair.get("template")
    if isinstance(template, Mapping) and template.get("enabled"):
        raise Misshapen("it is a template for several requests, not one request")
    request = mapping(pair.get("request"), "the request")
    response = mapping(pair.get("response"), "the response")
    refuse_unread(request, f"method uri query_string headers {_BODY_KEYS}", "the request")
    refuse_unread(response, f"status headers {_BODY_KEYS}", "the response")
    url = text(request.get("uri"), "the uri")
    query = text(request.get("query_string") or "", "the query")
    if query:
        url += ("&" if "?" in url else "?") + query
    return Exchange(
        where=where,
        method=text(request.get("method"), "the method"),
        url=url,
        request_headers=headers(request.get("headers"), "the request's headers"),
        request_body=_body(request, "the request's body"),
        status=status(response.get("status")),
        headers=headers(response.get("headers"), "the response's headers"),
        body=_body(response, "the answer's body"),
        recorded_us=moment_us(pair.get("recorded_at")),
    )


def _body(message: Mapping[object, object], what: str) -> bytes | None:
    if "body_json" in message:
        return minified(message["body_json"], what)
    if "body_blob" in message:
        return unbase64(message["body_blob"], what)
    return body_of(message, what)
