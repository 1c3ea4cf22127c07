"""Read-only connections to cassettes, a bounded number of them."""

import itertools
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from replay_proxy.bounds.lru import LRU
from replay_proxy.store.files.access import open_to_read
from replay_proxy.store.files.journals import is_overwritten, wal
from replay_proxy.store.files.troubles import ERRORS, system_trouble, trouble
from replay_proxy.store.sqlite.step_limit import StepLimit

#: Maximum number of open cassettes; the least recently used one is closed.
OPEN_CASSETTES = 64
#: Maximum size of a value that is read here. A larger one would block the event loop for too long.
LARGE_BYTES = 1 << 20
#: Time between two checks that a file still has the cassette's name. A check costs a tenth of a
#: look-up, and a client that waits for each answer asks less often than this.
LOOK_S = 0.0005


class LargeRow(Exception):
    """A row has a value larger than ``LARGE_BYTES``; ``LargeRows`` reads it."""


class Readers:
    """Runs queries on cassettes by their path, in the thread that made it.

    If a file is replaced, moved or deleted, it is closed, and the file that now has its name is
    opened. A query never waits for a lock: ``Patience`` handles ``CassetteInUse``.
    """

    def __init__(self) -> None:
        self._open: LRU[Path, _Opened] = LRU(OPEN_CASSETTES)
        self._count = itertools.count()

    def number(self, path: Path) -> int | None:
        """Changes when another file is read under this name; None if there is none (yet).

        Raises ``StoreError``.
        """
        opened = self._opened(path)
        return None if opened is None else opened.number

    def version(self, path: Path) -> tuple[int, int] | None:
        """Changes when anybody has committed to the file; None if there is none (yet).

        Costs a third of a look-up. Raises ``StoreError``.
        """
        opened = self._opened(path)
        if opened is None:
            return None
        # SQLite's number is comparable only within one connection.
        return opened.number, self._rows(opened, "PRAGMA data_version", ())[0][0]

    @contextmanager
    def one_state(self, path: Path) -> Iterator[None]:
        """Inside, all reads of a file see one state and lock the file only once.

        Nothing may be awaited inside. Raises ``StoreError``.
        """
        self.read(path, "BEGIN")
        opened = self._open.get(path)  # None if there is no file (yet).
        try:
            yield
        finally:
            if opened is not None and opened.connection.in_transaction:
                self.read(path, "COMMIT")

    def read(
        self, path: Path, sql: str, parameters: dict[str, Any] | None = None
    ) -> list[sqlite3.Row]:
        """All rows; none if there is no file (yet). Raises ``StoreError``, ``LargeRow``."""
        opened = self._opened(path)
        return [] if opened is None else self._rows(opened, sql, parameters or {})

    def close(self) -> None:
        """Close every connection."""
        for opened in self._open.values():
            opened.connection.close()

    def _rows(
        self, opened: "_Opened", sql: str, parameters: dict[str, Any] | tuple[()]
    ) -> list[sqlite3.Row]:
        opened.steps.begin()
        try:
            return opened.connection.execute(sql, parameters).fetchall()
        except ERRORS as error:
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_TOOBIG:
                raise LargeRow from None
            raise trouble(opened.path, error) from error

    def _opened(self, path: Path) -> "_Opened | None":
        opened = self._open.get(path)
        if opened is not None and not opened.connection.in_transaction and opened.is_gone():
            opened.connection.close()
            self._open.pop(path)
            opened = None
        if opened is not None and opened.path is not path:
            # Comparing equal paths is slow: use the same object from now on.
            self._open.pop(path)
            self._open.put(path, opened)
            opened.path = path
        if opened is None:
            try:
                status = os.stat(path)
            except FileNotFoundError:
                return None
            except OSError as error:
                raise system_trouble(path, error) from error
            opened = _Opened(path, status, next(self._count))
            if (dropped := self._open.put(path, opened)) is not None:
                dropped[1].connection.close()
        return opened


class _Opened:
    """A connection, and the status of the file just before it was opened."""

    def __init__(self, path: Path, status: os.stat_result, number: int) -> None:
        self.number = number
        self.connection = open_to_read(path, busy_ms=0)
        self.connection.row_factory = sqlite3.Row
        self.connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LARGE_BYTES)
        self.steps = StepLimit(self.connection, path)
        self.path = path
        self._name = str(path)
        self._inode = status.st_dev, status.st_ino
        self._state = status.st_mtime_ns, status.st_size
        self._looked_s = time.monotonic()

    def is_gone(self) -> bool:
        """Whether the cassette is now another file, or this one was overwritten."""
        now_s = time.monotonic()
        if now_s - self._looked_s < LOOK_S:
            return False
        self._looked_s = now_s
        try:
            status = os.stat(self._name)
        except OSError:
            return True
        state = status.st_mtime_ns, status.st_size
        if (status.st_dev, status.st_ino) != self._inode:
            return True
        if state == self._state:
            return False
        self._state = state
        file = self.path.resolve()
        # While it is recorded, checkpoints write to the file.
        return not wal(file).exists() or is_overwritten(file)
