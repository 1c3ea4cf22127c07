"""``Aside``: work that takes long, beside the event loop; what is done there is not known here."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_Result = TypeVar("_Result")

#: Work on fewer bytes is done at once: it takes some milliseconds, and a thread would add one.
ASIDE_BYTES = 200_000


class Aside:
    """One thread. The loop keeps its turns, whatever the number of those that wait for the thread.

    Work in it has to be bounded: nobody can end it.
    """

    def __init__(self) -> None:
        self._executor: ThreadPoolExecutor | None = None

    async def run(self, work: Callable[[], _Result], size: int) -> _Result:
        """The result of work on so many bytes."""
        if size < ASIDE_BYTES:
            return work()
        if self._executor is None:
            self._executor = ThreadPoolExecutor(1, thread_name_prefix="aside")
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    def close(self) -> None:
        """Let go of the thread, and of what waits for it."""
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)
