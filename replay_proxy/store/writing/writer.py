"""The thread that writes to every cassette, so that a commit never blocks the event loop.

Rows that arrive during a commit share the next commit of their cassette. A caller goes on when its
own row is committed. Not in here: what a row means.
"""

import queue
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from replay_proxy.bounds.lru import LRU
from replay_proxy.errors import CassetteInUse, StoreError
from replay_proxy.store.files.access import close_to_write, open_to_write, reopen_to_write
from replay_proxy.store.files.journals import wal
from replay_proxy.store.files.plain_files import settle
from replay_proxy.store.files.troubles import is_in_use, trouble
from replay_proxy.store.sqlite.rows import Row
from replay_proxy.store.writing.bound_connection import BoundConnection
from replay_proxy.store.writing.jobs import Job, settle_all
from replay_proxy.store.writing.row_ids import RowIds

#: Maximum number of rows in a commit.
BATCH = 256
#: Minimum size of a large row, which has a commit of its own, after the smaller rows that wait with
#: it: writing and indexing it may take a hundred times as long.
LARGE_BYTES = 200_000
#: How long a commit waits for another process's lock before other cassettes have their turn, and
#: the pause before it is tried again when no other cassette has a row.
BUSY_MS, PAUSE_S = 50, 0.02
#: Attempts to write a row while the file keeps being replaced during its commit.
TRIES = 5
#: Maximum number of open cassettes; the least recently used one is closed and settled.
OPEN_CASSETTES = 32


