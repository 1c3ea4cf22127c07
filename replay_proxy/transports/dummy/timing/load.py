"""The dummy's load: the number of answers in progress, and how much it slows them down.

The model is a server that decodes in batches. Up to half of its capacity, load has no effect.
Beyond that, the gap between tokens grows linearly, to twice its length at the capacity. Further
requests wait, in order of arrival, until an answer ends. Without a capacity nothing slows down.

Not in here: the pace itself (``tempo``).
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
        """The factor by which gaps are longer now: 1 to 2."""
        if self._capacity is None:
            return 1.0
        knee = self._capacity / 2
        return 1.0 + max(0.0, self._running - knee) / knee

    async def enter(self) -> None:
        """Wait for a place. The caller gives it back with ``leave``."""
        if self._places is not None:
            await self._places.acquire()
        self._running += 1

    def leave(self) -> None:
        """Give a place back."""
        self._running -= 1
        if self._places is not None:
            self._places.release()
