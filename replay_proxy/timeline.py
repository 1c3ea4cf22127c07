"""Time in an answer: the clock, when chunks arrived, and when they are due in replay.

Units: ``_us`` is whole microseconds counted from the moment the request was sent upstream,
``_s`` is seconds. No bytes are kept here, only where each chunk ends.
"""

import asyncio
import math
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Protocol, Self

#: Seconds per tick of the process's clock: no event loop has finer timers.
TICK_S = 0.001


class Clock(Protocol):
    """A monotonic clock that can be waited on. Tests use one that does not wait."""

    def now_s(self) -> float:
        """Seconds since some fixed moment."""
        ...

    async def sleep_until(self, deadline_s: float) -> None:
        """Return at the deadline, or after letting others run when it has passed."""
        ...


class MonotonicClock:
    """The clock of the running process. Everything that waits for the same tick is woken together.

    One timer per tick instead of one per sleeper: thousands of streams wait at once.
    """

    def __init__(self) -> None:
        self._sleepers: dict[int, list[asyncio.Future[None]]] = {}

    def now_s(self) -> float:
        """Seconds of ``time.monotonic``."""
        return time.monotonic()

    async def sleep_until(self, deadline_s: float) -> None:
        """Sleep to an absolute deadline, or up to a tick longer, so that delays do not add up."""
        if deadline_s <= time.monotonic():
            await asyncio.sleep(0)
            return
        loop = asyncio.get_running_loop()
        tick = math.ceil(deadline_s / TICK_S)
        sleeper = loop.create_future()
        if tick in self._sleepers:
            self._sleepers[tick].append(sleeper)
        else:
            self._sleepers[tick] = [sleeper]
            self._wake(loop, tick)
        await sleeper

    def _wake(self, loop: asyncio.AbstractEventLoop, tick: int) -> None:
        """Wake everything that sleeps until this tick, once it has come: a timer may be early."""
        left_s = tick * TICK_S - time.monotonic()
        if left_s > 0:
            loop.call_later(left_s, self._wake, loop, tick)
            return
        for sleeper in self._sleepers.pop(tick):
            if not sleeper.done():  # A cancelled one is done.
                sleeper.set_result(None)


#: A clock that is never set and is the same in all processes of a machine. Where possible, one that
#: also counts the time in which the machine sleeps.
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
#: Readings of both clocks, of which the quickest counts.
_READINGS = 16


def wall_us() -> int:
    """Microseconds since 1970, by the wall clock."""
    return time.time_ns() // 1000


def steady_us() -> int:
    """Microseconds of a clock that is never set and that all processes of a machine share."""
    return time.clock_gettime_ns(_STEADY) // 1000


def own_offset_us() -> int:
    """The wall clock minus the steady one, as this process reads them now.

    A process that is interrupted between the two readings would be late by the length of the
    interruption, and order its requests after another's: the quickest of several readings counts.
    """
    readings = []
    for _ in range(_READINGS):
        before_us, now_us, after_us = steady_us(), wall_us(), steady_us()
        readings.append((after_us - before_us, now_us - before_us))
    return min(readings)[1]


class Arrivals:
    """Stamps requests so that no two stamps of a process are equal and each is later than the last.

    ``now_us`` gives the time: the wall clock, or the steady clock plus an offset that all workers
    of a server share (``since``), which keeps their order when the wall clock is set.
    """

    def __init__(self, now_us: Callable[[], int] = wall_us) -> None:
        self._now_us = now_us
        self._last_us = 0

    @classmethod
    def since(cls, offset_us: int) -> Self:
        """Stamps of the steady clock plus ``offset_us``, the wall clock minus the steady one."""
        return cls(lambda: steady_us() + offset_us)

    def next_us(self) -> int:
        """Microseconds since 1970, more than any stamp before."""
        self._last_us = max(self._now_us(), self._last_us + 1)
        return self._last_us


def chunk_ends(sizes: Iterable[int], start: int = 0) -> list[int]:
    """The ends of chunks of these sizes, the first of which begins at ``start``."""
    return list(accumulate(sizes, initial=start))[1:]


@dataclass(frozen=True, slots=True)
class Timeline:
    """When an answer's head, chunks and end came, and where each chunk ends in the body.

    ``offsets_us[i]`` is when chunk ``i`` was complete, ``ends[i]`` the position just after its
    last byte; both never decrease. ``total_us`` is when the answer was known to be whole.
    """

    head_us: int
    offsets_us: tuple[int, ...]
    ends: tuple[int, ...]
    total_us: int

    @classmethod
    def of_parts(
        cls,
        head_us: int,
        offsets_us: Sequence[int],
        ends: Sequence[int],
        unfinished: Collection[int],
        total_us: int,
    ) -> Self:
        """The timeline of an answer in parts, of which the ``unfinished`` are not a whole chunk.

        Parts are numbered from 0. The part after an unfinished one is of the same chunk.
        """
        if unfinished:
            last = [number for number in range(len(ends)) if number not in unfinished]
            offsets_us = [offsets_us[number] for number in last]
            ends = [ends[number] for number in last]
        return cls(head_us, tuple(offsets_us), tuple(ends), total_us)

    def chunks(self, body: bytes) -> Iterator[tuple[int, bytes]]:
        """Each chunk's offset and bytes."""
        start = 0
        for offset_us, end in zip(self.offsets_us, self.ends, strict=True):
            yield offset_us, body[start:end]
            start = end


@dataclass(frozen=True, slots=True)
class Pacing:
    """The speed of replay: 0 is instant, 1 as recorded, N is N times as fast."""

    speed: float

    @property
    def instant(self) -> bool:
        """Whether replay does not wait at all."""
        return self.speed == 0

    def due_s(self, start_s: float, offset_us: int) -> float:
        """When to send what came ``offset_us`` after its request, if that comes at ``start_s``."""
        return start_s + offset_us / 1e6 / self.speed if self.speed else start_s
