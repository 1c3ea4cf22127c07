"""Answers with a provenance, for tests of what stands above the transport that made them."""

from replay_proxy.wire import Chunks, Headers, Provenance, Response, Source

UPSTREAM = Provenance(Source.UPSTREAM, "v1:0", 1)


def answered(
    status: int, headers: Headers, body: bytes | Chunks, provenance: Provenance = UPSTREAM
) -> Response:
    """An answer that says where it comes from."""
    return Response(status, headers, body, provenance=provenance)


def fault_of(response: Response) -> str:
    """The name of the fault that the answer has met; empty without one."""
    assert response.provenance is not None
    return response.provenance.fault or ""