class Writer:
    """Writes rows in the order in which they are given, except that large rows come later.

    ``begin`` runs in each transaction and returns the id of the take that rows join, so the take
    exists whatever has been deleted meanwhile.
    """

    def __init__(self, begin: Callable[[sqlite3.Connection, Path], int]) -> None:
        self._begin = begin
        self._row_ids = RowIds()
        self._queue: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._large: deque[Job] = deque()
        #: Rows that could not be committed yet, by cassette and whether they are large.
        self._locked: dict[tuple[Path, bool], list[Job]] = {}
        self._open: LRU[Path, BoundConnection] = LRU(OPEN_CASSETTES)
        self._written: set[Path] = set()
        self._thread = threading.Thread(target=self._run, name="cassette writer", daemon=True)
        self._thread.start()

    async def write(
        self, path: Path, number: int, make_row: Callable[[int, int], Row], size: int
    ) -> None:
        """Commit the row that ``make_row`` gives for the take's id and the row's id.

        The row's id is ``number`` if no other exchange has it (see ``RowIds``). ``size`` is its
        approximate size in bytes. Raises ``StoreError``.
        """
        job = Job(path, number, make_row, size)
        self._queue.put(job)
        try:
            await job.done
        finally:
            del job, make_row  # An error that the job holds would hold this frame.

    def close(self) -> None:
        """Write what is queued, end the thread, and leave plain files."""
        self._queue.put(None)
        self._thread.join()
        for path in self._written:
            settle(path)

    def _run(self) -> None:
        while (jobs := self._next_jobs()) is not None:
            self._commit_all(jobs)
            del jobs  # They hold bodies, and the next wait may be long.
        for path, connection in self._open.items():
            close_to_write(connection, path)

    def _commit_all(self, jobs: list[Job]) -> None:
        """Commit new rows and those that met a lock, cassette by cassette, in their order."""
        groups: dict[tuple[Path, bool], list[Job]] = {}
        for job in jobs:
            groups.setdefault((job.path, job.size > LARGE_BYTES), []).append(job)
        if self._locked:
            for key, waiting in self._locked.items():
                groups[key] = waiting + groups.get(key, [])
            self._locked = {}
        for key, group in groups.items():
            try:
                self._commit(key[0], group)
            except Exception as error:  # Every caller gets it, whatever it is.
                late = group
                if isinstance(error, CassetteInUse) or is_in_use(error):
                    now_s = time.monotonic()
                    late = [job for job in group if job.deadline_s <= now_s]
                    if rest := [job for job in group if job.deadline_s > now_s]:
                        self._locked[key] = rest
                settle_all(late, _store_error(key[0], error))

    def _next_jobs(self) -> list[Job] | None:
        """The queued rows, at most one of them large; None once the writer is closed.

        Waits for one, unless a row that met a lock is to be tried again.
        """
        jobs: list[Job] = []
        while len(jobs) < BATCH:
            if (jobs or self._large) and self._queue.empty():
                break
            try:
                job = self._queue.get(timeout=PAUSE_S if self._locked else None)
            except queue.Empty:
                break
            if job is None:  # The writer is closed.
                if not jobs and not self._large and not self._locked:
                    return None
                self._queue.put(None)
                break
            (self._large if job.size > LARGE_BYTES else jobs).append(job)
        if self._large:
            jobs.append(self._large.popleft())
        return jobs

    def _connection(self, path: Path) -> BoundConnection:
        """The connection to a cassette."""
        connection = self._open.get(path)
        if connection is None:
            connection = open_to_write(path, busy_ms=BUSY_MS)
            self._written.add(path)
            if (dropped := self._open.put(path, connection)) is not None:
                idle, unused = dropped
                close_to_write(unused, idle)
                settle(idle, wait_s=0)
                if not wal(idle).exists():
                    self._written.discard(idle)
        return connection

    def _commit(self, path: Path, jobs: list[Job]) -> None:
        """Commit jobs to the file that has the cassette's name at that moment."""
        for _ in range(TRIES):
            connection = self._connection(path)
            rows, size = len(jobs), sum(job.size for job in jobs)
            try:
                self._commit_to(connection, path, jobs)
            except _Replaced:
                self._open.pop(path)
                self._open.put(path, reopen_to_write(connection, path, busy_ms=BUSY_MS))
                continue
            with suppress(sqlite3.Error, OSError):  # The next commit tries again.
                connection.checkpoint(rows, size)
            return
        raise StoreError(
            "keeps being replaced",
            thing=f"Cassette {path}",
            remedy="Stop the program that replaces it, and record again.",
        )

    def _commit_to(self, connection: BoundConnection, path: Path, jobs: list[Job]) -> None:
        """Commit all jobs at once; if one of them fails, commit the others one by one."""
        try:
            self._insert(connection, jobs)
        except _Replaced:
            raise
        except sqlite3.OperationalError:
            raise  # The disk is full, or another process writes: each job would fail.
        except Exception:
            if len(jobs) == 1:
                raise
            while jobs:
                try:
                    self._insert(connection, jobs[:1])
                except (_Replaced, sqlite3.OperationalError):
                    raise
                except Exception as error:
                    settle_all([jobs.pop(0)], _store_error(path, error))
                else:
                    settle_all([jobs.pop(0)])
        else:
            settle_all(jobs)

    def _insert(self, connection: BoundConnection, jobs: list[Job]) -> None:
        """Insert rows in a transaction, and commit.

        Raises ``_Replaced`` if the commit would not be found under the cassette's name.

        If the file is replaced after that check, it is set aside together with its journal.
        """
        try:
            connection.execute("BEGIN IMMEDIATE")
            take_id = self._begin(connection, jobs[0].path)
            rows = [(job.number, partial(job.make_row, take_id)) for job in jobs]
            numbers = self._row_ids.put(connection, jobs[0].path, rows)
            if not connection.is_current():
                raise _Replaced
            connection.execute("COMMIT")
        except BaseException as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            # SQLite may have failed because the file was overwritten.
            if isinstance(error, sqlite3.Error) and not connection.is_current():
                raise _Replaced from error
            raise
        for job, number in zip(jobs, numbers, strict=True):
            self._row_ids.committed(job.path, number)


class _Replaced(Exception):
    """The file that a connection writes to is no longer the cassette."""


def _store_error(path: Path, error: Exception) -> StoreError:
    return error if isinstance(error, StoreError) else trouble(path, error)
