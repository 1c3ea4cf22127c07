"""Read-only connections to cassettes, a bounded number of them open at once."""

import itertools
import sqlite3
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from replay_proxy.store.files import ERRORS, open_to_read, trouble

#: The most cassettes that are open at once; the one unused for longest is closed.
OPEN_CASSETTES = 64


class Readers:
    """Runs queries on cassettes by their path, on the thread that made it.

    They never wait for a lock: ``CassetteInUse`` is for ``Patience``.
    """

    def __init__(self) -> None:
        self._open: OrderedDict[Path, sqlite3.Connection] = OrderedDict()
        self._opened = itertools.count()
        self._numbers: dict[Path, int] = {}

    def version(self, path: Path) -> tuple[int, int] | None:
        """Differs once anybody has committed to the file; None when there is none (yet).

        Costs a third of a look-up. Raises ``StoreError``.
        """
        rows = self.read(path, "PRAGMA data_version")
        # SQLite's number is a connection's own, and says nothing about another one's.
        return (self._numbers[path], rows[0][0]) if rows else None

    @contextmanager
    def one_state(self, path: Path) -> Iterator[None]:
        """What is read of a file inside is of one state, and locks the file only once.

        Nothing may be waited for inside. Raises ``StoreError``.
        """
        self.read(path, "BEGIN")
        connection = self._open.get(path)  # None when there is no file (yet).
        try:
            yield
        finally:
            if connection is not None and connection.in_transaction:
                self.read(path, "COMMIT")

    def read(
        self, path: Path, sql: str, parameters: dict[str, Any] | None = None
    ) -> list[sqlite3.Row]:
        """All rows, none when there is no file (yet). Raises ``StoreError``."""
        connection = self._open.get(path)
        if connection is None:
            if not path.exists():
                return []
            if len(self._open) >= OPEN_CASSETTES:
                idle, old = self._open.popitem(last=False)
                old.close()
                del self._numbers[idle]
            connection = open_to_read(path, busy_ms=0)
            connection.row_factory = sqlite3.Row
            self._open[path] = connection
            self._numbers[path] = next(self._opened)
        self._open.move_to_end(path)
        try:
            return connection.execute(sql, parameters or {}).fetchall()
        except ERRORS as error:
            raise trouble(path, error) from error

    def close(self) -> None:
        """Close every connection."""
        for connection in self._open.values():
            connection.close()
