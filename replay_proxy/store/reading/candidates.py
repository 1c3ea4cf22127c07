"""Which recorded requests a miss is compared with: the likeliest, up to a bound on their size."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from replay_proxy.cassette import RecordedRequest
from replay_proxy.store.reading.votes import likely
from replay_proxy.store.sqlite import statements

#: So many different requests are compared at the most, and so many bytes of them, but for the last
#: one: a megabyte of small JSON values takes 40 ms to compare, of long texts 1 ms.
CANDIDATES, CANDIDATE_BYTES = 24, 1_000_000
#: A recording is compared if it is at most so large, or so many times as large as the request.
COMPARED_BYTES, COMPARED_TIMES = 4_000_000, 4


async def near_requests(
    features: Iterable[str],
    size: int,
    *,
    read: Callable[[str, dict[str, Any]], Awaitable[list[Any]]],
    request: Callable[[int], Awaitable[RecordedRequest | None]],
) -> dict[str, RecordedRequest]:
    """Requests that share the most features with one of this size, by fingerprint."""
    near: dict[str, RecordedRequest] = {}
    total, largest = 0, max(COMPARED_BYTES, COMPARED_TIMES * size)
    for number in await likely(read, features, 10 * CANDIDATES):
        # There is no row for one that an older version has deleted.
        found = await read(statements.READ_REQUEST_SIZE, {"id": number})
        for known, length in found:
            if known in near or not isinstance(length, int) or length > largest:
                continue
            if (recorded := await request(number)) is not None:
                near[known] = recorded
                total += length
        if len(near) == CANDIDATES or total > CANDIDATE_BYTES:
            break
    return near
