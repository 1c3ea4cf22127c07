"""Answers with a provenance, for tests of the code that wraps a transport."""

from replay_proxy.wire import Chunks, Headers, Provenance, Response, Source

UPSTREAM = Provenance(Source.UPSTREAM, "v1:0", 1)


def answered(
    status: int, headers: Headers, body: bytes | Chunks, provenance: Provenance = UPSTREAM
) -> Response:
    """An answer that names its source."""
    return Response(status, headers, body, provenance=provenance)


def fault_of(response: Response) -> str:
    """The name of the fault in the answer; empty if there is none."""
    assert response.provenance is not None
    return response.provenance.fault or ""
