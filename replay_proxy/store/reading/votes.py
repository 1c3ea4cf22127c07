"""Which recordings are likely to be like a request: those that share its rarest features."""

import heapq
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from replay_proxy.store.sqlite import statements

#: Recordings looked at per feature. A feature of more of them than this says little.
COMMON = 400


async def likely(
    read: Callable[[str, dict[str, Any]], Awaitable[list[Any]]],
    features: Iterable[str],
    most: int,
) -> list[int]:
    """The ids of at most so many recordings, the likeliest first.

    Each feature is worth one vote, which the recordings that have it share.
    """
    votes: defaultdict[int, float] = defaultdict(float)
    for feature in features:
        found = await read(statements.NEAR, {"feature": f'"{feature}"', "limit": COMMON})
        for row in found:
            votes[row[0]] += 1 / len(found)
    return heapq.nlargest(most, votes, key=votes.__getitem__)
