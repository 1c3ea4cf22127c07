"""A bound on the work of one statement, for files that are made to take forever.

The pages of a b-tree may share their children, and a full-text index may hold anything: reading
such a file could take forever. A sound file takes few of SQLite's steps per byte.
"""

import os
import sqlite3
from contextlib import suppress
from pathlib import Path

from replay_proxy.store.files.journals import wal
from replay_proxy.store.files.pages import content_bytes

#: Steps between two calls of ``_ask``: some tenths of a second.
_ASKS = 10_000_000
#: Minimum size of an interaction or a take in each table and index.
_ROW_BYTES = 20


class StepLimit:
    """Interrupts a statement of a connection that takes more steps than the file has bytes.

    Call ``begin`` before each statement; a connection for one statement does not need it.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._path = path.resolve()
        self._asked = 0
        connection.set_progress_handler(self._ask, _ASKS)

    def begin(self) -> None:
        """Restart the count, for the next statement."""
        self._asked = 0

    def most_rows(self) -> int:
        """The most rows that a statement can give from a sound file."""
        return 1_000 + self._size() // _ROW_BYTES

    def _ask(self) -> bool:
        self._asked += 1
        return (self._asked - 1) * _ASKS > self._size()

    def _size(self) -> int:
        size = 0
        for file in (self._path, wal(self._path)):
            with suppress(OSError):
                size += content_bytes(os.stat(file))
        return size
