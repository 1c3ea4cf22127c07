"""Errors on the wire, in OpenAI's shape. Pure."""

import orjson

from replay_proxy.errors import InvalidRequest, ReplayProxyError
from replay_proxy.wire import Headers, Provenance, Response, Source

#: The provenance of a refusal before the request was read.
REFUSED: Headers = (
    (b"x-replay-source", Source.REFUSED.encode()),
    (b"cache-status", b"replay-proxy; detail=refused"),
)


def error_response(error: ReplayProxyError, provenance: Provenance | None = None) -> Response:
    """The error as an answer: ``{"error": {"message", "type", "param", "code", …}}``.

    ``x-should-retry`` keeps the OpenAI SDKs from a retry that cannot help.
    """
    content = orjson.dumps({"error": error.as_json()}) + b"\n"
    headers: Headers = (
        (b"content-type", b"application/json"),
        (b"content-length", str(len(content)).encode()),
        (b"x-should-retry", b"true" if error.retry else b"false"),
    )
    if isinstance(error, InvalidRequest) and provenance is not None:  # The dummy's.
        number = provenance.fingerprint.partition(":")[2][:32].encode()
        headers += ((b"x-request-id", b"req_" + number), (b"openai-processing-ms", b"0"))
    return Response(error.status, headers, content, provenance=provenance)
