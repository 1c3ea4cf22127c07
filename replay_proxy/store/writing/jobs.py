"""``Job``: a row that waits for its commit, and the future that its caller awaits."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from replay_proxy.errors import StoreError
from replay_proxy.store.sqlite.rows import Row

#: How long an answer waits for a tool that reads or changes all of a large cassette. It would be
#: lost otherwise, and its client waits as it would for the API.
BUSY_S = 60.0


class Job:
    """A row to be written. ``done`` is set once it is committed."""

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
        """Set the result, in the caller's thread."""
        if self.done.done():
            return  # The caller has been cancelled.
        if error is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(error)


def settle_all(jobs: list[Job], error: StoreError | None = None) -> None:
    """Set the result of jobs. Their callers are woken once per event loop."""
    for loop in {job.loop for job in jobs}:
        group = [job for job in jobs if job.loop is loop]
        loop.call_soon_threadsafe(_settle_each, group, error)


def _settle_each(jobs: list[Job], error: StoreError | None) -> None:
    for job in jobs:
        job.settle(error)
