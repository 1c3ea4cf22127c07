"""What no recorded interaction can be, whoever made the file that holds it. Pure.

A cassette and a text twin are data from anywhere, and a checksum can be computed anew. What is
refused here would break the HTTP of an answer, or whoever reads it: a line break in a header, a
status that no server sends, chunks that do not add up to the body.
"""

import re
from collections.abc import Sequence

from replay_proxy.cassette import Interaction
from replay_proxy.target import flaw
from replay_proxy.timeline import Timeline
from replay_proxy.wire import HOP_BY_HOP, Headers, Request

#: Microseconds end here: an id holds no later arrival (``interaction_id``).
MOST_US = 2**52
#: Ids are positive and fit into SQLite's integers.
MOST_ID = 2**63
_FINGERPRINT = re.compile("v[0-9]{1,9}:[0-9a-f]{64}")
#: What a name is made of (RFC 9110, section 5.6.2).
_TOKEN_BYTES = b"!#$%&'*+.^_`|~-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_BREAKS = re.compile(b"[\0\r\n]")
#: Statuses without a body.
_BODILESS = frozenset({204, 304})


def check_id(number: int, what: str = "its id") -> None:
    """Raise ``ValueError`` for what cannot be an id."""
    if not 0 < number < MOST_ID:
        raise ValueError(f"{what} is {number}")


def check_us(us: int, what: str) -> None:
    """Raise ``ValueError`` for what cannot be a number of microseconds."""
    if not 0 <= us < MOST_US:
        raise ValueError(f"{what} is {us} µs")


def check_fingerprint(fingerprint: str) -> None:
    """Raise ``ValueError`` for what no request gives."""
    if not _FINGERPRINT.fullmatch(fingerprint):
        raise ValueError(f"its fingerprint is {fingerprint[:80]!r}")


def check_target(request: Request) -> None:
    """Raise ``ValueError`` for a request that would not be served."""
    if cause := flaw(request.method, request.path, request.query):
        raise ValueError(cause)


def check_request(request: Request) -> None:
    """Raise ``ValueError`` for a request that cannot have been received, wherever it leads."""
    _check_headers(request.headers)
    check_us(request.arrived_us, "its arrival")


def check_interaction(interaction: Interaction) -> None:
    """Raise ``ValueError`` for an interaction that cannot have been recorded."""
    check_id(interaction.id)
    check_fingerprint(interaction.fingerprint)
    check_request(interaction.request)
    status, headers, body = interaction.status, interaction.headers, interaction.body
    if not 200 <= status <= 599:
        raise ValueError(f"its status is {status}")
    _check_headers(headers)
    if body and status in _BODILESS:
        raise ValueError(f"its status is {status}, and it has a body")
    for name, value in headers:
        lowered = name.lower()
        if lowered in HOP_BY_HOP:
            raise ValueError(f"its header {name.decode('latin-1')} is one of a connection")
        if (
            lowered == b"content-length"
            and value != b"%d" % len(body)
            and interaction.request.method != "HEAD"
        ):
            raise ValueError(f"its content-length is not the body's, {len(body)}")
    _check_timeline(interaction.timeline, len(body))


def _check_headers(headers: Headers) -> None:
    names = [name for name, _ in headers]
    # All of them at once; which one it is, is looked for when one is wrong.
    if b"".join(names).translate(None, _TOKEN_BYTES) or not all(names):
        wrong = next(name for name in names if not name or name.translate(None, _TOKEN_BYTES))
        raise ValueError(f"it has a header of the name {wrong[:80].decode('latin-1')!r}")
    if _BREAKS.search(b"".join([value for _, value in headers])):
        name = next(name for name, value in headers if _BREAKS.search(value))
        raise ValueError(f"its header {name.decode('latin-1')} has a line break")


def _check_timeline(timeline: Timeline, size: int) -> None:
    check_us(timeline.head_us, "the time to its head")
    check_us(timeline.total_us, "the time to its end")
    offsets_us, ends = timeline.offsets_us, timeline.ends
    if not _ascends(offsets_us) or (
        offsets_us and not 0 <= offsets_us[0] <= offsets_us[-1] < MOST_US
    ):
        raise ValueError("its chunks do not come one after another")
    if not _ascends(ends) or (ends and ends[0] < 0) or (ends[-1] if ends else 0) != size:
        raise ValueError(f"its chunks do not add up to the {size} bytes of its body")


def _ascends(numbers: Sequence[int]) -> bool:
    return list(numbers) == sorted(numbers)
