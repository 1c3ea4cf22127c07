"""``Room``: the memory for large replayed answers. A request waits until its share is free.

Without it, recordings of 60 MB that many clients request at once would all be in memory at once.
"""

import asyncio

from replay_proxy.bounds.budget import Budget
from replay_proxy.errors import StoreError

#: Maximum of bytes of large recordings in a process at once.
RECORDINGS_BYTES = 1 << 29
#: How long a request waits for its share of them.
WAIT_S = 60.0


class TooManyLargeAnswers(StoreError):
    """The large recordings that are being sent use all of the memory for large recordings."""

    status = 503
    code = "too_many_large_answers"
    retry = True


class Lease:
    """A share of the room. It is given back when the last reference to it is gone."""

    def __init__(self, room: "Room", size: int) -> None:
        self._room = room
        self._size = size

    def __del__(self) -> None:
        self._room.give(self._size)


class Room:
    """Leases bytes, in the order of the requests for them."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._budget = Budget(size)
        self._turn = asyncio.Lock()
        self._given: asyncio.Future[None] | None = None

    async def lease(self, size: int) -> Lease:
        """Lease ``size`` bytes, or all that there are. Raises ``TooManyLargeAnswers``."""
        size = min(size, self._size)
        try:
            async with asyncio.timeout(WAIT_S), self._turn:
                while not self._budget.take(size):
                    self._given = asyncio.get_running_loop().create_future()
                    await self._given
        except TimeoutError:
            raise TooManyLargeAnswers(
                "Large recordings that are being sent to other clients use all of the "
                f"{self._size >> 20} MiB for them: {size:,} bytes did not become free within "
                f"{WAIT_S:g} s. Send the request again, send fewer of them at once, or read the "
                "answers faster."
            ) from None
        return Lease(self, size)

    def give(self, size: int) -> None:
        """Take back leased bytes."""
        self._budget.give(size)
        if self._given is not None and not self._given.done():
            self._given.set_result(None)
