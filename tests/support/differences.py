"""How an answer or a request that passed the proxy differs from the recorded one. Pure."""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import accumulate

from tests.support.corpus import CONNECTION_LEVEL, Pairs, Record, without
from tests.support.rawclient import RawAnswer
from tests.support.script import Received

#: Headers that a client adds itself, and that a proxy may change.
PER_HOP = CONNECTION_LEVEL | {b"host", b"accept-encoding", b"authorization"}


def of_answers(
    record: Record, pieces: Sequence[bytes], headers: Pairs, answer: RawAnswer
) -> list[str]:
    """The differences between the recorded answer, cut into ``pieces``, and the received one."""
    found = []
    if answer.status != record.status:
        found.append(f"status: {record.status} sent, {answer.status} received")
    received = end_to_end(answer.headers)
    if answer.header(b"x-replay-source") == b"cassette":
        received = _with_waits(received, headers)
    if received != headers:
        found.append(f"headers: {differing(headers, received)}")
    if answer.body != record.response_body:
        sent = len(record.response_body)
        found.append(f"body: {sent} bytes sent, {len(answer.body)} received")
    elif answer.framing == "chunked" and answer.chunks != list(pieces):
        found.append(f"chunks: {borders(pieces, answer.chunks)}")
    if answer.framing != record.framing:
        found.append(f"framing: {record.framing} sent, {answer.framing} received")
    if not answer.clean:
        found.append(f"end: cut ({answer.fault})")
    return found


def of_requests(record: Record, sent: Pairs, received: Received | None) -> list[str]:
    """The differences between the request that was sent and the one that the upstream received."""
    if received is None:
        return ["request: upstream did not get it"]
    found = []
    if (received.method, received.target) != (record.method, record.target):
        found.append(f"request: {received.method} {received.target} received")
    if received.body != record.request_body:
        found.append(f"request: body of {len(received.body)} bytes received")
    hop = PER_HOP - {b"authorization"}  # The key of the client reaches the API.
    headers, got = without(sent, hop), without(received.headers, hop)
    if headers != got:
        found.append(f"request headers: {differing(headers, got)}")
    return found


def end_to_end(headers: Iterable[tuple[bytes, bytes]]) -> Pairs:
    """The headers without those of the connection and without the proxy's own."""
    kept = without(headers, CONNECTION_LEVEL | {b"cache-status"})
    return tuple(pair for pair in kept if not pair[0].startswith(b"x-replay-"))


def _with_waits(received: Pairs, recorded: Pairs) -> Pairs:
    """Undo the zeros of an instant replay's ``retry-after``: they are not a difference."""
    waits = {name: value for name, value in recorded if name in (b"retry-after", b"retry-after-ms")}
    return tuple(
        (name, waits.get(name, value) if value == b"0" else value) for name, value in received
    )


def borders(sent: Sequence[bytes], got: Sequence[bytes]) -> str:
    """How the boundaries of chunks with the same bytes differ."""
    was, became = ({*accumulate(map(len, chunks))} for chunks in (sent, got))
    lost, new = len(was - became), len(became - was)
    return f"{len(sent)} sent, {len(got)} received ({lost} borders lost, {new} new)"


def differing(sent: Pairs, got: Pairs) -> str:
    """How two lists of headers differ."""
    lost, new = Counter(sent) - Counter(got), Counter(got) - Counter(sent)
    return f"lost {list(lost)}, new {list(new)}" if lost or new else "order"
