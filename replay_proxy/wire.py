"""The types that the parts exchange: ``Request``, ``Response``, ``Transport``; and header rules.

A response carries its source as a ``Provenance``; the headers that show it exist only on the
connection to the client.

These are our own types, with bytes: no object of a framework or an HTTP client is passed from one
part to another, so each of them can be replaced in one file. Not in here: waiting and I/O.
"""

from collections.abc import AsyncIterator, Hashable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

#: Header fields in order, with repeats, names in lower case.
Headers = tuple[tuple[bytes, bytes], ...]

#: RFC 9110, section 7.6.1, and the older names that are still sent.
HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)

#: Fields that select the answer to a GET or HEAD: a range of it, or only that the client's copy is
#: current (RFC 9110, sections 13.1 and 14).
SELECTING_FIELDS = frozenset(
    {
        b"if-match",
        b"if-modified-since",
        b"if-none-match",
        b"if-range",
        b"if-unmodified-since",
        b"range",
    }
)
#: The methods for which these fields are defined.
SELECTING_METHODS = frozenset({"GET", "HEAD"})


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it arrived.

    ``path`` and ``query`` are raw (percent-encoded, the query without its ``?``).
    ``arrived_us`` is the wall clock at arrival, in microseconds since 1970, and different for
    every request of a process: recordings are ordered by it. ``memo`` holds what was computed
    already (its fingerprints, its model, the JSON of a small body), so that it is read once.
    """

    method: str
    path: str
    query: str
    headers: Headers
    body: bytes
    arrived_us: int = 0
    memo: dict[Hashable, Any] = field(default_factory=dict, init=False, repr=False, compare=False)


class ChunkRest(bytes):
    """A part of an HTTP chunk that continues the part before it: they are one chunk."""


class Chunks(Protocol):
    """A body that is still coming: chunks as they are due.

    One that ends by raising has broken off. Its consumer closes it when it stops early.
    """

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    async def aclose(self) -> None:
        """Stop: nothing more is read."""
        ...


class Source(StrEnum):
    """Where an answer comes from."""

    UPSTREAM = "upstream"
    CASSETTE = "cassette"
    DUMMY = "dummy"
    REFUSED = "refused"
    FAULT = "fault"


#: The parameter of ``Cache-Status`` (RFC 9211) for each source.
_CACHE_STATUS = {
    Source.UPSTREAM: "fwd=miss",
    Source.CASSETTE: "hit",
    Source.DUMMY: "detail=dummy",
    Source.REFUSED: "detail=refused",
    Source.FAULT: "detail=fault",
}


_ON_THE_WIRE = {
    source: (source.encode(), f"replay-proxy; {status}".encode())
    for source, status in _CACHE_STATUS.items()
}


class Provenance(NamedTuple):
    """Where an answer comes from, and what was done to it.

    ``interaction`` is the id under which the answer is stored, ``match`` the rule that found it,
    ``fault`` the fault that altered or replaced it, ``loss`` the code of the reason for which it is
    not stored. ``waits`` are the recorded values, under names of ours, of headers that tell a
    client to wait and were shortened.
    """

    source: Source
    fingerprint: str
    interaction: int | None = None
    match: str | None = None
    waits: Headers = ()
    fault: str | None = None
    loss: str | None = None

    def headers(self) -> Headers:
        """The response headers that show a client all of this."""
        source, cache_status = _ON_THE_WIRE[self.source]
        fingerprint = self.fingerprint.encode()
        fields: Headers = ((b"x-replay-source", source), (b"x-replay-fingerprint", fingerprint))
        if self.interaction is not None:
            fields += ((b"x-replay-interaction", b"%d" % self.interaction),)
        fields += ((b"cache-status", b'%b; key="%b"' % (cache_status, fingerprint)),)
        if self.match is not None:
            fields += ((b"x-replay-match", self.match.encode()),)
        if self.fault is not None:
            return (*fields, *self.waits, (b"x-replay-fault", self.fault.encode()))
        if self.loss is not None:
            return (*fields, *self.waits, (b"x-replay-loss", self.loss.encode()))
        return fields + self.waits if self.waits else fields


class Response(NamedTuple):
    """One answer: a status, headers, and a body that is whole (``bytes``) or still coming.

    ``sent_s`` is when the request left for the upstream, on the process's monotonic clock.
    ``provenance`` is None only between the upstream and the recorder.
    """

    status: int
    headers: Headers
    body: bytes | Chunks
    sent_s: float = 0.0
    provenance: Provenance | None = None


class Transport(Protocol):
    """Everything that answers a request."""

    async def handle(self, request: Request) -> Response:
        """Answer the request. Raises ``ReplayProxyError`` when there is no answer."""
        ...

    async def aclose(self, drain_s: float | None = None) -> None:
        """Finish what is under way within ``drain_s``, and release everything.

        None means ``DRAIN_S``. Each wrapper passes this on, but not to transports that others use
        too.
        """
        ...

    def rewind(self) -> None:
        """Start the order of answers, and all counts, over. Each wrapper passes this on."""
        ...


def header(headers: Headers, name: bytes) -> bytes | None:
    """The first value of a header, or None. ``name`` is in lower case."""
    for key, value in headers:
        if key == name:
            return value
    return None


def selecting_fields(request: Request) -> Headers:
    """The fields of a GET or HEAD that choose its answer."""
    if request.method not in SELECTING_METHODS:
        return ()
    return tuple(pair for pair in request.headers if pair[0] in SELECTING_FIELDS)


def is_event_stream(headers: Headers) -> bool:
    """Whether a body is a stream of server-sent events, by its ``content-type``."""
    media_type = header(headers, b"content-type")
    return media_type is not None and media_type.lower().startswith(b"text/event-stream")


def end_to_end(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """The headers without those that belong to one connection, names in lower case.

    Dropped are the hop-by-hop fields and every field that ``Connection`` names
    (RFC 9110, section 7.6.1).
    """
    lowered = tuple((name.lower(), value) for name, value in headers)
    connection_fields = {
        token.strip().lower()
        for name, value in lowered
        if name == b"connection"
        for token in value.split(b",")
    }
    dropped = HOP_BY_HOP | connection_fields if connection_fields else HOP_BY_HOP
    return tuple(pair for pair in lowered if pair[0] not in dropped)
