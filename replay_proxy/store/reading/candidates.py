"""Which recorded requests a miss is compared with: the likeliest, up to a bound on their size."""

import heapq
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from replay_proxy.cassette import RecordedRequest
from replay_proxy.store.sqlite import statements

#: Maximum number of distinct requests that are compared, and of their bytes, which the last one may
#: exceed: comparing a megabyte of small JSON values takes 40 ms, of long texts 1 ms.
CANDIDATES, CANDIDATE_BYTES = 24, 1_000_000
#: A recording is compared up to this size, or this many times the size of the request.
COMPARED_BYTES, COMPARED_TIMES = 4_000_000, 4
#: Recordings looked at per feature. A feature that more recordings have says little.
COMMON = 400

Read = Callable[[str, dict[str, Any]], Awaitable[list[Any]]]


async def nearest_requests(
    features: Iterable[str],
    size: int,
    *,
    read: Read,
    request: Callable[[int], Awaitable[RecordedRequest | None]],
) -> dict[str, RecordedRequest]:
    """The requests that share the most features with one of this size, by fingerprint."""
    near: dict[str, RecordedRequest] = {}
    total, largest = 0, max(COMPARED_BYTES, COMPARED_TIMES * size)
    for number in await _likeliest(read, features, 10 * CANDIDATES):
        # An older version has deleted interactions without their features.
        rows = await read(statements.READ_REQUEST_SIZE, {"id": number})
        for fingerprint, length in rows:
            if fingerprint in near or not isinstance(length, int) or length > largest:
                continue
            if (recorded := await request(number)) is not None:
                near[fingerprint] = recorded
                total += length
        if len(near) == CANDIDATES or total > CANDIDATE_BYTES:
            break
    return near


async def _likeliest(read: Read, features: Iterable[str], most: int) -> list[int]:
    """The ids of at most ``most`` recordings, the likeliest first.

    Each feature is worth one vote, which the recordings that have it share.
    """
    votes: defaultdict[int, float] = defaultdict(float)
    for feature in features:
        rows = await read(statements.NEAR, {"feature": f'"{feature}"', "limit": COMMON})
        for row in rows:
            votes[row[0]] += 1 / len(rows)
    return heapq.nlargest(most, votes, key=votes.__getitem__)
