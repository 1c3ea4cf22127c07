"""``Job``: a row that waits for its commit, and how its caller hears of it."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from replay_proxy.errors import StoreError
from replay_proxy.store.sqlite.rows import Row

#: So long an answer waits for a tool that reads or changes all of a large cassette: it is lost
#: otherwise, and its client waits as it does for the API.
BUSY_S = 60.0


class Job:
    """A row to be written, and the future that tells when it is."""

    def __init__(
        self, path: Path, number: int, make_row: Callable[[int, int], Row], size: int
    ) -> None:
        self.path = path
        self.number = number
        self.make_row = make_row
        self.size = size
        self.deadline_s = time.monotonic() + BUSY_S
        self.loop = asyncio.get_running_loop()
        self.done: asyncio.Future[None] = self.loop.create_future()

    def settle(self, error: StoreError | None) -> None:
        """Tell the caller, in the caller's thread, how it went."""
        if self.done.done():
            return  # The caller has been cancelled.
        if error is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(error)


def settle_all(jobs: list[Job], error: StoreError | None = None) -> None:
    """Tell the callers, who are woken once per loop."""
    for loop in {job.loop for job in jobs}:
        group = [job for job in jobs if job.loop is loop]
        loop.call_soon_threadsafe(_tell, group, error)


def _tell(jobs: list[Job], error: StoreError | None) -> None:
    for job in jobs:
        job.settle(error)
