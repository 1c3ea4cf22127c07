"""``Patience``: waits for a cassette that another process has locked, without blocking.

SQLite can wait by itself, but only on the thread that reads, which is the event loop's.
"""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from replay_proxy.bounds.side_thread import SIDE_THREAD_BYTES, SideThread
from replay_proxy.errors import CassetteInUse

_Result = TypeVar("_Result")

#: How long a request waits for a lock, and the pause between its attempts.
WAIT_S, TRY_S = 10.0, 0.02


class Patience:
    """Repeats attempts that meet a lock, in the order in which they came to each cassette."""

    def __init__(self) -> None:
        self._queues: dict[Path, _Queue] = {}

    async def run(self, path: Path, attempt: Callable[[], _Result]) -> _Result:
        """The result of the attempt. Raises ``CassetteInUse`` if the lock stays.

        An attempt reads the cassette, does not wait, and has no effect if it raises
        ``CassetteInUse``.
        """
        if not self._queues or path not in self._queues:
            try:
                return attempt()
            except CassetteInUse:
                pass
        deadline_s = time.monotonic() + WAIT_S
        queue = self._queues.setdefault(path, _Queue())
        queue.length += 1
        try:
            async with queue.turn:
                while True:
                    try:
                        return attempt()
                    except CassetteInUse:
                        if time.monotonic() >= deadline_s:
                            raise
                    await asyncio.sleep(TRY_S)
        finally:
            queue.length -= 1
            if not queue.length:
                del self._queues[path]


class _Queue:
    """The callers that wait for one cassette; the one that holds ``turn`` tries."""

    def __init__(self) -> None:
        self.turn = asyncio.Lock()
        self.length = 0


def insist(attempt: Callable[[], _Result]) -> _Result:
    """The result of the attempt, where waiting may block: at the start."""
    deadline_s = time.monotonic() + WAIT_S
    while True:
        try:
            return attempt()
        except CassetteInUse:
            if time.monotonic() >= deadline_s:
                raise
        time.sleep(TRY_S)


async def insist_aside(attempt: Callable[[], _Result], aside: SideThread | None = None) -> _Result:
    """The result of a longer attempt, made in a thread, which is free between attempts.

    Without ``aside`` the thread is one of several.
    """
    deadline_s = time.monotonic() + WAIT_S
    while True:
        try:
            if aside is not None:
                return await aside.run(attempt, SIDE_THREAD_BYTES)
            return await asyncio.to_thread(attempt)
        except CassetteInUse:
            if time.monotonic() >= deadline_s:
                raise
        await asyncio.sleep(TRY_S)
