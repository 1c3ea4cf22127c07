"""How an answer says where it comes from, and how an error is worded on the wire. Pure.

Every answer carries ``x-replay-source``, the fingerprint of its request and, where one is
involved, the interaction; ``Cache-Status`` says the same to tools that know RFC 9211.
"""

from enum import StrEnum

import orjson

from replay_proxy.errors import ReplayProxyError
from replay_proxy.wire import Headers, Response


class Source(StrEnum):
    """Where an answer comes from."""

    UPSTREAM = "upstream"
    CASSETTE = "cassette"
    DUMMY = "dummy"
    REFUSED = "refused"
    FAULT = "fault"


_CACHE_STATUS = {
    Source.UPSTREAM: "fwd=miss",
    Source.CASSETTE: "hit",
    Source.DUMMY: "detail=dummy",
    Source.REFUSED: "detail=refused",
    Source.FAULT: "detail=fault",
}


def provenance(source: Source, fingerprint: str, interaction_id: int | None = None) -> Headers:
    """The response headers that name the source of an answer."""
    headers = [
        (b"x-replay-source", source.encode()),
        (b"x-replay-fingerprint", fingerprint.encode()),
    ]
    if interaction_id is not None:
        headers.append((b"x-replay-interaction", str(interaction_id).encode()))
    status = f'replay-proxy; {_CACHE_STATUS[source]}; key="{fingerprint}"'
    headers.append((b"cache-status", status.encode()))
    return tuple(headers)


def error_response(error: ReplayProxyError, headers: Headers = ()) -> Response:
    """The error in OpenAI's shape: ``{"error": {"message", "type", "param", "code", …}}``.

    ``x-should-retry`` keeps the OpenAI SDKs from asking again where that cannot help.
    """
    body = {
        "error": {
            "message": error.message,
            "type": error.type,
            "param": error.param,
            "code": error.code,
            **error.details,
        }
    }
    content = orjson.dumps(body) + b"\n"
    return Response(
        error.status,
        (
            (b"content-type", b"application/json"),
            (b"content-length", str(len(content)).encode()),
            (b"x-should-retry", b"true" if error.retry else b"false"),
            *headers,
        ),
        content,
    )
