"""``SideThread``: long work in a thread, beside the event loop. Not in here: what the work is."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_Result = TypeVar("_Result")

#: Minimum size of work for the thread, which adds a millisecond; less takes only some milliseconds.
SIDE_THREAD_BYTES = 200_000


class SideThread:
    """One thread, so that the event loop keeps its turns however much work waits.

    The work has to be bounded: nothing can end it.
    """

    def __init__(self) -> None:
        self._executor: ThreadPoolExecutor | None = None

    async def run(self, work: Callable[[], _Result], size: int) -> _Result:
        """The result of work on ``size`` bytes."""
        if size < SIDE_THREAD_BYTES:
            return work()
        if self._executor is None:
            self._executor = ThreadPoolExecutor(1, thread_name_prefix="aside")
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    def close(self) -> None:
        """Release the thread, and drop the work that waits for it."""
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)
