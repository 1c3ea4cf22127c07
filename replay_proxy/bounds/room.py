"""``Room``: memory for the large answers that are replayed; whoever needs more than is free waits.

Recordings of 60 MB that many clients ask for at once would otherwise all be in memory at once.
"""

import asyncio

from replay_proxy.bounds.budget import Budget
from replay_proxy.errors import StoreError

#: The bytes of large recordings that a process holds at once.
RECORDINGS_BYTES = 1 << 29
#: How long a request waits for its share of them.
WAIT_S = 60.0


class TooManyLargeAnswers(StoreError):
    """The large recordings that are being sent take all the memory that there is for them."""

    status = 503
    code = "too_many_large_answers"
    retry = True


class Lease:
    """A share of the room, given back when nothing refers to it any more."""

    def __init__(self, room: "Room", size: int) -> None:
        self._room = room
        self._size = size

    def __del__(self) -> None:
        self._room.give(self._size)


class Room:
    """Leases bytes, in the order in which they are asked for."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._budget = Budget(size)
        self._turn = asyncio.Lock()
        self._given: asyncio.Future[None] | None = None

    async def lease(self, size: int) -> Lease:
        """So many bytes, or all that there are. Raises ``TooManyLargeAnswers``."""
        size = min(size, self._size)
        try:
            async with asyncio.timeout(WAIT_S), self._turn:
                while not self._budget.take(size):
                    self._given = asyncio.get_running_loop().create_future()
                    await self._given
        except TimeoutError:
            raise TooManyLargeAnswers(
                f"Large recordings are being sent to other clients, and the proxy holds "
                f"{self._size >> 20} MiB of them at once: there was no room for {size:,} bytes "
                f"within {WAIT_S:g} s. Ask again, ask for fewer of them at once, or read the "
                "answers faster."
            ) from None
        return Lease(self, size)

    def give(self, size: int) -> None:
        """Take back what was leased."""
        self._budget.give(size)
        if self._given is not None and not self._given.done():
            self._given.set_result(None)
