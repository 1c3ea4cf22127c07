"""Checks that an interaction can have been recorded, whoever made its file. Pure.

A cassette and a text twin are data from anywhere, and anybody can compute a checksum. What is
refused here would break the HTTP of an answer, or its reader: a line break in a header, a status
that no server sends, chunks that do not add up to the body.
"""

import re
from collections.abc import Sequence
from functools import lru_cache

from replay_proxy.cassette import Interaction
from replay_proxy.target import flaw
from replay_proxy.timeline import Timeline
from replay_proxy.wire import HOP_BY_HOP, Headers, Request

#: Bound on microseconds: an id cannot hold a later arrival (``interaction_id``).
MOST_US = 2**52
#: Bound on ids, which are positive and fit into SQLite's integers.
MOST_ID = 2**63
_FINGERPRINT = re.compile("v[0-9]{1,9}:[0-9a-f]{64}")
#: Characters of a header's name (RFC 9110, section 5.6.2).
_TOKEN_BYTES = b"!#$%&'*+.^_`|~-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#: Headers whose presence or value is checked.
_SPECIAL = HOP_BY_HOP | {b"content-length"}
#: Maximum length of a cached list of names.
_CACHED = 4096
_BREAKS = re.compile(b"[\0\r\n]")
#: Statuses without a body.
_BODILESS = frozenset({204, 304})


def check_id(number: int, what: str = "its id") -> None:
    """Raise ``ValueError`` for what cannot be an id."""
    if not 0 < number < MOST_ID:
        raise ValueError(f"{what} is {number}")


def check_us(us: int, what: str) -> None:
    """Raise ``ValueError`` for what cannot be a time in microseconds."""
    if not 0 <= us < MOST_US:
        raise ValueError(f"{what} is {us} µs")


def check_fingerprint(fingerprint: str) -> None:
    """Raise ``ValueError`` for what cannot be a fingerprint."""
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
    special = _check_headers(headers)
    if body and status in _BODILESS:
        raise ValueError(f"its status is {status}, and it has a body")
    if special:
        _check_special(special, interaction)
    _check_timeline(interaction.timeline, len(body))


def _check_headers(headers: Headers) -> frozenset[bytes]:
    """Which of ``_SPECIAL`` are there. Raises ``ValueError`` for headers that HTTP cannot carry.

    All headers are checked at once; only if that fails, the wrong one is searched for.
    """
    if not headers:
        return frozenset()
    names = b"\n".join([name for name, _ in headers])
    special = _special(names) if len(names) < _CACHED else _special.__wrapped__(names)
    if special is None or names.count(b"\n") != len(headers) - 1:
        wrong = next(name for name, _ in headers if not name or name.translate(None, _TOKEN_BYTES))
        raise ValueError(f"it has a header named {wrong[:80].decode('latin-1')!r}")
    values = b"".join([value for _, value in headers])
    if b"\n" in values or b"\r" in values or b"\0" in values:
        name = next(name for name, value in headers if _BREAKS.search(value))
        raise ValueError(f"its header {name.decode('latin-1')} has a line break")
    return special


@lru_cache(maxsize=256)  # Answers of one upstream have the same few lists of names.
def _special(names: bytes) -> frozenset[bytes] | None:
    """Which of ``_SPECIAL`` are among the names, one per line; None if one is not a name."""
    lines = names.lower().split(b"\n")
    if not all(lines) or b"".join(lines).translate(None, _TOKEN_BYTES):
        return None
    return _SPECIAL.intersection(lines)


def _check_special(special: frozenset[bytes], interaction: Interaction) -> None:
    """Raise ``ValueError`` for a hop-by-hop header, or for a length that is not the body's."""
    for name in special & HOP_BY_HOP:
        raise ValueError(f"its header {name.decode('latin-1')} belongs to a connection")
    if interaction.request.method == "HEAD":
        return
    length = b"%d" % len(interaction.body)
    for name, value in interaction.headers:
        if value != length and name.lower() == b"content-length":
            raise ValueError(f"its content-length is not {len(interaction.body)}, its body's")


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
