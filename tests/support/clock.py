"""Clocks for tests, which never sleep: one passes time when every task waits, one at once."""

import asyncio
import heapq
from itertools import count


class FakeClock:
    """Starts at 1,000 s and jumps to the next deadline once nothing else can run.

    ``drive`` makes it jump; without it no sleeper wakes.
    """

    def __init__(self) -> None:
        self._now_s = 1000.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._number = count()

    def now_s(self) -> float:
        return self._now_s

    async def sleep_until(self, deadline_s: float) -> None:
        sleeper = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (deadline_s, next(self._number), sleeper))
        await sleeper

    async def drive(self) -> None:
        """Wake the sleepers in the order of their deadlines, for ever."""
        while True:
            for _ in range(10):  # let every task run that can
                await asyncio.sleep(0)
            if self._sleepers:
                deadline_s, _, sleeper = heapq.heappop(self._sleepers)
                self._now_s = max(self._now_s, deadline_s)
                if not sleeper.done():
                    sleeper.set_result(None)


class InstantClock:
    """Waiting takes no time, and ``waits`` lists each wait in seconds."""

    def __init__(self) -> None:
        self.now = 0.0
        self.waits: list[float] = []

    def now_s(self) -> float:
        return self.now

    async def sleep_until(self, deadline_s: float) -> None:
        self.waits.append(round(deadline_s - self.now, 6))
        self.now = max(self.now, deadline_s)
