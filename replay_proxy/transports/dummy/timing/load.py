"""How busy the dummy is: how many answers are in progress, and what that does to their pace.

The model is that of a server that decodes in batches: up to half of its capacity it does not feel
its load; from there on the gap between tokens grows linearly, to twice as long at the capacity;
what comes beyond waits, in order of arrival, until an answer ends. Without a capacity nothing is
ever slower.
"""

import asyncio


class Load:
    """The answers in progress of one process."""

    def __init__(self, capacity: int | None = None) -> None:
        self._capacity = capacity
        self._places = asyncio.Semaphore(capacity) if capacity else None
        self._running = 0

    @property
    def slowdown(self) -> float:
        """What a gap is multiplied with now: 1 to 2."""
        if self._capacity is None:
            return 1.0
        knee = self._capacity / 2
        return 1.0 + max(0.0, self._running - knee) / knee

    async def enter(self) -> None:
        """Wait for a place. Whoever has one gives it back with ``leave``."""
        if self._places is not None:
            await self._places.acquire()
        self._running += 1

    def leave(self) -> None:
        """Make place for the next."""
        self._running -= 1
        if self._places is not None:
            self._places.release()
