"""The thread that writes to one cassette, so that a commit never holds up the event loop.

What arrives while a commit runs shares the next one; a caller goes on when its own row is
committed. What a row means is not known here.
"""

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

from replay_proxy.errors import StoreError
from replay_proxy.store.files import open_to_write, trouble
from replay_proxy.store.rows import Row
from replay_proxy.store.tables import PUT_INTERACTION

#: The most rows that share one commit.
BATCH = 256


class Writer:
    """Writes rows in the order in which they are given.

    ``begin`` is run once on the new connection and returns the id of the take that rows join.
    """

    def __init__(self, path: Path, begin: Callable[[sqlite3.Connection], int]) -> None:
        self._path = path
        self._begin = begin
        self._queue: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=f"writer of {path.name}")
        self._thread.daemon = True
        self._thread.start()

    async def write(self, make_row: Callable[[int], Row]) -> None:
        """Commit the row that ``make_row`` gives for the take's id. Raises ``StoreError``."""
        job = _Job(make_row)
        self._queue.put(job)
        await job.done

    def close(self) -> None:
        """Write what is left and end the thread."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        connection: sqlite3.Connection | None = None
        take_id = 0
        while (jobs := self._next_jobs()) is not None:
            try:
                if connection is None:
                    connection = open_to_write(self._path)
                    take_id = self._begin(connection)
                self._commit(connection, take_id, jobs)
            except Exception as error:  # Whatever it is, each caller hears of it, and it goes on.
                _settle(jobs, self._in_our_words(error))
        if connection is not None:
            connection.close()

    def _next_jobs(self) -> "list[_Job] | None":
        """What is waiting, at least one job; None when the writer is closed."""
        first = self._queue.get()
        if first is None:
            return None
        jobs = [first]
        while len(jobs) < BATCH and not self._queue.empty():
            job = self._queue.get()
            if job is None:
                self._queue.put(None)
                break
            jobs.append(job)
        return jobs

    def _commit(self, connection: sqlite3.Connection, take_id: int, jobs: "list[_Job]") -> None:
        """Commit all jobs at once, or, when that fails, those that can be one by one."""
        try:
            _insert(connection, take_id, jobs)
        except Exception:
            if len(jobs) == 1:
                raise
            for job in jobs:
                try:
                    _insert(connection, take_id, [job])
                except Exception as error:
                    _settle([job], self._in_our_words(error))
                else:
                    _settle([job], None)
        else:
            _settle(jobs, None)

    def _in_our_words(self, error: Exception) -> StoreError:
        if isinstance(error, StoreError):
            return error
        return trouble(self._path, error)


class _Job:
    """A row to be written, and the future that tells when it is."""

    def __init__(self, make_row: Callable[[int], Row]) -> None:
        self.make_row = make_row
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


def _insert(connection: sqlite3.Connection, take_id: int, jobs: list[_Job]) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.executemany(PUT_INTERACTION, [job.make_row(take_id) for job in jobs])
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _settle(jobs: list[_Job], error: StoreError | None) -> None:
    for job in jobs:
        job.loop.call_soon_threadsafe(job.settle, error)
